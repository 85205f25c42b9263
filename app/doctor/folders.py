"""Checks whether the folders exist, are writable and have free space."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from app.doctor.findings import CheckContext, Finding, Say

_GIGABYTE = 10**9
# In bytes. With less free space jobs will fail soon, or fail already.
_LOW, _FULL = 5 * _GIGABYTE, _GIGABYTE // 5


def check_data(context: CheckContext) -> Iterator[Finding]:
    """Check the data folder."""
    yield from check_folder(Say("data folder"), context.settings.data_dir, "ACCRUE_DATA_DIR")


def check_folder(say: Say, folder: Path, setting: str) -> Iterator[Finding]:
    """Check whether a folder is writable and has free space, or can be created."""
    folder = folder.absolute()
    if not folder.exists():
        parent = next(parent for parent in folder.parents if parent.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            yield say.warning(
                f"{folder} does not exist yet",
                f"The first start makes it. If it should exist, correct {setting}.",
            )
        else:
            yield say.problem(
                f"{folder} does not exist, and {parent} is not writable",
                f"Create it for this user (id {os.geteuid()}), or set {setting}.",
            )
        return
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"probe")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        yield say.problem(
            f"{folder} cannot be written to: {error.strerror}",
            f"Make this user (id {os.geteuid()}) its owner, free space, or set {setting}.",
        )
        return
    free = shutil.disk_usage(folder).free
    space = f"{folder} has {free / _GIGABYTE:.1f} GB free"
    help_ = "Free space; `accrue sweep --dry-run` says how much the next sweep frees."
    if free < _FULL:
        yield say.problem(space, help_)
    elif free < _LOW:
        yield say.warning(space, help_)
    else:
        yield say.ok(space)


def check_weights(context: CheckContext) -> Iterator[Finding]:
    """Check the folder of pretrained weights, if one is set."""
    say, folder = Say("weights"), context.settings.weights_dir
    if folder is None:
        yield say.ok("No folder is set; published weights are downloaded when needed")
        return
    try:
        files = [path for path in folder.iterdir() if path.is_file()]
    except OSError as error:
        yield say.problem(
            f"{folder} cannot be read: {error.strerror}", "Correct or unset ACCRUE_WEIGHTS_DIR."
        )
        return
    unreadable = [path.name for path in files if not os.access(path, os.R_OK)]
    if unreadable:
        yield say.problem(
            f"These files cannot be read: {', '.join(unreadable)}",
            f"Make them readable for this user (id {os.geteuid()}).",
        )
    else:
        yield say.ok(f"{len(files)} files in {folder}")

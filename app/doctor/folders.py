"""The data folder and the folder of weights: there, ours, and with room."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from app.doctor.findings import CheckContext, Finding, Say

_GIGABYTE = 10**9
# Below these, of bytes free: jobs will fail soon, and fail now.
_LITTLE, _NOTHING = 5 * _GIGABYTE, _GIGABYTE // 5


def check_data(context: CheckContext) -> Iterator[Finding]:
    """Write to the data folder, and look at its room."""
    yield from look_at(Say("data folder"), context.settings.data_dir, "ACCRUE_DATA_DIR")


def look_at(say: Say, folder: Path, setting: str) -> Iterator[Finding]:
    """Say whether a folder can be written to and has room, or can be made."""
    folder = folder.absolute()
    if not folder.exists():
        parent = next(parent for parent in folder.parents if parent.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            yield say.warning(
                f"{folder} is not there yet", f"The first start makes it. If not so, see {setting}."
            )
        else:
            yield say.problem(
                f"{folder} is not there, and {parent} may not be written to",
                f"Make it for this user (id {os.geteuid()}), or set {setting}.",
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
            f"Give it to this user (id {os.geteuid()}), make room, or set {setting}.",
        )
        return
    free = shutil.disk_usage(folder).free
    room = f"{folder} has {free / _GIGABYTE:.1f} GB free"
    make_room = "Make room; `accrue sweep --dry-run` tells what the next sweep frees."
    if free < _NOTHING:
        yield say.problem(room, make_room)
    elif free < _LITTLE:
        yield say.warning(room, make_room)
    else:
        yield say.ok(room)


def check_weights(context: CheckContext) -> Iterator[Finding]:
    """Look into the folder of pretrained weights, where one is set."""
    say, folder = Say("weights"), context.settings.weights_dir
    if folder is None:
        yield say.ok("No folder; published weights are downloaded when they are needed")
        return
    try:
        files = [path for path in folder.iterdir() if path.is_file()]
    except OSError as error:
        yield say.problem(
            f"{folder} cannot be read: {error.strerror}", "Mend or unset ACCRUE_WEIGHTS_DIR."
        )
        return
    closed = [path.name for path in files if not os.access(path, os.R_OK)]
    if closed:
        yield say.problem(
            f"May not be read: {', '.join(closed)}", f"Make them readable for id {os.geteuid()}."
        )
    else:
        yield say.ok(f"{len(files)} files in {folder}")

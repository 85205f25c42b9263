"""Runs `accrue up` as a child process on a free port."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from app.client.errors import CommandError
from app.processes import die_with_parent

_ANNOUNCEMENT = re.compile(r"listens on (\S+)")


@contextmanager
def running_service(data_dir: Path, **settings: str) -> Iterator[str]:
    """Run `accrue up` over a data folder and yield its URL; the log is ``service.log`` in there.

    `settings` are environment variables; those of this process take precedence. Raises
    CommandError with the end of the log if the service does not start.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir / "service.log"
    command = [sys.executable, "-P", "-m", "app.cli", "up", "--host", "127.0.0.1", "--port", "0"]
    with log.open("w") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--data-dir", str(data_dir)],
            env=settings | os.environ | {"ACCRUE_KEYS": "off"},  # on a loopback address
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # Ctrl-C reaches the demo alone, which then stops the service.
            start_new_session=True,
            # No thread runs here, so code before exec is safe.
            preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509
        )
    assert process.stdout is not None  # noqa: S101 - narrows the type
    try:
        announced = _ANNOUNCEMENT.search(process.stdout.readline())
        if announced is None:
            tail = "\n".join(log.read_text().splitlines()[-20:])
            raise CommandError(f"The service did not start. The end of {log}:\n{tail}")
        yield announced[1]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()

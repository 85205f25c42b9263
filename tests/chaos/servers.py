"""A Redis and a PostgreSQL of the run's own, to be stopped and started at will."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import redis


class MissingServerError(Exception):
    """A server program is not installed here."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(ready: Callable[[], object], errors: type[Exception], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            ready()
        except errors:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


class Redis:
    """Keeps nothing on the disk: what it held when it stopped is lost."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise MissingServerError("redis-server is not installed")
        folder.mkdir()
        self._port = free_port()
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._command = [program, "--port", str(self._port), "--dir", str(folder), *options]
        self._log = folder / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        with redis.Redis(port=self._port) as client:
            _until(client.ping, redis.ConnectionError)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def flush(self) -> int:
        """Remove everything; return how many messages that were."""
        with redis.Redis(port=self._port) as client:
            lost = int(client.llen("default")) + int(client.llen("train"))  # type: ignore[arg-type]
            client.flushall()
        return lost


class PostgreSQL:
    """A cluster in a folder. It refuses to run as root, so it runs as ``postgres`` then."""

    def __init__(self, folder: Path) -> None:
        self._programs = _postgres_programs()
        self._user = _postgres_user()
        folder.mkdir()
        if self._user:
            shutil.chown(folder, self._user)
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._run(
            "initdb", "-D", str(folder / "data"), "-U", "accrue", "--auth=trust", "-E", "UTF8"
        )
        self.url = f"postgresql://accrue@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        command = [
            str(self._programs / "postgres"),
            *("-D", str(self._folder / "data"), "-p", str(self._port)),
            *("-h", "127.0.0.1", "-k", str(self._folder)),
        ]
        with (self._folder.parent / "postgresql.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, user=self._user, cwd=self._folder
            )
        _until(self._check, psycopg.OperationalError)

    def stop(self) -> None:
        """Stop as ``pg_ctl -m immediate`` does: without a checkpoint, so the start recovers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()

    def terminate_backends(self) -> int:
        """End every connection but this; return how many."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            query = (
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            row = connection.execute(query).fetchone()
            return int(row[0]) if row else 0

    def _check(self) -> None:
        psycopg.connect(self.url, connect_timeout=5).close()

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self._user,
            cwd=self._folder,
        )


def _postgres_user() -> str | None:
    """Return who is to run it, None for whoever runs this."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise MissingServerError("PostgreSQL does not run as root: no user postgres") from None


def _postgres_programs() -> Path:
    """Return the folder of PostgreSQL's programs, the newest where there are several."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    folders = [folder for folder in folders if (folder / "initdb").exists()]
    if not folders:
        raise MissingServerError("PostgreSQL's initdb is not installed")
    return max(folders, key=lambda folder: folder.stat().st_mtime)

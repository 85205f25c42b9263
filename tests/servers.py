"""PostgreSQL and Redis servers for a single test, which may stop and start them.

Where their programs are not installed, making one skips the test.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
import redis


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


class OwnRedis:
    """A Redis without persistence: it loses its content when it stops.

    `within` is a command that runs another one where the server is to be.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", within: Sequence[str] = ()) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed")
        self._port = free_port()
        options = ["--bind", host, "--protected-mode", "no", "--save", "", "--appendonly", "no"]
        options += ["--databases", "1000"]
        listen = ["--port", str(self._port), "--dir", str(folder)]
        self._command = [*within, program, *listen, *options]
        self._log = folder / "server.log"
        self._reachable = not within
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://{host}:{self._port}/"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        if self._reachable:
            with redis.Redis.from_url(self.url) as client:
                _until(client.ping, redis.ConnectionError)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def flush(self) -> int:
        """Remove everything; return how many messages were lost."""
        with redis.Redis.from_url(self.url) as client:
            lost = int(client.llen("default")) + int(client.llen("train"))  # type: ignore[arg-type]
            client.flushall()
        return lost


class OwnPostgres:
    """A PostgreSQL cluster. The server refuses to run as root, so it is ``postgres`` then.

    `within` is a command that runs another one where the server is to be.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", within: Sequence[str] = ()) -> None:
        self._programs = _postgres_programs()
        self._folder = folder
        self._port = free_port()
        self._host = host
        self._within = list(within)
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            _require_postgres_user()
            shutil.chown(folder, "postgres")
            self._as_user = ["runuser", "-u", "postgres", "--"]
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [
                *self._as_user,
                str(self._programs / "initdb"),
                *("-D", str(folder / "data"), "-U", "accrue", "--auth=trust", "-E", "UTF8", "-N"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
        )
        with (folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all trust\n")
        self.url = f"postgresql://accrue@{host}:{self._port}/postgres"
        # Through its socket, which every network namespace of this machine reaches.
        self.local_url = f"postgresql://accrue@/postgres?host={folder}&port={self._port}"

    def start(self) -> None:
        command = [
            *self._within,
            *self._as_user,
            str(self._programs / "postgres"),
            *("-D", str(self._folder / "data"), "-p", str(self._port)),
            *("-h", self._host, "-k", str(self._folder)),
        ]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        _until(lambda: psycopg.connect(self.local_url).close(), psycopg.OperationalError)

    def stop(self) -> None:
        """Stop at once, like a crash; the next start recovers."""
        if self._process is not None:
            pid = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def terminate_backends(self) -> int:
        """End all other connections; return how many."""
        with psycopg.connect(self.local_url, autocommit=True) as connection:
            query = (
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            row = connection.execute(query).fetchone()
            return int(row[0]) if row else 0


def _require_postgres_user() -> None:
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")


def _postgres_programs() -> Path:
    """Return the folder of PostgreSQL's programs, the newest where there are several."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else Path("/usr/lib/postgresql").glob("*/bin")
    whole = [folder for folder in folders if (folder / "initdb").exists()]
    if not whole:
        pytest.skip("PostgreSQL's server programs are not installed")
    return max(whole, key=lambda folder: folder.stat().st_mtime)


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """A folder that other users may enter, as pytest's own is not."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def own_postgres(server_folder: Path) -> Iterator[OwnPostgres]:
    """A running PostgreSQL, empty."""
    folder = server_folder / "postgres"
    folder.mkdir()
    server = OwnPostgres(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(server_folder: Path) -> Iterator[OwnRedis]:
    """A running Redis, empty."""
    folder = server_folder / "redis"
    folder.mkdir()
    server = OwnRedis(folder)
    server.start()
    yield server
    server.stop()

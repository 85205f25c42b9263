"""All blobs in a bucket: a service that loses its disk, and machines that share only the bucket."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.storage import open_store
from tests.e2e.harness import ACCRUE, Digits, Service, wait_for
from tests.e2e.test_restore import state, taught
from tests.s3 import S3Server, free_port


def accrue(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ACCRUE, *arguments],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("start", ["sqlite, files"], indirect=True)  # the database is lost as well
def test_the_disk_is_lost_and_nothing_else(
    start: Callable[..., Service], digits: Digits, s3_server: S3Server, s3_url: str
) -> None:
    settings = {**s3_server.environment, "ACCRUE_STORAGE": s3_url}
    service = start(**settings)
    taught(service, digits)
    aliases = "/v1/classifiers/kept/aliases"
    service.http.put(f"{aliases}/live", json={"version": 1}).raise_for_status()
    assert service.predict_by("kept", 1, digits.held_out(0))["version"] == 1
    service.http.put(f"{aliases}/live", json={"version": 2}).raise_for_status()
    service.http.put(f"{aliases}/canary", json={"version": 1}).raise_for_status()
    before = state(service, digits)
    file = "/v1/classifiers/kept/versions/2/checkpoint"
    downloaded = service.http.get(file)
    assert not (service.data_dir / "blobs").exists()
    store = open_store(s3_url)

    def canary_is_written() -> bool:
        names = store.documents("classifiers/")
        return any(b"canary" in (store.read_document(name) or b"") for name in names)

    wait_for(canary_is_written)
    service.stop()

    assert any((service.data_dir / "cache").iterdir())
    store.put(b"what a worker that died has left")
    data = ("--data-dir", str(service.data_dir))
    # The first marks what nothing refers to, and the second removes it.
    swept = [accrue("sweep", *data, **settings, ACCRUE_SWEEP_GRACE_HOURS="1e-9") for _ in range(2)]
    assert "Removed 0 blobs" in swept[0].stdout, swept
    assert "Removed 1 blobs" in swept[1].stdout, swept

    shutil.rmtree(service.data_dir)
    made = accrue("reindex", *data, **settings)
    assert (made.returncode, made.stdout) == (0, "2 versions of 1 classifiers: kept.\n"), made
    service = start(**settings)
    assert state(service, digits) == before
    going_on = {"Range": "bytes=5000-", "If-Range": downloaded.headers["ETag"]}
    assert service.http.get(file, headers=going_on).content == downloaded.content[5000:]
    assert service.learn("kept", digits.zip([4, 5])) == 3


@contextlib.contextmanager
def running(folder: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of a machine that has only this folder as its disk."""
    folder.mkdir()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*ACCRUE, *arguments, "--data-dir", str(folder / "data")],
            env=os.environ | settings,
            stderr=log,
        )
    try:
        yield process
        process.terminate()
        assert process.wait(60) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server")
    port = str(free_port())
    process = subprocess.Popen(
        ["redis-server", "--port", port, "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_machines_that_share_three_urls(
    tmp_path: Path,
    digits: Digits,
    s3_server: S3Server,
    s3_url: str,
    new_postgres_schema: Callable[[], str],
) -> None:
    """An API and a worker, each with its own disk; then another API with an empty one."""
    with contextlib.ExitStack() as machines:
        settings = {
            **s3_server.environment,
            "ACCRUE_DATABASE": new_postgres_schema(),
            "ACCRUE_BROKER": machines.enter_context(redis(tmp_path)),
            "ACCRUE_STORAGE": s3_url,
            "ACCRUE_TRAIN_THREADS": "1",
            "ACCRUE_INFERENCE_THREADS": "1",
        }
        data = ("--data-dir", str(tmp_path / "migrating"))
        assert accrue("migrate", *data, **settings).returncode == 0

        def api(name: str) -> Remote:
            port = free_port()
            machines.enter_context(
                running(tmp_path / name, "serve", "--port", str(port), **settings)
            )
            return Remote(f"http://127.0.0.1:{port}")

        machines.enter_context(running(tmp_path / "worker", "worker", **settings))
        first = api("first")
        taught(first, digits)
        before = state(first, digits)
        assert state(api("second"), digits) == before
        first.http.put("/v1/classifiers/kept/aliases/live", json={"version": 1}).raise_for_status()
        assert first.predict_by("kept", 1, digits.held_out(0))["version"] == 1
    for name in ("first", "second", "worker"):
        assert not (tmp_path / name / "data" / "blobs").exists()


class Remote(Service):
    """A service that was started elsewhere, once it answers."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)

        def answers() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return self.http.get("/health/ready").status_code == 200
            return False

        wait_for(answers)


@pytest.mark.parametrize("command", ["up", "serve", "worker", "sweep"])
def test_a_bucket_that_is_not_there_ends_the_command(
    command: str, tmp_path: Path, migrated_sqlite: Path, s3_server: S3Server
) -> None:
    url = f"s3://{secrets.token_hex(8)}"
    ended = accrue(
        command,
        *("--data-dir", str(tmp_path)),
        **s3_server.environment,
        ACCRUE_PORT="0",
        ACCRUE_DATABASE=f"sqlite:///{migrated_sqlite}",
        ACCRUE_STORAGE=url,
    )
    assert ended.returncode == 1
    said = " ".join(ended.stderr.split())
    assert f"there is no bucket {url[5:]}: make it" in said
    assert "Traceback" not in ended.stderr


def test_a_storage_that_is_no_url_of_a_bucket(tmp_path: Path) -> None:
    ended = accrue("migrate", "--data-dir", str(tmp_path), ACCRUE_STORAGE="gs://bucket")
    assert ended.returncode == 1
    assert "ACCRUE_STORAGE" in ended.stderr
    assert "s3://bucket/prefix" in ended.stderr

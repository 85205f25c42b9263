"""Several machines on a network that breaks: database and broker on one, the API on another, two
with workers. What they share besides is the storage."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import select

import migrations
from app.db.engine import Database
from app.db.tables import Worker
from app.settings import Settings
from tests.pictures import png
from tests.servers import OwnPostgres, OwnRedis
from tests.worker.harness import Service, is_gone, stop, train_forever, training_process
from tests.worker.machines import Machine, Network, network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Site:
    """The machines, and a client's service on the one that has the database."""

    def __init__(self, net: Network, servers: Path, folder: Path) -> None:
        store = net.machine("store")
        for name in ("postgres", "redis"):
            (servers / name).mkdir()
        self.postgres = OwnPostgres(servers / "postgres", store.address, store.within)
        self.redis = OwnRedis(servers / "redis", store.address, store.within)
        self.postgres.start()
        self.redis.start()
        migrations.upgrade(self.postgres.local_url)
        settings = Settings(
            data_dir=folder / "own",
            database=self.postgres.local_url,
            storage=str(folder / "blobs"),
            device="cpu",
            train_threads=1,
            inference_threads=1,
            lease_seconds=5,
        )
        self.service = Service(Database(self.postgres.local_url), settings)
        self.folder = folder

    def of(self, machine: Machine) -> dict[str, Any]:
        """Settings of a process on a machine."""
        servers = {"database": self.postgres.url, "broker": self.redis.url}
        return {**servers, "data_dir": self.folder / machine.name}

    def close(self) -> None:
        self.service.db.close()
        self.redis.stop()
        self.postgres.stop()


@pytest.fixture
def lan() -> Iterator[Network]:
    with network() as net:
        yield net


@pytest.fixture
def site(lan: Network, server_folder: Path, tmp_path: Path) -> Iterator[Site]:
    site = Site(lan, server_folder, tmp_path)
    yield site
    site.close()


def wait_until(done: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.2)


def test_a_worker_that_is_cut_off_loses_its_job_and_serves_again(lan: Network, site: Site) -> None:
    service = site.service
    near, far = lan.machine("near"), lan.machine("far")
    with service.worker(within=far.within, **site.of(far)) as cut_off:
        job_id = train_forever(service, "kept")
        child = training_process(psutil.Process(cut_off.pid))
        with service.worker(within=near.within, **site.of(near)) as other:
            with service.db.reading() as session:
                assert set(session.scalars(select(Worker.host))) == {near.name, far.name}
            far.cut()
            service.shorten(job_id)
            job = service.wait(job_id, lambda job: job.finished, seconds=120)
            assert (job.state, job.attempt, job.version) == ("succeeded", 2, 1)
            assert child.is_running()  # nobody could tell it
            assert stop(other) == 0
        said = service.event_types(job_id)
        far.join()
        assert is_gone(child)
        after = service.learn(service.upload("c"), "kept")
        assert service.wait(after, lambda job: job.finished, seconds=120).version == 2
        assert service.job(job_id) == job.model_copy(update={"promoted": False})
        assert service.event_types(job_id) == said
        assert [version.number for version in service.versions()] == [1, 2]
        assert stop(cut_off) == 0


def test_an_api_that_is_cut_off_predicts_and_comes_back(lan: Network, site: Site) -> None:
    service = site.service
    front, back = lan.machine("front"), lan.machine("back")
    url = "http://127.0.0.1:8000"
    environment = service._environment(**site.of(front))
    command = [*front.within, sys.executable, "-m", "app.cli", "serve"]

    def ask(method: str, path: str, **sent: Any) -> httpx.Response:
        return front.request(method, url + path, **sent)

    def predicted() -> httpx.Response:
        headers = {"Content-Type": "image/png"}
        return ask("POST", "/v1/classifiers/toy/predict", content=png(1, 8, 8), headers=headers)

    def serves(version: int) -> Callable[[], bool]:
        def asked() -> bool:
            try:
                answer = predicted()
            except httpx.HTTPError:
                return False
            return answer.status_code == 200 and answer.json()["version"] == version

        return asked

    api = subprocess.Popen(command, env=environment)
    try:
        with service.worker(within=back.within, **site.of(back)):
            service.classifier()
            assert service.end(service.learn(service.upload("a"))).version == 1
            wait_until(serves(1))
            front.cut()
            assert service.end(service.learn(service.upload("b"))).version == 2
            assert predicted().json()["version"] == 1
            for method, path in [("GET", "/v1/classifiers"), ("DELETE", "/v1/classifiers/toy")]:
                refused = ask(method, path)
                assert (refused.status_code, refused.json()["code"]) == (
                    503,
                    "database-unavailable",
                )
                assert refused.headers["Retry-After"]
            errors = ask("GET", "/health/ready").json()["errors"]
            assert [error["pointer"] for error in errors] == ["/database", "/queue"]
            assert predicted().status_code == 200
            front.join()
            wait_until(serves(2))
            wait_until(lambda: ask("GET", "/health/ready").status_code == 200)
    finally:
        api.kill()
        api.wait()

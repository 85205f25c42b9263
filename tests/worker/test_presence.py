"""Who is known to be dead, and who is not: by locks of real processes."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.db.tables import Worker
from app.services.queue.dispatcher import Dispatcher
from tests.databases import ONE_KIND_AT_FIRST
from tests.disk import fill
from tests.worker.harness import Place, Service, served, train_forever
from tests.worker.test_claim import must_claim
from worker.health import Health
from worker.presence import Presence

_SHOW = """
import sys, time
from pathlib import Path
from worker.presence import Presence
Presence(Path(sys.argv[1]), sys.argv[2]).show()
print(flush=True)
time.sleep(600)
"""


@contextmanager
def living(folder: Path, worker_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that shows itself as a worker does."""
    command = [sys.executable, "-c", _SHOW, str(folder), worker_id]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def running(health: Health) -> Iterator[None]:
    """The thread of a registration."""
    stop = threading.Event()
    thread = threading.Thread(target=health.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_worker_is_dead_once_its_lock_is_free(tmp_path: Path) -> None:
    own = Presence(tmp_path, "wrk_own")
    own.show()
    with living(tmp_path, "wrk_a") as process:
        assert own.dead() == {}
        process.kill()
        process.wait()
        (file,) = tmp_path.glob("*-wrk_a.alive")
        assert own.dead() == {"wrk_a": file}
    file.unlink()
    own.hide()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_concluded_from_another_kernels_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere-1-wrk_b.alive").write_text("another\nwrk_b\n")
    (tmp_path / "here-1.alive").touch()
    assert Presence(tmp_path, "wrk_own").dead() == {}


def test_a_worker_frees_the_jobs_of_the_dead_of_its_machine(service: Service) -> None:
    folder = service.settings.data_dir / "workers"
    folder.mkdir(parents=True)
    jobs = {}
    with living(folder, "wrk_dead") as dead, living(folder, "wrk_alive"):
        for worker in ("wrk_dead", "wrk_alive", "wrk_elsewhere"):
            name = service.classifier(worker.removeprefix("wrk_"))
            jobs[worker] = service.learn(service.upload("a", count=2), name)
            must_claim(service, jobs[worker], worker)
        dead.kill()
        dead.wait()
        Health(service.db, service.settings, "wrk_new", ["default"], "cpu").register()
        Dispatcher(service.db, service.settings).tick()
        states = {worker: service.job(job_id).state for worker, job_id in jobs.items()}
    assert states == {"wrk_dead": "queued", "wrk_alive": "running", "wrk_elsewhere": "running"}
    assert not list(folder.glob("*-wrk_dead.alive"))


@ONE_KIND_AT_FIRST
def test_a_worker_starts_on_a_full_disk_and_shows_itself_once_there_is_room(
    service: Service, small_disk: Path
) -> None:
    folder = small_disk / "workers"
    folder.mkdir()
    filler = fill(small_disk)
    settings = service.settings.model_copy(update={"data_dir": small_disk})
    health = Health(service.db, settings, "wrk_1", ["default"], "cpu")
    health.register()
    assert service.worker_ids() == {"wrk_1"}
    assert list(folder.iterdir()) == []
    filler.unlink()
    with running(health):
        while not list(folder.glob("*-wrk_1.alive")):
            time.sleep(0.05)
    assert Presence(folder, "wrk_2").dead() == {}
    health.unregister()
    assert list(folder.iterdir()) == []


def test_a_death_that_could_not_be_entered_is_found_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = service.settings.data_dir / "workers"
    folder.mkdir(parents=True)
    with living(folder, "wrk_dead") as dead:
        Health(service.db, service.settings, "wrk_dead", ["default"], "cpu")._insert([])
        dead.kill()
        dead.wait()
        successor = Health(service.db, service.settings, "wrk_new", ["default"], "cpu")

        def killed(_dead: list[str]) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(successor, "_insert", killed)
            with pytest.raises(KeyboardInterrupt):
                successor.register()
        assert service.worker_ids() == {"wrk_dead"}
        Health(service.db, service.settings, "wrk_newer", ["default"], "cpu").register()
    assert service.worker_ids() == {"wrk_newer"}


@ONE_KIND_AT_FIRST
def test_workers_silent_for_long_are_forgotten_and_enter_again(service: Service) -> None:
    health = Health(service.db, service.settings, "wrk_1", ["default"], "cpu")
    health.register()
    with service.db.transaction() as session:
        long_ago = service.db.now(session) - timedelta(days=1)
        session.execute(update(Worker).values(seen_at=long_ago))
    other = Health(service.db, service.settings, "wrk_2", ["default"], "cpu")
    other.register()
    assert service.worker_ids() == {"wrk_2"}
    health._update()  # it was only stopped
    assert service.worker_ids() == {"wrk_1", "wrk_2"}
    for each in (health, other):
        each.unregister()
    assert service.worker_ids() == set()


@pytest.mark.slow
def test_containers_of_one_name_leave_each_other_alone(place: Place, tmp_path: Path) -> None:
    """Each worker is process 1 of a host called "same", over one data folder."""
    container = ["unshare", "--fork", "--pid", "--kill-child", "--uts", "--mount-proc"]
    if subprocess.run([*container, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make namespaces (unshare)")
    renamed = [*container, "sh", "-c", 'hostname same; exec "$@"', "sh"]
    with served(place(), tmp_path) as service, service.worker(within=renamed):
        job_id = train_forever(service, "kept")
        with service.worker(within=renamed):
            assert len(service.worker_ids()) == 2
            before = service.job(job_id).heartbeat_at
            job = service.wait(job_id, lambda job: job.heartbeat_at > before)
            assert (job.state, job.attempt) == ("running", 1)
            with service.db.reading() as session:
                rows = session.execute(select(Worker.host, Worker.pid)).all()
            assert rows == [("same", 1), ("same", 1)]

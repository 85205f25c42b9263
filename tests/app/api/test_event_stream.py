"""Events as a stream, from the server that `accrue serve` runs."""

import copy
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import pytest

from app.api import events as route
from app.cli import api_process
from app.db.engine import Database
from app.db.repositories.events import Event
from app.services.access.keys import revoke
from app.services.jobs import jobs
from app.services.jobs.event_polling import EventPoller
from app.services.jobs.views import ProgressView
from app.settings import Settings
from tests.app.keyed import bearer, new_key
from tests.databases import ONE_KIND_AT_FIRST
from tests.worker.harness import WORKSPACE, Service, nothing
from worker.lease import Lease

STREAM = {"accept": "text/event-stream"}


class Running(NamedTuple):
    """A server in a thread of its own."""

    http: httpx.Client
    server: Any
    thread: threading.Thread

    @property
    def event_poller(self) -> EventPoller:
        found: EventPoller = self.server.config.app.state.event_poller
        return found

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive()


@contextmanager
def serving(settings: Settings) -> Iterator[Running]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = api_process.make_server(settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=url, timeout=60) as http:
            running = Running(http, server, thread)
            yield running
        running.stop()


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


@pytest.fixture
def running(settings: Settings) -> Iterator[Running]:
    with serving(settings) as running:
        yield running


@pytest.fixture
def job_id(service: Service) -> str:
    service.classifier()
    return service.learn(service.upload("a", "b", count=2))


def frames(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Read a stream's events as the HTML standard says; a comment is one of its own."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name or "comment"] = value.removeprefix(" ")
        elif fields:
            yield fields
            fields = {}


def stream(running: Running, job_id: str, **given: Any) -> list[dict[str, str]]:
    """Return all of a stream that ends."""
    headers = STREAM | given.pop("headers", {})
    path = f"/v1/jobs/{job_id}/events"
    with running.http.stream("GET", path, headers=headers, **given) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        return list(frames(answer.iter_lines()))


def wait_until(true: Any) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_no_event_is_lost_or_doubled_while_others_write(
    service: Service, running: Running, settings: Settings, job_id: str
) -> None:
    lease = Lease.claim(service.db, settings, job_id, "wrk_test")
    assert lease is not None
    writers, each = 4, 25

    def write(writer: int) -> None:
        own = Database(settings.database_url)  # connections as of another process
        mine = copy.copy(lease)
        mine._db = own
        for number in range(each):
            made = [Event("epoch", f"{writer}.{number}.{part}") for part in range(2)]
            assert mine.heartbeat({}, made, extend=True) == "running"
        own.close()

    with ThreadPoolExecutor(writers + 2) as pool:
        streams = [pool.submit(stream, running, job_id) for _ in range(2)]
        for done in [pool.submit(write, writer) for writer in range(writers)]:
            done.result()
        lease.cancelled()
        found = [each.result() for each in streams]
    count = 2 + 2 * writers * each + 1
    listed = running.http.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000}).json()["data"]
    for each_found in found:
        assert [int(frame["id"]) for frame in each_found] == list(range(1, count + 1))
        assert [json.loads(frame["data"]) for frame in each_found] == listed
        assert [frame["event"] for frame in each_found] == [event["type"] for event in listed]
    assert found[0][-1]["event"] == "cancelled"
    assert running.event_poller.streams == 0


@ONE_KIND_AT_FIRST
def test_a_stream_is_resumed_and_ends_with_the_job(
    service: Service, running: Running, job_id: str
) -> None:
    service.cancel(job_id)
    path = f"/v1/jobs/{job_id}/events"
    assert [frame["event"] for frame in stream(running, job_id)] == ["created", "cancelled"]
    assert [frame["id"] for frame in stream(running, job_id, params={"after": 1})] == ["2"]
    resumed = {"Last-Event-ID": "1"}
    # The last event received takes precedence over `after`.
    found = stream(running, job_id, params={"after": 0}, headers=resumed)
    assert [frame["id"] for frame in found] == ["2"]
    over = running.http.get(path, headers=STREAM | {"Last-Event-ID": "2"})
    assert (over.status_code, over.content) == (204, b"")
    wrong = running.http.get(path, headers=STREAM | {"Last-Event-ID": "two"})
    assert wrong.json()["errors"][0]["pointer"] == "/header/last-event-id"
    # After a retry, a new request continues the stream.
    jobs.retry(service.db, WORKSPACE, job_id, on_created=nothing)
    with running.http.stream("GET", path, headers=STREAM | {"Last-Event-ID": "2"}) as answer:
        following = frames(answer.iter_lines())
        assert next(following)["event"] == "requeued"
        service.cancel(job_id)
        assert [frame["event"] for frame in following] == ["cancelled"]


@ONE_KIND_AT_FIRST
def test_a_stream_is_negotiated(service: Service, running: Running, job_id: str) -> None:
    path = f"/v1/jobs/{job_id}/events"
    for accept in ("text/html", "image/*", "application/jsonx"):
        refused = running.http.get(path, headers={"accept": accept})
        assert (refused.status_code, refused.json()["code"]) == (406, "not-acceptable")
    for accept in (
        "",
        "*/*",
        "application/*",
        "application/json; charset=utf-8",
        "text/event-stream, application/json",
    ):
        assert running.http.get(path, headers={"accept": accept}).json()["data"]
    for accept in ("Text/Event-Stream", "text/html, text/event-stream ; q=0.7, */*;q=0.1"):
        with running.http.stream("GET", path, headers={"accept": accept}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
    missing = running.http.get("/v1/jobs/job_none/events", headers=STREAM)
    assert (missing.status_code, missing.json()["code"]) == (404, "job-not-found")


@ONE_KIND_AT_FIRST
def test_a_silent_stream_shows_that_it_lives(
    service: Service, running: Running, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "_HEARTBEAT_SECONDS", 0.05)
    with running.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as answer:
        following = frames(answer.iter_lines())
        assert next(following)["event"] == "created"
        assert [list(next(following)) for _ in range(3)] == [["comment"]] * 3


@ONE_KIND_AT_FIRST
def test_streams_are_counted_and_bounded(service: Service, settings: Settings, job_id: str) -> None:
    path = f"/v1/jobs/{job_id}/events"
    with serving(settings.model_copy(update={"event_streams": 2})) as running:
        get = running.http.stream
        with get("GET", path, headers=STREAM), get("GET", path, headers=STREAM):
            full = running.http.get(path, headers=STREAM)
            assert (full.status_code, full.json()["code"]) == (503, "too-many-streams")
            assert full.headers["Retry-After"]
            assert running.http.get(path).status_code == 200
        # Clients that went away make room.
        wait_until(lambda: running.event_poller.streams == 0)
        with get("GET", path, headers=STREAM) as answer:
            assert answer.status_code == 200


@ONE_KIND_AT_FIRST
def test_open_streams_hold_no_thread_and_no_connection(
    service: Service, running: Running, job_id: str
) -> None:
    pool = running.server.config.app.state.database.engine.pool
    path = f"/v1/jobs/{job_id}/events"
    before = threading.active_count()
    clients = [running.http.build_request("GET", path, headers=STREAM) for _ in range(60)]
    with httpx.Client(limits=httpx.Limits(max_connections=None), timeout=60) as http:
        answers = [http.send(client, stream=True) for client in clients]
        following = [frames(answer.iter_lines()) for answer in answers]
        assert {next(lines)["event"] for lines in following} == {"created"}
        assert running.event_poller.streams == 60
        # 40 threads serve requests and a poll is brief; 60 blocking streams would use them all.
        assert threading.active_count() < before + 60
        wait_until(lambda: pool.checkedout() == 0)
        assert running.http.get(f"/v1/jobs/{job_id}").status_code == 200
        service.cancel(job_id)
        assert {next(lines)["event"] for lines in following} == {"cancelled"}


@ONE_KIND_AT_FIRST
def test_waits_hold_no_thread_and_no_connection_and_end_with_each_change(
    service: Service, running: Running, settings: Settings, job_id: str
) -> None:
    pool = running.server.config.app.state.database.engine.pool
    before = threading.active_count()
    lease = Lease.claim(service.db, settings, job_id, "wrk_test")
    assert lease is not None

    def waiting(client: httpx.Client) -> Any:
        return client.get(f"/v1/jobs/{job_id}", params={"wait": 60}).json()

    with (
        httpx.Client(
            base_url=running.http.base_url, timeout=60, limits=httpx.Limits(max_connections=None)
        ) as http,
        ThreadPoolExecutor(60) as clients,
    ):
        answers = [clients.submit(waiting, http) for _ in range(60)]
        wait_until(lambda: len(running.event_poller._waiting) == 60)
        # The clients' own 60 threads, and fewer than one a client in the server.
        assert threading.active_count() < before + 120
        wait_until(lambda: pool.checkedout() == 0)
        # Progress without an event.
        progress = dict.fromkeys(ProgressView.model_fields) | {"fraction": 0.5}
        lease.heartbeat({"phase": "training", "progress": progress}, [], extend=True)
        found = [answer.result(30) for answer in answers]
        assert [job["progress"]["fraction"] for job in found] == [0.5] * 60


@ONE_KIND_AT_FIRST
def test_streams_and_waits_end_when_the_server_stops(
    service: Service, running: Running, job_id: str
) -> None:
    path = f"/v1/jobs/{job_id}"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(running.http.get, path, params={"wait": 60})
        with running.http.stream("GET", f"{path}/events", headers=STREAM) as answer:
            following = frames(answer.iter_lines())
            assert next(following)["event"] == "created"
            time.sleep(0.3)
            running.stop()
            # The end of the body, not a connection cut in it.
            assert list(following) == []
        assert waiting.result(30).json()["state"] == "queued"


@ONE_KIND_AT_FIRST
def test_a_stream_ends_when_its_job_is_deleted(
    service: Service, running: Running, job_id: str
) -> None:
    with running.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as answer:
        following = frames(answer.iter_lines())
        assert next(following)["event"] == "created"
        service.cancel(job_id)
        running.http.delete("/v1/classifiers/toy").raise_for_status()
        assert [frame["event"] for frame in following] in ([], ["cancelled"])


@ONE_KIND_AT_FIRST
def test_a_stream_ends_with_its_key(service: Service, settings: Settings, job_id: str) -> None:
    with serving(settings.model_copy(update={"keys": "required"})) as running:
        path = f"/v1/jobs/{job_id}/events"
        headers = STREAM | bearer(new_key(service.db, "train", name="going"))
        with running.http.stream("GET", path, headers=headers) as answer:
            following = frames(answer.iter_lines())
            assert next(following)["event"] == "created"
            revoke(service.db, "going")
            assert list(following) == []  # the job has not ended, but the stream has
        assert running.http.get(path, headers=headers).status_code == 401

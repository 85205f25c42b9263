"""`GET /metrics`: what a scrape says is what happened."""

import asyncio
import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import make_url, update

from app.db.engine import Database
from app.db.tables import Job, JobEvent, WebhookDelivery, Worker
from app.main import create_app
from app.settings import Settings
from tests.app import learnt
from tests.app.keyed import bearer, new_key
from tests.app.learnt import Published, png
from tests.app.proxy import Proxy
from tests.e2e.harness import wait_for

QUEUED = "accrue_predict_queue_seconds_count"
UP = "accrue_database_up"
PNG = {"content-type": "image/png"}
Publish = Callable[..., Published]

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
postgres_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


class Metrics:
    """One scrape, by name and labels."""

    def __init__(self, text: str) -> None:
        self.samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def __call__(self, name: str, **labels: str) -> float | None:
        """The value of the one series with exactly these labels, None where there is none."""
        found = [s.value for s in self.samples if (s.name, s.labels) == (name, labels)]
        assert len(found) < 2
        return found[0] if found else None

    def all(self, name: str) -> dict[tuple[str, ...], float]:
        """The values of all series of that name, by their labels' values in the labels' order."""
        return {
            tuple(value for _, value in sorted(s.labels.items())): s.value
            for s in self.samples
            if s.name == name
        }


def scrape(api: TestClient) -> Metrics:
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Metrics(answer.text)


@sqlite_only
def test_requests_by_route_method_and_status(api: TestClient) -> None:
    for number in range(3):
        api.get(f"/v1/jobs/job_{number}")
    api.get("/v1/methods")
    api.post("/predict", content=png(), headers=PNG)
    metrics = scrape(api)
    job = {"route": "/v1/jobs/{job_id}", "method": "GET"}
    assert metrics("accrue_http_requests_total", **job, status="4xx") == 3
    assert metrics("accrue_http_request_seconds_count", **job) == 3
    assert metrics("accrue_http_request_seconds_bucket", **job, le="+Inf") == 3
    listed = {"route": "/v1/methods", "method": "GET"}
    assert metrics("accrue_http_requests_total", **listed, status="2xx") == 1
    assert metrics("accrue_http_problems_total", status="404", code="job-not-found") == 3
    assert metrics("accrue_http_problems_total", status="404", code="classifier-not-found") == 1
    # The scrape itself is counted when it answers.
    own = {"route": "/metrics", "method": "GET"}
    assert metrics("accrue_http_requests_total", **own, status="2xx") is None
    assert scrape(api)("accrue_http_requests_total", **own, status="2xx") == 1


@sqlite_only
def test_clients_make_no_series(api: TestClient) -> None:
    def series() -> set[tuple[str, tuple[str, ...]]]:
        return {(sample.name, tuple(sample.labels.values())) for sample in scrape(api).samples}

    def strange(number: int) -> None:
        api.get(f"/nowhere/{number}")
        api.get(f"/v1/classifiers/{number}", headers={"X-Request-ID": f"r{number}"})
        api.request(f"BREW{number}", "/v1/jobs")
        api.post(f"/predict?classifier={number}&version={number}", content=b"x", headers=PNG)

    strange(0)
    series()
    before = series()
    for number in range(1, 20):
        strange(number)
    assert series() == before
    metrics = scrape(api)
    strange_methods = {"route": "/v1/jobs", "method": "other", "status": "4xx"}
    assert metrics("accrue_http_requests_total", **strange_methods) == 20
    nowhere = {"route": "none", "method": "GET", "status": "4xx"}
    assert metrics("accrue_http_requests_total", **nowhere) == 20


@sqlite_only
def test_a_scrape_needs_its_scope(settings: Settings, database: Database) -> None:
    required = settings.model_copy(update={"keys": "required"})
    with TestClient(create_app(required)) as api:
        assert api.get("/metrics").status_code == 401
        for scope, status in (("metrics", 200), ("admin", 200), ("predict", 403), ("train", 403)):
            headers = bearer(new_key(database, scope))
            assert api.get("/metrics", headers=headers).status_code == status, scope


@sqlite_only
def test_predictions(api: TestClient, publish: Publish) -> None:
    publish(0)
    for seed in range(3):
        api.post("/predict", content=png(seed), headers=PNG).raise_for_status()
    form = [("files", ("x", image, "image/png")) for image in (png(1), b"no image", png(2))]
    api.post("/predict", files=form).raise_for_status()
    api.post("/predict?version=1", content=png(), headers=PNG).raise_for_status()
    api.post("/predict?version=7", content=png(), headers=PNG)
    # A batch is counted once its answers are on their way.
    metrics = wait_for(lambda: seen if (seen := scrape(api))(QUEUED) == 7 else None)
    assert metrics("accrue_predict_images_total", outcome="predicted") == 6
    assert metrics("accrue_predict_images_total", outcome="failed") == 1
    batches = metrics("accrue_predict_batch_images_count")
    assert batches is not None
    assert 5 <= batches <= 7
    assert metrics("accrue_predict_batch_images_sum") == 7
    for stage in ("decode", "infer"):
        assert metrics(f"accrue_predict_{stage}_seconds_count") == batches
        assert metrics(f"accrue_predict_{stage}_seconds_sum") > 0
    assert metrics("accrue_predict_queue_images") == 0
    assert metrics("accrue_predict_queue_capacity_images") == 1024
    assert metrics("accrue_loaded_versions") == 1


@sqlite_only
def test_a_refused_prediction_says_why(api: TestClient) -> None:
    api.post("/v1/classifiers", json={"name": "signs", **learnt.BODY}).raise_for_status()
    for _ in range(2):
        assert api.post("/predict", content=png(), headers=PNG).status_code == 409
    metrics = scrape(api)
    assert metrics("accrue_http_problems_total", status="409", code="no-version-yet") == 2
    asked = {"route": "/predict", "method": "POST", "status": "4xx"}
    assert metrics("accrue_http_requests_total", **asked) == 2


@sqlite_only
def test_uploads_streams_and_disks(api: TestClient) -> None:
    body = archive(3)
    zipped = {"content-type": "application/zip"}
    api.post("/v1/uploads", content=body, headers=zipped).raise_for_status()
    api.post("/v1/classifiers", json={"name": "signs", **learnt.BODY}).raise_for_status()
    url = "/v1/classifiers/signs/learn"
    job = api.post(url, content=body, headers=zipped).raise_for_status().json()
    metrics = scrape(api)
    assert metrics("accrue_upload_bytes_total") == 2 * len(body)
    assert metrics("accrue_upload_images_total") == 6
    assert metrics("accrue_event_streams") == 0
    assert metrics("accrue_event_streams_limit") == 256
    assert set(metrics.all("accrue_disk_free_bytes")) == {("data",), ("storage",)}
    assert metrics("accrue_disk_size_bytes", folder="data") > 0
    assert job["state"] == "queued"


@sqlite_only
def test_a_client_that_leaves_is_no_error_of_ours(api: TestClient) -> None:
    come: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"half of", "more_body": True},
        {"type": "http.disconnect"},
    ]
    answers: list[Any] = []

    async def receive() -> Any:
        return come.pop(0)

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/uploads",
        "raw_path": b"/v1/uploads",
        "query_string": b"",
        "headers": [(b"content-type", b"application/zip"), (b"content-length", b"100")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    asyncio.run(api.app(scope, receive, send))
    assert answers == []
    metrics = scrape(api)
    assert metrics("accrue_upload_bytes_total") == len(b"half of")
    uploads = [
        labels for labels in metrics.all("accrue_http_requests_total") if "/v1/uploads" in labels
    ]
    assert uploads == []


def archive(images: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for seed in range(images):
            file.writestr(f"stop/{seed}.png", png(seed))
    return buffer.getvalue()


def test_fleet(api: TestClient, database: Database) -> None:
    zipped = {"content-type": "application/zip"}
    for name in ("one", "two"):
        api.post("/v1/classifiers", json={"name": name, **learnt.BODY}).raise_for_status()
    api.post(
        "/v1/classifiers", json={"name": "large", **learnt.BODY, "hardware": "gpu"}
    ).raise_for_status()
    jobs = {}
    for name in ("one", "one", "two", "large"):
        answer = api.post(f"/v1/classifiers/{name}/learn", content=archive(2), headers=zipped)
        jobs.setdefault(name, []).append(answer.raise_for_status().json()["id"])
    cancelled = jobs["large"][0]
    api.post(f"/v1/jobs/{cancelled}/cancel").raise_for_status()
    with database.transaction() as session:
        now = database.now(session)
        hour, minute = timedelta(hours=1), timedelta(minutes=1)
        session.execute(
            update(Job)
            .where(Job.id == cancelled)
            .values(
                state="failed", error={"code": "out-of-memory", "detail": "", "retryable": True}
            )
        )
        # The dispatcher of the running service would take a lease that has run out.
        held = update(Job).where(Job.id == jobs["two"][0])
        session.execute(held.values(state="running", lease_expires_at=now + hour))
        aged = update(JobEvent).where(JobEvent.job_id == jobs["one"][0])
        session.execute(aged.values(at=now - hour))
        # A change of a waiting job does not restart its waiting time.
        warning = {"type": "warning", "level": "warning", "message": "No worker."}
        session.add(JobEvent(job_id=jobs["one"][0], seq=2, at=now, data={}, **warning))
        for number, seen in enumerate((now, now - 10 * minute, now)):
            session.add(
                Worker(
                    id=f"wrk_{number}",
                    host="somewhere",
                    pid=number,
                    queues=["train", "default"] if number else ["default"],
                    device="cuda" if number else "cpu",
                    started_at=now - hour,
                    seen_at=seen,
                )
            )
        for number, (state, error) in enumerate(
            (("pending", None), ("pending", "refused"), ("failed", "refused"), ("delivered", None))
        ):
            session.add(
                WebhookDelivery(
                    id=f"whd_{number}",
                    type="job.succeeded",
                    url="https://example.org",
                    payload="{}",
                    state=state,
                    last_error=error,
                    next_at=now + hour if state == "pending" else None,
                    created_at=now,
                )
            )
    metrics = scrape(api)
    assert metrics("accrue_database_up") == 1
    assert metrics("accrue_jobs", kind="learn", state="queued") == 2
    assert metrics("accrue_jobs", kind="learn", state="running") == 1
    assert metrics("accrue_jobs", kind="learn", state="failed") == 1
    assert metrics("accrue_jobs", kind="forget", state="running") == 0
    # The second job of "one" waits for the first, not for a worker.
    assert metrics("accrue_waiting_jobs", queue="default") == 1
    assert metrics("accrue_waiting_jobs", queue="train") == 0
    assert 3600 <= metrics("accrue_oldest_waiting_job_seconds", queue="default") < 7200
    assert metrics("accrue_oldest_waiting_job_seconds", queue="train") == 0
    assert metrics("accrue_expired_leases") == 0
    assert metrics.all("accrue_failed_jobs") == {("worker-lost",): 0, ("out-of-memory",): 1}
    assert metrics.all("accrue_workers") == {
        ("cpu", "default"): 1,
        ("cuda", "default"): 1,
        ("cuda", "train"): 1,
    }
    assert metrics.all("accrue_webhook_deliveries") == {
        ("pending",): 1,
        ("retrying",): 1,
        ("failed",): 1,
        ("delivered",): 1,
    }
    assert metrics("accrue_classifiers") == 3
    assert metrics("accrue_versions") == 0
    assert metrics("accrue_blobs") == 2
    assert metrics("accrue_blob_bytes") == sum(len(png(seed)) for seed in range(2))
    again = scrape(api)
    read = "accrue_database_read_seconds"
    assert again(read) == metrics(read), "two scrapes in a row are served by one read"


def test_expired_leases_are_counted(settings: Settings, database: Database) -> None:
    # The service does not run: its dispatcher would free the job.
    from app.db.repositories import fleet as fleet_rows
    from app.db.tables import Classifier

    with database.transaction() as session:
        now = database.now(session)
        session.add(Classifier(id="cls_1", name="signs", spec=learnt.BODY, created_at=now))
        session.flush()
        session.add(
            Job(
                id="job_1",
                classifier_id="cls_1",
                kind="learn",
                request={},
                state="running",
                attempt=1,
                lease_expires_at=now - timedelta(seconds=1),
                created_at=now,
            )
        )
    with database.reading() as session:
        counts = fleet_rows.counts(session, now=now, workers_since=now)
    assert counts.expired_leases == 1


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    """What stands between the service and PostgreSQL."""
    url = make_url(database_url)
    with Proxy(url.host or "127.0.0.1", url.port or 5432) as proxy:
        yield proxy


@pytest.fixture
def behind_proxy(settings: Settings, proxy: Proxy) -> Settings:
    url = make_url(settings.database_url).set(host="127.0.0.1", port=proxy.port)
    return settings.model_copy(update={"database": url.render_as_string(hide_password=False)})


@postgres_only
@pytest.mark.parametrize("way", ["refuse", "freeze"])
def test_without_the_database_a_scrape_answers(
    behind_proxy: Settings, proxy: Proxy, way: str
) -> None:
    with TestClient(create_app(behind_proxy)) as api:
        try:
            getattr(proxy, way)()
            away = scrape(api)
            assert away(UP) == 0
            assert away("accrue_jobs", kind="learn", state="queued") is None
            assert away("process_open_fds") > 0
            assert away("accrue_build", version=api.get("/version").json()["version"]) == 1
        finally:
            proxy.serve()
        back = wait_for(lambda: seen if (seen := scrape(api))(UP) == 1 else None)
        assert back("accrue_jobs", kind="learn", state="queued") == 0

"""An outage of the database or the broker: what continues, and what recovers by itself."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Production
from tests.e2e.harness import Digits, Service, wait_for

LONG = {"epochs": 10_000, "batch_size": 2}


def trains_on(service: Service, job_id: str) -> Callable[[], Any]:
    """Return a function: has the job trained since this call?"""

    def steps() -> tuple[int, int]:
        progress = service.job(job_id)["progress"] or {}
        return progress.get("epoch") or 0, progress.get("step") or 0

    before = steps()
    return lambda: steps() > before


def answers(service: Service) -> bool:
    try:
        return service.http.get("/health/ready").status_code == 200
    except httpx.HTTPError:
        return False


def test_a_database_that_goes_and_comes_back(shared_production: Production, digits: Digits) -> None:
    service, postgres = shared_production.service, shared_production.postgres
    http = service.http
    service.create("kept")
    service.learn("kept", digits.zip([0, 1]))
    zero = digits.held_out(0)
    before = service.predict_by("kept", 1, zero)
    service.create("long", options=LONG)
    job_id = service.queue("long", digits.zip([2, 3]))["id"]
    wait_for(trains_on(service, job_id))

    postgres.stop()
    # Training and predictions do not need it for a while.
    assert service.predict("kept", zero) == before
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/v1/classifiers", {}),
        ("GET", f"/v1/jobs/{job_id}", {}),
        ("POST", "/v1/classifiers", {"json": {"name": "new"}}),
        ("POST", "/v1/classifiers", {"json": {"name": "new"}, "headers": {"Idempotency-Key": "k"}}),
        ("POST", f"/v1/jobs/{job_id}/cancel", {}),
        ("PUT", "/v1/classifiers/kept/aliases/live", {"json": {"version": 1}}),
        ("DELETE", "/v1/classifiers/kept/versions/1", {}),
        ("POST", "/v1/uploads", {"content": digits.zip([4]), "headers": ZIP}),
        ("POST", "/v1/classifiers/kept/learn", {"content": digits.zip([4]), "headers": ZIP}),
        ("POST", "/v1/classifiers/kept/predict?version=9", {"content": zero, "headers": PNG}),
    ]
    for method, path, sent in requests:
        answer = http.request(method, path, **sent)
        assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable"), path
        assert answer.headers["Retry-After"]
    assert http.get("/health/ready").json()["errors"] == [
        {"pointer": "/database", "detail": "OperationalError"}
    ]
    assert http.get("/health/live").status_code == 200

    postgres.start()
    wait_for(lambda: answers(service))
    wait_for(trains_on(service, job_id))
    assert http.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    job = service.finished(job_id)
    assert (job["state"], job["attempt"]) == ("cancelled", 1), job
    assert service.learn("kept", digits.zip([4, 5])) == 2


@pytest.mark.slow
def test_a_broker_that_goes_and_comes_back(shared_production: Production, digits: Digits) -> None:
    service, redis = shared_production.service, shared_production.redis
    service.create("longer", options=LONG)
    job_id = service.queue("longer", digits.zip([0, 1]))["id"]
    wait_for(trains_on(service, job_id))
    redis.stop()
    # Training does not need it, and jobs are accepted all the same.
    wait_for(trains_on(service, job_id))
    service.create("late")
    late = service.queue("late", digits.zip([2, 3]))
    assert late["state"] == "queued"
    not_ready = service.http.get("/health/ready").json()["errors"]
    assert [error["pointer"] for error in not_ready] == ["/queue"]
    assert service.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    assert service.finished(job_id)["attempt"] == 1
    # No message reaches the worker, so it polls.
    assert service.finished(late["id"])["state"] == "succeeded"
    redis.start()
    # The broker loses all messages.
    redis.flush()
    assert service.learn("late", digits.zip([4, 5])) == 2


ZIP = {"Content-Type": "application/zip"}
PNG = {"Content-Type": "image/png"}

"""Forgetting over HTTP with a real worker: refused, done, and purged to the last byte."""

from typing import Any

from httpx import Response

from tests.e2e.harness import Digits, Service, wait_for


class Forgetful:
    """A classifier that learns 0 and 1, then 2 and 3 from an upload of its own."""

    def __init__(self, service: Service, digits: Digits) -> None:
        self.service, self.http = service, service.http
        self.path = "/v1/classifiers/forgetful"
        service.create("forgetful")
        service.learn("forgetful", digits.zip([0, 1]))
        self.secret = service.upload(digits.zip([2, 3]))
        learnt = self.http.post(f"{self.path}/jobs", json={"uploads": [self.secret]}).json()
        assert service.finished(learnt["id"])["version"] == 2
        report = self.http.get(f"/v1/jobs/{learnt['id']}/report")
        assert (report.status_code, report.json()["code"]) == (404, "no-report")

    def ask(self, *classes: str, **fields: Any) -> Response:
        body = {"kind": "forget", "classes": classes, **fields}
        return self.http.post(f"{self.path}/jobs", json=body)

    def forget(self, *classes: str, **fields: Any) -> dict[str, Any]:
        answer = self.ask(*classes, **fields)
        assert answer.status_code == 202, answer.text
        job = self.service.finished(answer.json()["id"])
        assert (job["kind"], job["state"]) == ("forget", "succeeded"), job
        return job

    def refused(self, *classes: str, **fields: Any) -> tuple[int, str]:
        answer = self.ask(*classes, **fields)
        return answer.status_code, answer.json()["code"]


def test_forget_and_purge(either_service: Service, inverted_digits: Digits) -> None:
    service, digits = either_service, inverted_digits
    forgetful = Forgetful(service, digits)
    http, path = service.http, forgetful.path
    forget, refused, secret = forgetful.forget, forgetful.refused, forgetful.secret
    assert refused("9") == (422, "unknown-class")
    assert refused("0", "1", "2", "3") == (422, "cannot-forget")
    assert refused() == (422, "invalid-request")
    assert refused("1", purge="yes") == (422, "invalid-request")
    assert refused("1", purge=1) == (422, "invalid-request")

    # One class: the others still answer, and the new version is measured again.
    before = http.get(f"{path}/versions/2").json()
    assert forget("1")["version"] == 3
    after = http.get(f"{path}/versions/3").json()
    assert [(c["label"], c["index"], c["task"]) for c in after["classes"]] == [
        ("0", 0, 0),
        ("2", 2, 1),
        ("3", 3, 1),
    ]
    assert (after["parent"], after["aliases"]) == (2, ["live"])
    assert after["memory"]["held_out"] == 30
    assert [len(row) for row in after["metrics"]["matrix"]] == [1, 2, 2]
    # What the first task's accuracy was with the forgotten class is no measure of forgetting.
    assert after["metrics"]["matrix"][:2] == [[None], [None, before["metrics"]["matrix"][1][1]]]
    assert set(after["metrics"]["per_class"]) == {"0", "2", "3"}
    three = digits.held_out(3)
    answer = service.predict_by("forgetful", 3, digits.held_out(1))["results"][0]
    assert {entry["label"] for entry in answer["ranked"]} == {"0", "2", "3"}
    assert service.predict("forgetful", three)["results"][0]["label"] == "3"

    # A task, with purge: what held it is gone from the API and from the disk.
    exemplars = [
        image["sha256"]
        for label in "23"
        for image in http.get(f"{path}/versions/2/exemplars?label={label}").json()["data"]
    ]
    files = [service.data_dir / "blobs" / sha[:2] / sha[2:4] / sha for sha in exemplars]
    assert files
    assert all(file.exists() for file in files)
    http.put(f"{path}/aliases/canary", json={"version": 2}).raise_for_status()
    assert refused("3", "2", purge=True) == (409, "cannot-purge")
    http.delete(f"{path}/aliases/canary").raise_for_status()
    job = forget("3", "2", purge="now")
    assert job["version"] == 4
    assert http.get(f"/v1/jobs/{job['id']}/report").json() == {
        "kind": "forget",
        "forgotten": ["2", "3"],
        "tasks": [1],
        "residual": ["backbone", "head"],
        "purged": {"versions": [2, 3], "uploads": [secret]},
    }
    numbers = [version["number"] for version in http.get(f"{path}/versions").json()["data"]]
    assert numbers == [4, 1]
    assert http.get(f"/v1/uploads/{secret}").status_code == 404
    assert http.get(f"/v1/images/{exemplars[0]}").status_code == 404
    wait_for(lambda: not any(file.exists() for file in files), 20)
    assert service.predict_by("forgetful", 4, three)["results"][0]["label"] == "0"

    # It continues to learn, with numbers that were never used before.
    assert service.learn("forgetful", digits.zip([2])) == 5
    latest = http.get(f"{path}/versions/5").json()
    assert [(c["label"], c["index"], c["task"]) for c in latest["classes"]] == [
        ("0", 0, 0),
        ("2", 4, 2),
    ]
    assert [len(row) for row in latest["metrics"]["matrix"]] == [1, 1, 1, 1, 2]


def test_a_job_queued_behind_the_one_that_forgets(service: Service, digits: Digits) -> None:
    service.create("twice", method="finetune")
    service.learn("twice", digits.zip([0, 1], train=10, test=2))
    body = {"kind": "forget", "classes": ["1"]}
    first, second = (
        service.http.post("/v1/classifiers/twice/jobs", json=body).json()["id"] for _ in range(2)
    )
    assert service.finished(first)["state"] == "succeeded"
    failed = service.finished(second)
    assert failed["state"] == "failed"
    assert failed["error"]["code"] == "unknown-class"

"""The main job, from an empty classifier to a roll-back, over HTTP alone."""

import base64

from tests.e2e.harness import Digits, Service


def test_the_loop(either_service: Service, digits: Digits) -> None:
    service = either_service
    http = service.http
    service.create("loop")
    path = "/v1/classifiers/loop"

    # First task: a zip file, a job to poll, a version with its metrics.
    job = service.queue("loop", digits.zip([0, 1]))
    assert job["state"] == "queued"
    assert job["version"] is None
    job = service.finished(job["id"])
    assert job["state"] == "succeeded", job
    assert (job["attempt"], job["version"], job["error"]) == (1, 1, None)
    assert job["progress"]["fraction"] == 1
    events = http.get(f"/v1/jobs/{job['id']}/events").json()["data"]
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})

    version = http.get(f"{path}/versions/1").json()
    assert version == http.get(f"{path}/versions/live").json()
    assert [(c["label"], c["index"], c["task"]) for c in version["classes"]] == [
        ("0", 0, 0),
        ("1", 1, 0),
    ]
    assert version["memory"]["held_out"] == 20
    assert len(version["metrics"]["matrix"]) == 1
    assert version["metrics"]["forgetting"] is None

    # The three kinds of body give the same answer.
    zero, one = digits.held_out(0), digits.held_out(1)
    raw = service.predict("loop", zero)
    assert raw["version"] == 1
    assert raw["results"][0]["label"] == "0"
    assert abs(sum(entry["score"] for entry in raw["results"][0]["ranked"]) - 1) < 1e-5
    multipart = http.post(f"{path}/predict", files=[("files", zero), ("files", one)]).json()
    images = [{"b64": base64.b64encode(image).decode()} for image in (zero, one)]
    as_json = http.post("/predict?classifier=loop", json={"images": images}).json()
    assert multipart == as_json
    assert [result["label"] for result in multipart["results"]] == ["0", "1"]

    # Second task: classes nobody planned for.
    assert service.learn("loop", digits.zip([2, 3])) == 2
    second = http.get(f"{path}/versions/2").json()
    assert second["parent"] == 1
    assert second["aliases"] == ["live"]
    assert [c["task"] for c in second["classes"]] == [0, 0, 1, 1]
    assert sum(c["exemplars"] for c in second["classes"]) == 40
    matrix = second["metrics"]["matrix"]
    assert [len(row) for row in matrix] == [1, 2]
    assert matrix[0] == version["metrics"]["matrix"][0]
    three = digits.held_out(3)
    assert service.predict_by("loop", 2, three)["results"][0]["label"] == "3"

    # Back to the first version, which never heard of a 3; the second still answers by number.
    answer = http.put(f"{path}/aliases/live", json={"version": 1, "expected_version": 2})
    assert answer.status_code == 200, answer.text
    assert service.predict_by("loop", 1, three)["results"][0]["label"] in ("0", "1")
    assert service.predict("loop", three, version=2)["results"][0]["label"] == "3"
    stale = http.put(f"{path}/aliases/live", json={"version": 1, "expected_version": 2})
    assert (stale.status_code, stale.json()["code"]) == (409, "stale-alias")


def test_one_shot_with_one_class_then_one_more(service: Service, digits: Digits) -> None:
    service.create("single", method="finetune")
    for label in (7, 8):
        answer = service.http.post(
            "/v1/classifiers/single/learn",
            content=digits.zip([label], train=10, test=2),
            headers={"Content-Type": "application/zip"},
        )
        assert answer.status_code == 202, answer.text
        assert len(answer.json()["uploads"]) == 1
        assert service.finished(answer.json()["id"])["state"] == "succeeded"
    versions = service.http.get("/v1/classifiers/single/versions").json()["data"]
    assert sorted(version["class_count"] for version in versions) == [1, 2]

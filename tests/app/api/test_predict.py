"""Predictions over HTTP, from versions that were really trained."""

import base64
import concurrent.futures
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from anyio import CapacityLimiter
from anyio.to_thread import current_default_thread_limiter
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.db.engine import Database
from app.db.tables import Version
from app.inference import loaded
from app.inference.registry import Registry
from app.main import create_app
from app.settings import Settings
from app.storage import BlobStore
from models import evaluate
from models.serving import load_servable
from tests.app import learnt
from tests.app.learnt import LABELS, SIZE, Published, png
from tests.databases import ONE_KIND_AT_FIRST
from tests.e2e.harness import wait_for
from tests.pictures import pixels

PNG = {"content-type": "image/png"}
NOT_AN_IMAGE = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
Publish = Callable[..., Published]

pytestmark = ONE_KIND_AT_FIRST


def predict(api: TestClient, image: bytes, **query: Any) -> Any:
    answer = api.post("/predict", content=image, headers=PNG, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def code(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_answer_has_the_shape_of_the_contract(api: TestClient, publish: Publish) -> None:
    publish(1)
    answer = api.post("/predict?classifier=signs", content=png(), headers=PNG)
    body = answer.json()
    assert body["classifier"] == "signs"
    assert body["version"] == 1
    (result,) = body["results"]
    assert set(result) == {
        "label",
        "score",
        "task",
        "known",
        "p_known",
        "known_why",
        "ranked",
    }
    assert {entry["label"] for entry in result["ranked"]} == set(LABELS)
    assert all(set(entry) == {"label", "score", "distance"} for entry in result["ranked"])
    scores = [entry["score"] for entry in result["ranked"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1)
    assert (result["label"], result["score"]) == (result["ranked"][0]["label"], scores[0])
    assert answer.headers["x-request-id"]
    assert [part.split(";")[0] for part in answer.headers["server-timing"].split(", ")] == [
        "queue",
        "decode",
        "infer",
    ]


def test_every_body_and_both_routes_give_the_same_prediction(
    api: TestClient, publish: Publish
) -> None:
    publish(1)
    raw = predict(api, png())
    coded = {"images": [{"b64": base64.b64encode(png()).decode()}]}
    assert api.post("/predict", json=coded).json() == raw
    form = [("files", ("a.png", png(), "image/png"))]
    assert api.post("/predict", files=form).json() == raw
    named = api.post("/v1/classifiers/signs/predict", content=png(), headers=PNG)
    assert named.json() == raw


def test_no_prediction_waits_for_the_threads_of_other_routes(
    api: TestClient, publish: Publish
) -> None:
    publish(1)
    raw = predict(api, png())
    coded = {"images": [{"b64": base64.b64encode(png()).decode()}]}
    form = [("files", ("a.png", png(), "image/png"))]
    assert api.portal is not None
    taken = api.portal.call(take_all_threads)
    try:
        assert predict(api, png()) == raw
        assert api.post("/predict", json=coded).json() == raw
        assert api.post("/predict", files=form).json() == raw
        assert taken.borrowed_tokens == taken.total_tokens
    finally:
        api.portal.call(give_back, taken)


async def take_all_threads() -> CapacityLimiter:
    """Have every thread that routes run in be busy."""
    threads = current_default_thread_limiter()
    for number in range(int(threads.total_tokens)):
        threads.acquire_on_behalf_of_nowait(("busy", number))
    return threads


async def give_back(threads: CapacityLimiter) -> None:
    for number in range(int(threads.total_tokens)):
        threads.release_on_behalf_of(("busy", number))


def test_batch_answers_in_order_with_errors_in_place(api: TestClient, publish: Publish) -> None:
    publish(1)
    form = [("files", ("x", image, "image/png")) for image in (png(1), NOT_AN_IMAGE, png(2))]
    first, broken, last = api.post("/predict", files=form).json()["results"]
    assert broken["error"]["code"] == "unreadable-image"
    assert set(broken) == {"error"}
    for seed, result in ((1, first), (2, last)):
        (alone,) = predict(api, png(seed))["results"]
        assert result["label"] == alone["label"]
        assert result["score"] == pytest.approx(alone["score"], abs=1e-5)


def test_bad_base64_has_its_place_in_a_batch(api: TestClient, publish: Publish) -> None:
    publish(1)
    good = base64.b64encode(png()).decode()
    # A lenient decoder skips what is not base64.
    bad = ["*", good[:-1] + "*", f"{good[:8]}!{good[8:]}", "ü"]
    images = [{"b64": text} for text in (good, *bad)]
    first, *others = api.post("/predict", json={"images": images}).json()["results"]
    assert first == predict(api, png())["results"][0]
    assert [other["error"]["code"] for other in others] == ["unreadable-image"] * len(bad)
    all_bad = api.post("/predict", json={"images": images[1:]})
    assert all_bad.json()["results"] == others
    for image in images[1:]:
        alone = api.post("/predict", json={"images": [image]})
        assert code(alone) == (422, "unreadable-image")


def test_top_k_cuts_the_ranking(api: TestClient, publish: Publish) -> None:
    publish(1)
    assert len(predict(api, png(), top_k=2)["results"][0]["ranked"]) == 2


def test_task_considers_its_classes_only(api: TestClient, publish: Publish) -> None:
    publish(1)
    (result,) = predict(api, png(), task=0)["results"]
    assert {entry["label"] for entry in result["ranked"]} == set(LABELS[:2])
    assert sum(entry["score"] for entry in result["ranked"]) == pytest.approx(1)
    (only,) = predict(api, png(), task=1)["results"]
    assert (only["label"], only["task"]) == (LABELS[2], 1)
    assert only["score"] == pytest.approx(1)


def p_by_counting(seed: int) -> float:
    """The p-value of a picture by a version of 20 held-out images a class, by counting."""
    spec, result = learnt.step(1, "icarl", 20)
    state = result.state
    assert {kind: len(values) for kind, values in state.parts["known"].items()} == {
        "doubt": 60,
        "distance": 60,
    }
    image = torch.from_numpy(pixels(SIZE, SIZE, seed)).permute(2, 0, 1)[None]
    output = evaluate.predict(load_servable(spec, state), image, torch.device("cpu"))
    assert output.deviations is not None
    own = {"doubt": -float(output.scores.max()), "distance": float(output.deviations.min())}
    ps = [
        (1 + sum(other >= own[kind] - 1e-6 for other in values.tolist())) / 61
        for kind, values in state.parts["known"].items()
    ]
    return min(1.0, 2 * min(ps))


def test_images_are_known_or_not(api: TestClient, publish: Publish) -> None:
    publish(1, held_out=20)
    said = set()
    for seed in range(30):
        expected = p_by_counting(seed)
        (result,) = predict(api, png(seed), false_alarms=0.5)["results"]
        assert result["p_known"] == pytest.approx(expected)
        assert result["known"] is (expected > 0.5)
        assert "known_why" not in result
        (strict,) = predict(api, png(seed))["results"]
        assert strict["known"] is (expected > 0.05)  # the classifier's
        said.add(result["known"])
    assert said == {True, False}
    by_name = predict(api, png(), classify="nearest_mean")
    assert by_name == predict(api, png())
    unknown = api.get("/v1/classifiers/signs/versions/live").json()["metrics"]["unknown"]
    assert (unknown["false_alarms"], unknown["images"]) == (0.05, 60)
    assert unknown["scores"] == ["doubt", "distance"]
    assert 0 <= unknown["detected"] <= 1


@pytest.mark.parametrize("query", [{"task": 0}, {"classify": "softmax"}])
def test_among_other_classes_or_scores_nothing_is_known(
    api: TestClient, publish: Publish, query: dict[str, Any]
) -> None:
    publish(1, held_out=20)
    (result,) = predict(api, png(), **query)["results"]
    assert (result["known"], result["p_known"]) == (None, None)
    assert "leave out task and classify" in result["known_why"]


def test_too_few_held_out_images_promise_nothing(api: TestClient, publish: Publish) -> None:
    publish(1)
    (none,) = predict(api, png())["results"]
    assert (none["known"], none["p_known"]) == (None, None)
    assert "no image was held out" in none["known_why"]
    publish(0, held_out=19)  # 38 images, and 2 / 0.05 - 1 = 39 are needed
    (few,) = predict(api, png())["results"]
    assert few["known"] is None
    assert 0 < few["p_known"] <= 1
    assert "has 38 images to compare with" in few["known_why"]
    assert "takes 39" in few["known_why"]
    (enough,) = predict(api, png(), false_alarms=0.06)["results"]
    assert enough["known"] is (enough["p_known"] > 0.06)


@pytest.mark.parametrize("share", ["0", "1", "nan", "-0.1", "x"])
def test_false_alarms_are_a_share(api: TestClient, publish: Publish, share: str) -> None:
    publish(1)
    answer = api.post("/predict", content=png(), headers=PNG, params={"false_alarms": share})
    assert code(answer) == (422, "invalid-request")


def test_a_hot_swap_brings_the_scores_of_the_new_version(
    api: TestClient, publish: Publish, registry: Registry
) -> None:
    publish(1)
    assert predict(api, png())["results"][0]["p_known"] is None
    publish(1, held_out=20)
    registry.refresh()
    answer = predict(api, png())
    assert answer["version"] == 2
    assert answer["results"][0]["p_known"] == pytest.approx(p_by_counting(0))


def test_classify_chooses_the_head(api: TestClient, publish: Publish) -> None:
    publish(1)
    by_mean = predict(api, png(), classify="nearest_mean")
    assert by_mean == predict(api, png())
    (by_head,) = predict(api, png(), classify="softmax")["results"]
    assert all("distance" not in entry for entry in by_head["ranked"])
    assert sum(entry["score"] for entry in by_head["ranked"]) == pytest.approx(1)


def test_versions_answer_by_number_and_by_alias(
    api: TestClient, publish: Publish, database: Database, store: BlobStore
) -> None:
    first = publish(0)
    # Not refreshed: a version named by its number answers as soon as it is there.
    learnt.publish(database, store, "signs", 1, parent=first.id, alias=None)
    assert predict(api, png())["version"] == 1
    assert predict(api, png(), version="2")["version"] == 2
    moved = api.put("/v1/classifiers/signs/aliases/next", json={"version": 2})
    assert moved.status_code == 200
    assert predict(api, png(), version="next")["version"] == 2
    api.put("/v1/classifiers/signs/aliases/live", json={"version": 2}).raise_for_status()
    assert predict(api, png())["version"] == 2


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"task": 5}, (422, "unknown-task")),
        ({"version": "9"}, (404, "version-not-found")),
        ({"version": "nope"}, (404, "version-not-found")),
        ({"classifier": "nope"}, (404, "classifier-not-found")),
        ({"classify": "magic"}, (422, "invalid-request")),
        ({"top_k": 0}, (422, "invalid-request")),
    ],
)
def test_wrong_queries(
    api: TestClient, publish: Publish, query: dict[str, Any], expected: tuple[int, str]
) -> None:
    publish(0)
    assert code(api.post("/predict", content=png(), headers=PNG, params=query)) == expected


def test_a_version_that_no_database_could_name(api: TestClient, publish: Publish) -> None:
    publish(0)
    answer = api.post("/predict", content=png(), headers=PNG, params={"version": "a\0b"})
    # PostgreSQL does not take such a text, SQLite looks for it.
    assert code(answer) in [(404, "version-not-found"), (422, "invalid-request")]


def test_wrong_bodies(api: TestClient, publish: Publish) -> None:
    publish(0)
    unreadable = (422, "unreadable-image")
    assert code(api.post("/predict", content=NOT_AN_IMAGE, headers=PNG)) == unreadable
    assert code(api.post("/predict", content=b"", headers=PNG)) == unreadable
    assert code(api.post("/predict", content=png()[:60], headers=PNG)) == unreadable
    plain = {"content-type": "text/plain"}
    assert code(api.post("/predict", content=b"x", headers=plain)) == (
        415,
        "unsupported-media-type",
    )
    invalid = (422, "invalid-request")
    assert code(api.post("/predict", json={"images": []})) == invalid
    assert code(api.post("/predict", json={"pictures": []})) == invalid
    assert code(api.post("/predict", data={"label": "x"}, files={"other": b"x"}))[0] in (400, 422)
    form = {"content-type": "multipart/form-data; boundary=x"}
    assert code(api.post("/predict", content=b"--y\r\n", headers=form))[0] in (400, 422)


def test_the_discriminant_of_exemplars_is_served(api: TestClient, publish: Publish) -> None:
    publish(1)
    spec, result = learnt.step(1)
    image = torch.from_numpy(pixels(learnt.SIZE, learnt.SIZE, 0)).permute(2, 0, 1)[None]
    scores = load_servable(spec, result.state, classify="discriminant")(image).scores[0]
    (found,) = predict(api, png(0), classify="discriminant")["results"]
    assert {entry["label"]: entry["score"] for entry in found["ranked"]} == pytest.approx(
        dict(zip(LABELS, scores.tolist(), strict=True)), abs=1e-5
    )
    assert all("distance" not in entry for entry in found["ranked"])


def test_a_version_of_a_release_without_discriminant_says_so(
    api: TestClient, publish: Publish
) -> None:
    publish(1, lacks=["discriminant"])
    answer = api.post("/predict?classify=discriminant", content=png(), headers=PNG)
    assert code(answer) == (422, "classify-not-offered")
    assert answer.json()["detail"] == (
        "Version 1 was learnt by a release that did not have discriminant. "
        "Ask for nearest_mean or softmax, or for a newer version."
    )
    assert predict(api, png(), classify="softmax")


def test_method_without_means_offers_no_nearest_mean(api: TestClient, publish: Publish) -> None:
    publish(0, method="finetune")
    answer = api.post("/predict?classify=nearest_mean", content=png(), headers=PNG)
    assert code(answer) == (422, "classify-not-offered")


def test_nothing_to_predict_with(api: TestClient) -> None:
    def ask() -> Any:
        return api.post("/predict", content=png(), headers=PNG)

    assert code(ask()) == (404, "classifier-not-found")
    api.post("/v1/classifiers", json={"name": "one", **learnt.BODY})
    assert code(ask()) == (409, "no-version-yet")
    api.post("/v1/classifiers", json={"name": "two", **learnt.BODY})
    assert code(ask()) == (422, "classifier-required")


def test_damaged_version_is_refused_and_the_old_one_goes_on(
    api: TestClient, publish: Publish, store: BlobStore
) -> None:
    first = publish(0)
    before = predict(api, png())
    second = publish(1, parent=first.id, alias=None)
    path = store.path(second.parts["head.1"])
    assert path is not None
    damage(path)
    api.put("/v1/classifiers/signs/aliases/live", json={"version": second.number})
    assert predict(api, png()) == before
    answer = api.post("/predict?version=2", content=png(), headers=PNG)
    assert code(answer) == (503, "version-unreadable")
    assert "Stored bytes of version 2 are damaged (part head.1)" in answer.json()["detail"]
    path.unlink()
    # Requests have it tried again after pauses of seconds, not of minutes.
    missing = "Stored bytes of version 2 are missing (part head.1)"
    wait_for(lambda: missing in api.post("/predict?version=2", content=png(), headers=PNG).text)


def test_a_version_of_a_newer_releases_rules_is_not_served_by_others(
    api: TestClient, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As it is for a release before the first rules.
    monkeypatch.setattr("app.inference.loaded.CURRENT", 0)
    publish(0)
    answer = api.post("/predict", content=png(), headers=PNG)
    assert code(answer) == (503, "version-unreadable")
    assert "was made by a newer release" in answer.json()["detail"]


def test_a_version_that_does_not_fit_is_tried_again_after_growing_pauses(
    api: TestClient, publish: Publish, database: Database, store: BlobStore, settings: Settings
) -> None:
    version = publish(alias=None)
    api.patch("/v1/classifiers/signs", json={"pinned": True}).raise_for_status()
    with database.transaction() as session:
        row = session.get_one(Version, version.id)
        row.spec = {**row.spec, "backbone": "resnet20"}
    api.put("/v1/classifiers/signs/aliases/live", json={"version": 1}).raise_for_status()
    answer = api.post("/predict", content=png(), headers=PNG)
    assert code(answer) == (503, "version-unreadable")
    for words in (
        "bytes of version 1 are whole",
        "do not fit the backbone resnet20",
        "size mismatch",
    ):
        assert words in answer.json()["detail"]
    now = 0.0
    registry = Registry(database, store, store, settings, clock=lambda: now)
    with capture_logs() as logs:
        for _ in range(1500):
            registry.refresh()
            now += 1
    tries = [entry for entry in logs if entry["event"] == "version_refused"]
    assert [entry["retry_seconds"] for entry in tries] == [10, 20, 40, 80, 160, 320, 600, 600]
    with database.transaction() as session:
        row = session.get_one(Version, version.id)
        row.spec = {**row.spec, "backbone": "convnet"}
    now += 600
    registry.refresh()
    assert registry.find("default", "signs", "live") is not None


def damage(path: Path) -> None:
    """Flip the last byte."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_restarted_service_gives_identical_predictions(
    api: TestClient, publish: Publish, settings: Settings
) -> None:
    publish(1)
    before = [
        api.post(f"/predict?classify={way}", content=png(seed), headers=PNG).content
        for seed in range(5)
        for way in ("nearest_mean", "softmax", "discriminant")
    ]
    with TestClient(create_app(settings)) as restarted:
        after = [
            restarted.post(f"/predict?classify={way}", content=png(seed), headers=PNG).content
            for seed in range(5)
            for way in ("nearest_mean", "softmax", "discriminant")
        ]
    assert after == before


def test_requests_at_once_get_their_own_answers(api: TestClient, publish: Publish) -> None:
    publish(1)
    alone = {seed: predict(api, png(seed))["results"][0] for seed in range(8)}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        seeds = [seed % 8 for seed in range(64)]
        answers = list(pool.map(lambda seed: predict(api, png(seed))["results"][0], seeds))
    for seed, answer in zip(seeds, answers, strict=True):
        expected = {entry["label"]: entry["distance"] for entry in alone[seed]["ranked"]}
        found = {entry["label"]: entry["distance"] for entry in answer["ranked"]}
        assert found == pytest.approx(expected, abs=1e-3)


def test_deleted_classifier_no_longer_answers(api: TestClient, publish: Publish) -> None:
    publish(0)
    predict(api, png(), version="1")
    assert api.delete("/v1/classifiers/signs?confirm=signs").status_code == 204
    for query in ("", "&version=1"):
        answer = api.post(f"/predict?classifier=signs{query}", content=png(), headers=PNG)
        assert code(answer) == (404, "classifier-not-found")


def test_predictors_that_are_used_stay_in_memory(
    publish: Publish,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loaded, "_CACHED_PREDICTORS", 2)
    publish()
    version = registry.find("default", "signs", "live")
    assert version is not None
    oldest = version.predictor(None, "softmax")
    version.predictor(0, "auto")
    assert version.ready(None, "softmax") is oldest
    version.predictor(0, "softmax")
    assert version.ready(None, "softmax") is oldest
    assert version.ready(0, "auto") is None

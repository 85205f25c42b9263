"""Versions and aliases over HTTP."""

import hashlib
import io
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fastapi.testclient import TestClient
from PIL import Image

from app.storage import BlobStore
from tests.app.learnt import LABELS, Published, png
from tests.databases import ONE_KIND_AT_FIRST

CLASSIFIER = "/v1/classifiers/signs"
Publish = Callable[..., Published]


@ONE_KIND_AT_FIRST
def test_version_tells_what_it_knows(api: TestClient, publish: Publish) -> None:
    first = publish(0)
    publish(1, parent=first.id)
    version = api.get(f"{CLASSIFIER}/versions/live").json()
    assert version == api.get(f"{CLASSIFIER}/versions/2").json()
    assert (version["number"], version["parent"], version["aliases"]) == (2, 1, ["live"])
    assert [known["label"] for known in version["classes"]] == list(LABELS)
    assert [known["index"] for known in version["classes"]] == [0, 1, 2]
    assert [known["task"] for known in version["classes"]] == [0, 0, 1]
    assert set(version["metrics"]) == {
        "goes_by",
        "accuracy",
        "average_incremental_accuracy",
        "forgetting",
        "backward_transfer",
        "matrix",
        "measured_on",
        "training_accuracy",
        "warnings",
        "task_aware_accuracy",
        "task_aware_matrix",
        "report",
        "unknown",
        "router_accuracy",
        "per_class",
        "standard_error",
        "standard_error_kind",
        "measured_on_groups",
        "leave_one_out",
        "training_measured_on",
        "task_aware_standard_error",
        "router_standard_error",
        "per_class_measured_on",
        "per_class_standard_error",
        "calibration_error",
        "task_aware_calibration_error",
    }
    with_ = version["learnt_with"]
    assert (with_["options"]["epochs"], with_["memory"]["exemplars"], with_["seed"]) == (1, 6, 7)
    assert with_["options"].keys() == api.get(CLASSIFIER).json()["options"].keys()
    assert with_.keys() == {
        "options",
        "resize",
        "memory",
        "regularizer",
        "augment",
        "false_alarms",
        "seed",
    }
    # What both versions have is stored once.
    assert 0 < version["new_bytes"] < version["size_bytes"]
    assert api.get(CLASSIFIER).json()["live"] == 2


def test_versions_are_listed_newest_first(api: TestClient, publish: Publish) -> None:
    for _ in range(3):
        publish(0)
    page = api.get(f"{CLASSIFIER}/versions?limit=2").json()
    assert [version["number"] for version in page["data"]] == [3, 2]
    rest = api.get(f"{CLASSIFIER}/versions?limit=2&after={page['next']}").json()
    assert [version["number"] for version in rest["data"]] == [1]
    assert (rest["has_more"], rest["next"]) == (False, None)


@ONE_KIND_AT_FIRST
def test_versions_in_lists_are_summaries(api: TestClient, publish: Publish) -> None:
    first = publish(0, held_out=2)
    publish(1, parent=first.id, held_out=2)
    answer = api.get(f"{CLASSIFIER}/versions")
    listed = answer.json()["data"]
    assert [version["class_count"] for version in listed] == [3, 2]
    for summary in listed:
        whole = api.get(f"{CLASSIFIER}/versions/{summary['number']}").json()
        metrics = summary.pop("metrics")
        assert metrics.items() <= whole["metrics"].items()
        assert metrics["measured_on"] == 2 * summary["class_count"]
        assert summary.items() <= whole.items()
        assert len(whole["classes"]) == summary["class_count"]
    assert len(answer.content) < 600 * len(listed)


@ONE_KIND_AT_FIRST
def test_classes_come_in_pages_with_their_accuracies(api: TestClient, publish: Publish) -> None:
    publish(1, held_out=2)
    url = f"{CLASSIFIER}/versions/live"
    whole = api.get(url).json()
    page = api.get(f"{url}/classes?limit=2").json()
    rest = api.get(f"{url}/classes?limit=2&after={page['next']}").json()
    found = [*page["data"], *rest["data"]]
    figures = {
        "accuracy": "per_class",
        "measured_on": "per_class_measured_on",
        "standard_error": "per_class_standard_error",
    }
    for known, shown in zip(found, whole["classes"], strict=True):
        measured = {name: known.pop(name) for name in figures}
        assert known.pop("goes_by") == {
            "accuracy": measured["accuracy"],
            "images": measured["measured_on"],
            "standard_error": measured["standard_error"],
            "used": "held_out",
        }
        assert known == shown
        assert measured == {
            name: whole["metrics"][metric][known["label"]] for name, metric in figures.items()
        }
        assert measured["measured_on"] == 2
    assert (rest["has_more"], rest["next"]) == (False, None)
    assert api.get(f"{CLASSIFIER}/versions/9/classes").json()["code"] == "version-not-found"


@ONE_KIND_AT_FIRST
def test_matrices_come_in_pages(api: TestClient, publish: Publish) -> None:
    first = publish(0, held_out=2)
    publish(0, parent=None)
    publish(1, parent=first.id, held_out=2)
    url = f"{CLASSIFIER}/versions/3"
    metrics = api.get(url).json()["metrics"]
    assert [len(row) for row in metrics["matrix"]] == [1, 2]
    page = api.get(f"{url}/matrix?limit=1").json()
    rest = api.get(f"{url}/matrix?limit=1&after={page['next']}").json()
    rows = [*page["data"], *rest["data"]]
    assert [row["number"] for row in rows] == [1, 3]
    assert [row["tasks"] for row in rows] == [[0], [0, 1]]
    assert [row["accuracies"] for row in rows] == metrics["matrix"]
    assert [row["task_aware"] for row in rows] == metrics["task_aware_matrix"]
    assert rows[-1]["accuracy"] == metrics["accuracy"]
    assert (rest["has_more"], rest["next"]) == (False, None)


@ONE_KIND_AT_FIRST
def test_exemplars_come_in_order_with_their_bytes(api: TestClient, publish: Publish) -> None:
    images = [png(seed) for seed in range(5)]
    publish(0, exemplars=images)
    url = f"{CLASSIFIER}/versions/1/exemplars"
    page = api.get(url, params={"label": LABELS[0], "limit": 3}).json()
    assert [item["rank"] for item in page["data"]] == [0, 1, 2]
    rest = api.get(url, params={"label": LABELS[0], "after": page["next"]}).json()
    found = [
        api.get(f"/v1/images/{item['sha256']}").content for item in (*page["data"], *rest["data"])
    ]
    assert found == images
    answer = api.get(f"/v1/images/{page['data'][0]['sha256']}")
    assert answer.headers["content-type"] == "image/png"
    unknown = api.get(url, params={"label": "nope"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "class-not-found")
    missing = api.get(f"/v1/images/{'0' * 64}")
    assert (missing.status_code, missing.json()["code"]) == (404, "image-not-found")


def test_exemplars_of_all_classes(api: TestClient, publish: Publish) -> None:
    publish(1, exemplars=[png(seed) for seed in range(5)])
    url = f"{CLASSIFIER}/versions/live/exemplars"
    whole = api.get(url).json()["data"]
    places = [(each["index"], each["rank"]) for each in whole]
    assert places == sorted(set(places))
    assert {each["label"] for each in whole} > {LABELS[0]}
    paged, after = [], None
    while True:
        page = api.get(url, params={"limit": 2} | ({"after": after} if after else {})).json()
        paged += page["data"]
        if (after := page["next"]) is None:
            break
    assert paged == whole
    of_one = api.get(url, params={"label": LABELS[0]}).json()["data"]
    assert of_one == [each for each in whole if each["label"] == LABELS[0]]
    assert api.get(url, params={"after": "2"}).status_code == 422


@ONE_KIND_AT_FIRST
def test_thumbnails_are_small_and_stay(api: TestClient, publish: Publish, store: BlobStore) -> None:
    file = io.BytesIO()
    Image.new("RGB", (400, 200), "teal").save(file, "PNG")
    publish(0, exemplars=[file.getvalue()])
    sha256 = hashlib.sha256(file.getvalue()).hexdigest()
    answer = api.get(f"/v1/images/{sha256}?width=96")
    assert answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    with Image.open(io.BytesIO(answer.content)) as small:
        assert small.size == (96, 48)
    with Image.open(io.BytesIO(api.get(f"/v1/images/{sha256}?width=1000").content)) as same:
        assert same.size == (400, 200)
    path = store.path(sha256)
    assert path is not None
    path.unlink()
    assert api.get(f"/v1/images/{sha256}?width=96").content == answer.content
    lost = api.get(f"/v1/images/{sha256}?width=97")
    assert (lost.status_code, lost.json()["code"]) == (503, "image-unreadable")
    for width in (0, 5000):
        assert api.get(f"/v1/images/{sha256}?width={width}").status_code == 422


@ONE_KIND_AT_FIRST
def test_tensors_are_no_images(api: TestClient, publish: Publish) -> None:
    version = publish(0)
    answer = api.get(f"/v1/images/{version.parts['backbone']}")
    assert (answer.status_code, answer.json()["code"]) == (404, "image-not-found")


def test_only_a_version_that_nothing_needs_is_deleted(api: TestClient, publish: Publish) -> None:
    first = publish(0)
    publish(1, parent=first.id, alias=None)
    publish(0, alias=None)
    for number in (1, 2, 3):  # aliased; then a leaf; then a leaf
        answer = api.delete(f"{CLASSIFIER}/versions/{number}")
        assert answer.status_code == (409 if number == 1 else 204)
    assert [v["number"] for v in api.get(f"{CLASSIFIER}/versions").json()["data"]] == [1]
    # Numbers are never used again.
    assert publish(0).number == 4
    publish(1, parent=first.id)
    in_use = api.delete(f"{CLASSIFIER}/versions/5")
    assert (in_use.status_code, in_use.json()["code"]) == (409, "version-in-use")
    # Deleting a version leaves the versions that were learnt from it.
    assert api.delete(f"{CLASSIFIER}/versions/1").status_code == 204
    assert api.get(f"{CLASSIFIER}/versions/5").json()["parent"] is None
    answer = api.delete(f"{CLASSIFIER}/versions/9")
    assert (answer.status_code, answer.json()["code"]) == (404, "version-not-found")


@ONE_KIND_AT_FIRST
def test_alias_moves_forth_and_back(api: TestClient, publish: Publish) -> None:
    publish(0)
    publish(0, alias=None)
    live = f"{CLASSIFIER}/aliases/live"
    moved = api.put(live, json={"version": 2, "expected_version": 1})
    assert (moved.json()["name"], moved.json()["version"]) == ("live", 2)
    stale = api.put(live, json={"version": 1, "expected_version": 1})
    assert (stale.status_code, stale.json()["code"]) == (409, "stale-alias")
    assert api.put(live, json={"version": 1}).json()["version"] == 1
    unknown = api.put(live, json={"version": 7})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "version-not-found")


def test_an_alias_takes_the_version_of_another(api: TestClient, publish: Publish) -> None:
    publish(0)
    publish(0, alias="canary")
    live = f"{CLASSIFIER}/aliases/live"
    assert api.put(live, json={"version": "canary"}).json()["version"] == 2
    # It does not follow the other one.
    api.put(f"{CLASSIFIER}/aliases/canary", json={"version": 1}).raise_for_status()
    assert api.get(live).json()["version"] == 2
    unknown = api.put(live, json={"version": "nightly"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "version-not-found")
    for wrong in ("1x", "", 0, 1.5, None):
        answer = api.put(live, json={"version": wrong})
        assert (answer.status_code, answer.json()["errors"]) == (
            422,
            [{"pointer": "/version", "detail": "is not a version's number or an alias"}],
        )


@ONE_KIND_AT_FIRST
def test_aliases_are_made_listed_and_deleted(api: TestClient, publish: Publish) -> None:
    publish(0)
    url = f"{CLASSIFIER}/aliases"
    made = api.put(f"{url}/canary", json={"version": 1, "expected_version": None})
    assert made.status_code == 200
    again = api.put(f"{url}/canary", json={"version": 1, "expected_version": None})
    assert again.json()["code"] == "stale-alias"
    listed = api.get(url).json()["data"]
    assert [alias["name"] for alias in listed] == ["canary", "live"]
    assert [api.get(f"{url}/{alias['name']}").json() for alias in listed] == listed
    assert api.delete(f"{url}/canary").status_code == 204
    for answer in (api.delete(f"{url}/canary"), api.get(f"{url}/canary")):
        assert (answer.status_code, answer.json()["code"]) == (404, "alias-not-found")
    live = api.delete(f"{url}/live")
    assert (live.status_code, live.json()["code"]) == (409, "live-alias")
    # A number is a version, never an alias.
    assert api.put(f"{url}/12", json={"version": 1}).status_code == 422


def test_one_of_many_who_expect_the_same_wins(api: TestClient, publish: Publish) -> None:
    publish(0)
    for _ in range(4):
        publish(0, alias=None)

    def move(version: int) -> int:
        body = {"version": version, "expected_version": 1}
        return api.put(f"{CLASSIFIER}/aliases/live", json=body).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(move, (2, 3, 4, 5)))
    assert statuses == [200, 409, 409, 409]


@ONE_KIND_AT_FIRST
def test_damaged_images_are_503(api: TestClient, publish: Publish, store: BlobStore) -> None:
    publish(0, exemplars=[png(1), png(2)])
    for seed, content in ((1, b"damaged"), (2, None)):
        sha256 = hashlib.sha256(png(seed)).hexdigest()
        assert api.get(f"/v1/images/{sha256}").content == png(seed)
        path = store.path(sha256)
        assert path is not None
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        answer = api.get(f"/v1/images/{sha256}")
        assert (answer.status_code, answer.json()["code"]) == (503, "image-unreadable")
        store.put(png(seed))
        assert api.get(f"/v1/images/{sha256}").status_code == 200


@ONE_KIND_AT_FIRST
def test_exemplars_are_found_however_the_label_is_written(
    api: TestClient, publish: Publish
) -> None:
    publish(1)
    label = f" {unicodedata.normalize('NFD', LABELS[2])} "
    assert label.strip() != LABELS[2]
    url = f"{CLASSIFIER}/versions/1/exemplars"
    assert api.get(url, params={"label": label}).status_code == 200
    for strange in (" ", "a\0b"):
        answer = api.get(url, params={"label": strange})
        assert (answer.status_code, answer.json()["code"]) == (404, "class-not-found")

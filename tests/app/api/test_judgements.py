"""Held-out images and suspected labels over HTTP, as a version's job stored them."""

import hashlib
from collections.abc import Callable

import pytest
import torch
from fastapi.testclient import TestClient
from sqlalchemy import insert

from app.db.engine import Database
from app.db.repositories import blobs as blob_rows, versions as version_rows
from app.db.tables import Version, VersionPart
from app.imaging.reading import ImageLimits
from app.inference.loaded import LoadedVersion
from app.inference.stored import StoredVersion
from app.storage import BlobStore
from models.judging import HELD_OUT, LEFT_OUT, Judged
from models.state import encode
from tests.app.learnt import LABELS, Published

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

VERSION = "/v1/classifiers/signs/versions/1"


def digest(number: int) -> str:
    return hashlib.sha256(bytes([number])).hexdigest()


def judged(scores: list[list[float]], columns: list[int], first: int) -> Judged:
    names = [list(bytes.fromhex(digest(first + number))) for number in range(len(columns))]
    digests = torch.tensor(names, dtype=torch.uint8)
    return Judged.of(torch.tensor(scores).log(), torch.tensor(columns), digests)


@pytest.fixture
def version(publish: Callable[..., Published], database: Database, store: BlobStore) -> Published:
    """A version of two classes: of each set the second image is contradicted."""
    made = publish(0)
    sets = {
        HELD_OUT: judged([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.45, 0.55]], [0, 0, 1, 0], 0),
        LEFT_OUT: judged([[0.6, 0.4], [0.95, 0.05]], [0, 1], 10),
    }
    with database.transaction() as session:
        for name, found in sets.items():
            data = encode(found.part())
            sha256 = store.put(data)
            blob_rows.record(session, {sha256: len(data)}, database.now(session))
            row = {"version_id": made.id, "name": name, "sha256": sha256}
            session.execute(insert(VersionPart), [row])
    return made


@pytest.mark.usefixtures("version")
def test_held_out_images_are_paged_the_most_surely_wrong_first(api: TestClient) -> None:
    first = api.get(f"{VERSION}/held-out?limit=3").json()
    assert [image["sha256"] for image in first["data"]] == [digest(n) for n in (1, 3, 2)]
    assert first["data"][0] == {
        "position": 0,
        "sha256": digest(1),
        "label": LABELS[0],
        "predicted": LABELS[1],
        "score": pytest.approx(0.7),
        "label_score": pytest.approx(0.3),
        "used": "held_out",
    }
    rest = api.get(f"{VERSION}/held-out?after={first['next']}").json()
    assert [image["sha256"] for image in rest["data"]] == [digest(0)]
    assert (rest["has_more"], rest["next"]) == (False, None)
    for query, numbers in (
        ({"wrong": True}, (1, 3)),
        ({"wrong": False}, (2, 0)),
        ({"label": LABELS[1]}, (2,)),
        ({"label": LABELS[1], "wrong": True}, ()),
        ({"predicted": LABELS[1]}, (1, 3, 2)),
        ({"label": LABELS[0], "predicted": LABELS[1], "limit": 1}, (1,)),
    ):
        found = api.get(f"{VERSION}/held-out", params=query).json()["data"]
        assert [image["sha256"] for image in found] == [digest(n) for n in numbers]
    for query in ("label=none", "predicted=none"):
        unknown = api.get(f"{VERSION}/held-out?{query}")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "class-not-found")


@pytest.mark.usefixtures("version")
def test_confusions_of_held_out_images_are_counted(api: TestClient) -> None:
    found = api.get(f"{VERSION}/confusion").json()
    assert found == {"labels": [LABELS[0], LABELS[1]], "counts": [[1, 2], [0, 1]]}


@pytest.mark.usefixtures("version")
def test_judged_images_are_held_out_or_left_out(api: TestClient) -> None:
    first = api.get(f"{VERSION}/judged?limit=4").json()
    rest = api.get(f"{VERSION}/judged?after={first['next']}").json()
    found = [(image["sha256"], image["used"]) for image in first["data"] + rest["data"]]
    uses = {n: "trained" if n >= 10 else "held_out" for n in (11, 1, 3, 10, 2, 0)}
    assert found == [(digest(number), use) for number, use in uses.items()]
    for query, numbers in (
        ({"used": "trained"}, (11, 10)),
        ({"used": "held_out", "wrong": True}, (1, 3)),
        ({"label": LABELS[1]}, (11, 2)),
        ({"used": "trained", "predicted": LABELS[0], "wrong": False}, (10,)),
    ):
        chosen = api.get(f"{VERSION}/judged", params=query).json()["data"]
        assert [image["sha256"] for image in chosen] == [digest(n) for n in numbers]
    counted = api.get(f"{VERSION}/confusion?used=trained").json()
    assert counted == {"labels": [LABELS[0], LABELS[1]], "counts": [[1, 0], [1, 0]]}
    assert api.get(f"{VERSION}/judged?used=both").json()["code"] == "invalid-request"


def left_out(database: Database, version: Published, **changed: object) -> None:
    """Give a version a leave-one-out accuracy, as where few images are held out."""
    found = {"accuracy": 0.5, "images": 2, "standard_error": 0.35, "grouped": False, **changed}
    with database.transaction() as session:
        row = session.get_one(Version, version.id)
        row.metrics = {**row.metrics, "measured_on": 4, "leave_one_out": found}


def test_a_version_goes_by_what_is_left_out_where_few_images_are_held_out(
    api: TestClient, version: Published, database: Database
) -> None:
    assert api.get(VERSION).json()["metrics"]["goes_by"]["used"] == "held_out"
    left_out(database, version)
    expected = {"accuracy": 0.5, "images": 2, "standard_error": 0.35, "used": "trained"}
    assert api.get(VERSION).json()["metrics"]["goes_by"] == expected
    [listed] = api.get("/v1/classifiers/signs/versions").json()["data"]
    assert listed["metrics"]["goes_by"] == expected
    classes = api.get(f"{VERSION}/classes").json()["data"]
    assert [each["goes_by"] for each in classes] == [
        {"accuracy": 1.0, "images": 1, "standard_error": 0.0, "used": "trained"},
        {"accuracy": 0.0, "images": 1, "standard_error": 0.0, "used": "trained"},
    ]
    second = api.get(f"{VERSION}/classes?after=0").json()["data"]
    assert second == classes[1:]


def test_left_out_images_of_groups_count_only_where_none_is_held_out(
    api: TestClient, version: Published, database: Database
) -> None:
    left_out(database, version, grouped=True, standard_error=None)
    assert api.get(VERSION).json()["metrics"]["goes_by"]["images"] == 4
    with database.transaction() as session:
        row = session.get_one(Version, version.id)
        row.metrics = {**row.metrics, "measured_on": 0}
    found = api.get(VERSION).json()["metrics"]["goes_by"]
    assert (found["used"], found["standard_error"]) == ("trained", None)
    first = api.get(f"{VERSION}/classes").json()["data"][0]["goes_by"]
    assert (first["used"], first["standard_error"]) == ("trained", None)


def test_classes_go_by_held_out_images_where_nothing_is_kept_of_others(
    api: TestClient, publish: Callable[..., Published], database: Database
) -> None:
    left_out(database, publish(0, held_out=2))
    for known in api.get(f"{VERSION}/classes").json()["data"]:
        assert known["goes_by"]["used"] == "held_out"
        assert known["goes_by"]["images"] == known["measured_on"] == 2


@pytest.mark.usefixtures("version")
def test_suspects_are_images_whose_other_class_has_its_usual_score(api: TestClient) -> None:
    # Images of the first class have 0.5625 for it on average, those of the second 0.425.
    page = api.get(f"{VERSION}/suspects").json()
    assert page["looked_at"] == {"held_out": 4, "trained": 2, "of_trained": 8}
    found = [(i["sha256"], i["label"], i["predicted"], i["used"]) for i in page["data"]]
    assert found == [
        (digest(11), LABELS[1], LABELS[0], "trained"),
        (digest(1), LABELS[0], LABELS[1], "held_out"),
        (digest(3), LABELS[0], LABELS[1], "held_out"),
    ]
    first = api.get(f"{VERSION}/suspects?limit=1").json()
    rest = api.get(f"{VERSION}/suspects?after={first['next']}").json()
    assert first["data"] + rest["data"] == page["data"]


def test_predictions_do_not_need_it(
    api: TestClient, store: BlobStore, version: Published, database: Database
) -> None:
    with database.reading() as session:
        parts = version_rows.parts(session, version.id)
    for part in (HELD_OUT, LEFT_OUT):
        store.delete(parts[part])
    stored = StoredVersion.read(database, version.id)
    LoadedVersion(stored, store, ImageLimits(10**9, 10**6))
    gone = api.get(f"{VERSION}/held-out")
    assert (gone.status_code, gone.json()["code"]) == (503, "tensors-unreadable")


def test_a_version_of_an_older_release_says_what_to_do(
    api: TestClient, publish: Callable[..., Published], database: Database
) -> None:
    made = publish(0)
    assert api.get(f"{VERSION}/held-out").json()["data"] == []  # nothing was held out
    with database.transaction() as session:
        session.get_one(Version, made.id).memory = {"exemplars": 0, "bytes": 0, "held_out": 3}
    for what in ("held-out", "suspects"):
        answer = api.get(f"{VERSION}/{what}")
        assert (answer.status_code, answer.json()["code"]) == (409, "not-judged")
        assert "kind evaluate" in answer.json()["detail"]

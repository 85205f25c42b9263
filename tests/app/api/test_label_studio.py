"""The routes that Label Studio calls: see `tests.label_studio` for what it makes of the answers."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import pytest

from app.db.engine import Database
from app.settings import Settings
from app.storage import BlobStore
from tests.app import learnt
from tests.app.api.test_event_stream import Running, serving
from tests.app.keyed import new_key
from tests.app.learnt import LABELS, SIZE, png
from tests.app.services.label_studio.site import Site, annotated, site
from tests.databases import ONE_KIND_AT_FIRST
from tests.docs.blocks import snippets
from tests.pictures import encode

pytestmark = ONE_KIND_AT_FIRST

BASE = "/label-studio/signs"


def config(*labels: str) -> str:
    choices = "".join(f'<Choice value="{label}"/>' for label in labels)
    return (
        '<View><Image name="picture" value="$image"/>'
        f'<Choices name="kind" toName="picture">{choices}</Choices></View>'
    )


def inline(file: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(file).decode()


def odd_files() -> list[bytes]:
    """Pictures that are like no others: of one colour, and of stripes."""
    stripes = np.zeros((SIZE, SIZE, 3), np.uint8)
    stripes[::2] = 255
    return [encode(np.full_like(stripes, shade)) for shade in (0, 255)] + [encode(stripes)]


@pytest.fixture
def label_studio() -> Iterator[Site]:
    with site() as made:
        yield made


@pytest.fixture
def settings(settings: Settings, label_studio: Site) -> Settings:
    given = {"label_studio_url": label_studio.url, "label_studio_token": "token"}
    return Settings.model_validate({**settings.model_dump(), **given})


@contextmanager
def with_classifier(settings: Settings) -> Iterator[Running]:
    with serving(settings) as running:
        body = {"name": "signs", **learnt.BODY}
        running.http.post("/v1/classifiers", json=body).raise_for_status()
        yield running


@pytest.fixture
def http(settings: Settings, database: Database, store: BlobStore) -> Iterator[httpx.Client]:
    """A running service whose classifier knows two classes."""
    with with_classifier(settings) as running:
        learnt.publish(database, store, "signs", 0)
        yield running.http


def predict(http: httpx.Client, labels: tuple[str, ...], *images: str) -> httpx.Response:
    tasks = [{"id": n, "data": {"image": image}} for n, image in enumerate(images)]
    body = {"tasks": tasks, "label_config": config(*labels), "project": "1.5", "params": {}}
    return http.post(f"{BASE}/predict", json=body)


def test_it_is_off_unless_a_setting_names_a_label_studio(settings: Settings) -> None:
    off = settings.model_copy(update={"label_studio_url": None, "label_studio_token": None})
    with serving(off) as running:
        assert running.http.get(f"{BASE}/health").status_code == 404


def test_a_project_is_connected(settings: Settings, database: Database, store: BlobStore) -> None:
    with with_classifier(settings) as running:
        assert running.http.get(f"{BASE}/health").json() == {"status": "UP"}
        assert running.http.get("/label-studio/other/health").status_code == 404
        body = {"project": "1.5", "schema": config("stop"), "access_token": "x", "hostname": "x"}
        setup = running.http.post(f"{BASE}/setup", json=body)
        assert setup.json() == {"model_version": None}
        learnt.publish(database, store, "signs", 0)
        assert running.http.post(f"{BASE}/setup", json=body).json() == {"model_version": "signs 1"}
        (shown,) = snippets("docs/label-studio.md", "xml")
        running.http.post(f"{BASE}/setup", json={**body, "schema": shown}).raise_for_status()
        bad = running.http.post(f"{BASE}/setup", json={**body, "schema": "<View></View>"})
        assert (bad.status_code, bad.json()["code"]) == (422, "invalid-labelling-config")


def test_predictions_are_those_of_the_service(http: httpx.Client) -> None:
    files = [png(seed) for seed in range(20)]
    form = [("files", ("x", file, "image/png")) for file in files]
    expected = http.post("/predict", files=form).json()["results"]
    found = predict(http, LABELS[:2], *map(inline, files)).json()["results"]
    assert len(found) == len(files)
    for prediction, result in zip(found, expected, strict=True):
        (chosen,) = prediction["result"]
        assert chosen == {
            "from_name": "kind",
            "to_name": "picture",
            "type": "choices",
            "value": {"choices": [result["label"]]},
        }
        assert prediction["score"] == pytest.approx(result["score"], abs=1e-5)
        assert prediction["model_version"] == "signs 1"


def test_only_choices_of_the_project_are_predicted(http: httpx.Client) -> None:
    files = [inline(png(seed)) for seed in range(8)]
    found = predict(http, LABELS[:1], *files).json()["results"]
    assert {each["result"][0]["value"]["choices"][0] for each in found} == {LABELS[0]}
    assert predict(http, ("other",), *files).json()["results"] == [[]] * 8


def test_images_like_those_of_no_class_are_not_predicted(
    settings: Settings, database: Database, store: BlobStore
) -> None:
    with with_classifier(settings) as running:
        learnt.publish(database, store, "signs", 0, held_out=30)
        files = [*map(png, range(200, 230)), *odd_files()]
        form = [("files", ("x", file, "image/png")) for file in files]
        results = running.http.post("/predict", files=form).json()["results"]
        assert {True, False} == {each["known"] for each in results}
        found = predict(running.http, LABELS[:2], *map(inline, files)).json()["results"]
        for prediction, result in zip(found, results, strict=True):
            assert bool(prediction) is result["known"]


def test_an_image_that_cannot_be_read_has_no_prediction(http: httpx.Client) -> None:
    found = predict(http, LABELS[:2], inline(png()), "/data/upload/gone.png", inline(b"text"))
    first, *others = found.json()["results"]
    assert (first["model_version"], others) == ("signs 1", [[], []])
    none = predict(http, LABELS[:2], "https://elsewhere.example.org/x.png")
    assert (none.status_code, none.json()["code"]) == (422, "unreadable-image")
    assert "ACCRUE_LABEL_STUDIO_HOSTS" in none.json()["detail"]
    assert predict(http, LABELS[:2]).json() == {"results": []}


@pytest.mark.parametrize("path", ["train", "webhook"])
def test_training_queues_a_job(http: httpx.Client, label_studio: Site, path: str) -> None:
    tasks = [annotated(n, inline(png(300 + n)), "new") for n in range(3)]
    label_studio.project(4, tasks)
    project: Any = {"id": 4, "title": "x"} if path == "webhook" else "4.1764460000"
    answer = http.post(f"{BASE}/{path}", json={"action": "START_TRAINING", "project": project})
    view = answer.raise_for_status().json()
    assert (view["status"], view["annotated"]) == ("queued", 3)
    job = http.get(f"/v1/jobs/{view['job']}").json()
    assert (job["kind"], job["classifier"]) == ("learn", "signs")


def test_other_webhooks_change_nothing(http: httpx.Client) -> None:
    body = {"action": "ANNOTATION_CREATED", "annotation": {"id": 1}, "project": {"id": 4}}
    assert http.post(f"{BASE}/webhook", json=body).json() == {"status": "noted"}
    answer = http.post(f"{BASE}/webhook", json={"action": "START_TRAINING"})
    assert answer.json()["errors"] == [{"pointer": "/project", "detail": "missing"}]
    assert http.get("/v1/jobs").json()["data"] == []


def test_keys_are_sent_as_passwords(settings: Settings, database: Database) -> None:
    keys = {scope: new_key(database, scope) for scope in ("predict", "train", "admin")}
    with serving(settings.model_copy(update={"keys": "required"})) as running:
        http = running.http
        body = {"name": "signs", **learnt.BODY}
        headers = {"Authorization": f"Bearer {keys['admin']}"}
        http.post("/v1/classifiers", json=body, headers=headers).raise_for_status()

        def status(path: str, auth: tuple[str, str] | None) -> int:
            if path == "health":
                return http.get(f"{BASE}/{path}", auth=auth).status_code
            event = {"action": "ANNOTATION_CREATED"}
            return http.post(f"{BASE}/{path}", json=event, auth=auth).status_code

        assert status("health", None) == 401
        assert status("health", ("accrue", "swordfish")) == 401
        assert status("health", ("accrue", keys["predict"])) == 200
        assert status("health", ("", keys["admin"])) == 200
        assert status("health", ("accrue", keys["train"])) == 403
        assert status("webhook", ("accrue", keys["predict"])) == 403
        assert status("webhook", ("accrue", keys["train"])) == 200
        # Nowhere else, where a browser would send it for another site's page.
        assert http.get("/v1/classifiers", auth=("accrue", keys["admin"])).status_code == 401
        broken = http.get(f"{BASE}/health", headers={"Authorization": "Basic !"})
        assert broken.status_code == 401

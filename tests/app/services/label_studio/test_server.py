"""Where images are fetched from, and by which credentials, over real connections."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import pytest

from app.services.label_studio.server import LabelStudio, LabelStudioFailedError, NotFetchedError
from app.settings import Settings
from tests.app.services.label_studio.site import Answer, Site, annotated, site

FILE = b"the bytes of an image"
PERSONAL = "header.claims.signature"


@pytest.fixture
def own() -> Iterator[Site]:
    with site() as made:
        made.answers["/data/upload/1/x.png"] = Answer(FILE)
        yield made


@pytest.fixture
def other() -> Iterator[Site]:
    with site() as made:
        made.answers["/x.png"] = Answer(FILE)
        yield made


def settings(own: Site, **given: Any) -> Settings:
    return Settings.model_validate(
        {"label_studio_url": own.url, "label_studio_token": "legacy", **given}
    )


def fetched(own: Site, image: object, task: int | None = 1, **given: Any) -> bytes:
    async def fetch() -> bytes:
        label_studio = LabelStudio(settings(own, **given))
        try:
            return await label_studio.image(task, {"image": image}, "image")
        finally:
            await label_studio.aclose()

    return asyncio.run(fetch())


def allowing(other: Site) -> dict[str, Any]:
    return {"label_studio_hosts": other.host, "label_studio_private": True}


def test_images_of_label_studio_are_fetched_with_its_token(own: Site) -> None:
    for named in ("/data/upload/1/x.png", f"{own.url}/data/upload/1/x.png"):
        assert fetched(own, named) == FILE
        assert own.requests[-1][1]["authorization"] == "Token legacy"


def test_a_personal_token_is_exchanged_for_an_access_token(own: Site) -> None:
    own.answers["/api/token/refresh/"] = Answer(b'{"access": "short-lived"}')
    assert fetched(own, "/data/upload/1/x.png", label_studio_token=PERSONAL) == FILE
    assert [path for path, _ in own.requests] == ["/api/token/refresh/", "/data/upload/1/x.png"]
    assert own.requests[-1][1]["authorization"] == "Bearer short-lived"


def test_images_of_listed_hosts_are_fetched_without_the_token(own: Site, other: Site) -> None:
    assert fetched(own, f"{other.url}/x.png", **allowing(other)) == FILE
    assert "authorization" not in other.requests[0][1]


def test_images_of_storages_come_through_label_studio(own: Site, other: Site) -> None:
    uri = "s3://bucket/x.png"
    path = f"/tasks/7/resolve/?fileuri={base64.urlsafe_b64encode(uri.encode()).decode()}"
    own.answers[path] = Answer(status=303, location=f"{other.url}/x.png")
    assert fetched(own, uri, 7, **allowing(other)) == FILE
    assert own.requests[0][1]["authorization"] == "Token legacy"
    assert "authorization" not in other.requests[0][1]


def test_images_in_the_task_itself() -> None:
    with site() as own:
        encoded = base64.b64encode(FILE).decode()
        assert fetched(own, f"data:image/png;base64,{encoded}") == FILE
        assert own.requests == []


def test_other_hosts_are_not_asked(own: Site, other: Site) -> None:
    own.answers["/away"] = Answer(status=302, location=f"{other.url}/x.png")
    for named in (f"{other.url}/x.png", f"//{other.host}/x.png", "/away"):
        with pytest.raises(NotFetchedError, match="ACCRUE_LABEL_STUDIO_HOSTS"):
            fetched(own, named)
    port = other.host.partition(":")[2]
    with pytest.raises(NotFetchedError, match="ACCRUE_LABEL_STUDIO_HOSTS"):
        fetched(own, f"http://127.0.0.1:{port}/x.png", label_studio_hosts="127.0.0.1")
    assert other.requests == []


def test_listed_hosts_have_public_addresses(own: Site, other: Site) -> None:
    with pytest.raises(NotFetchedError, match="must begin with https"):
        fetched(own, f"{other.url}/x.png", label_studio_hosts=other.host)
    with pytest.raises(NotFetchedError, match="not public"):
        fetched(own, f"https://{other.host}/x.png", label_studio_hosts=other.host)
    assert other.requests == []


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (None, "no URL in its field image"),
        (3, "no URL in its field image"),
        ("/data/upload/1/gone.png", "answers 404"),
        ("/loop", "redirects more than 5 times"),
        ("/large", "more than 1 megabytes"),
        ("file:///etc/passwd", "ACCRUE_LABEL_STUDIO_HOSTS"),
        ("http://host:port/x.png", "not a URL"),
        ("data:image/png;base64,!", "not in base64"),
        ("data:image/png,x", "not in base64"),
        ("data:image/png;base64," + "A" * 1_500_000, "more than 1 megabytes"),
    ],
)
def test_what_is_not_fetched(own: Site, image: object, why: str) -> None:
    own.answers["/loop"] = Answer(status=302, location="/loop")
    own.answers["/large"] = Answer(bytes(1_000_001))
    with pytest.raises(NotFetchedError, match=why):
        fetched(own, image, max_image_megabytes=1)


def of_project(own: Site, **given: Any) -> Any:
    async def ask() -> Any:
        label_studio = LabelStudio(settings(own, **given))
        try:
            return await label_studio.labelling_config(3), await label_studio.annotated(3)
        finally:
            await label_studio.aclose()

    return asyncio.run(ask())


def test_a_project(own: Site) -> None:
    own.project(3, [annotated(7, "/x.png", "a")])
    config, (task,) = of_project(own)
    assert (config.field, config.choices, task.id) == ("image", "kind", 7)


def test_an_api_that_fails(own: Site) -> None:
    with pytest.raises(LabelStudioFailedError, match="answers 404 at /api/projects/3/"):
        of_project(own)
    own.answers["/api/projects/3/"] = Answer(status=401)
    with pytest.raises(LabelStudioFailedError, match="TOKEN is not good"):
        of_project(own)
    own.answers["/api/projects/3/"] = Answer(b"<html>")
    with pytest.raises(LabelStudioFailedError, match="not the API of Label Studio"):
        of_project(own)
    with pytest.raises(LabelStudioFailedError, match="cannot be reached"):
        of_project(own, label_studio_url="http://127.0.0.1:1")

"""Uploads over HTTP: every form of body, and what each bad one gets."""

import base64
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from app.api import idempotency, problems, upload_body, uploads
from app.db.engine import Database
from app.monitoring.process import ProcessMetrics
from app.services.access.idempotency import ReplayedError, RequestsInProgress
from app.settings import Settings
from app.storage import BlobStore
from tests.databases import ONE_KIND_AT_FIRST
from tests.pictures import encode, pixels, png

ZIP = {"content-type": "application/zip"}


@pytest.fixture
def client(database: Database, store: BlobStore, settings: Settings) -> Iterator[TestClient]:
    """A client of a service with the routes of uploads only."""
    app = FastAPI()
    problems.install(app)
    app.add_exception_handler(ReplayedError, idempotency.on_replayed)
    app.include_router(uploads.router)
    app.state.settings, app.state.keyring = settings, None
    app.state.in_progress = RequestsInProgress()
    app.state.database, app.state.store = database, store
    app.state.metrics = ProcessMetrics()
    with TestClient(app) as client:
        yield client


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            # Dated alike, so that the same files are the same bytes at any time of day.
            archive.writestr(zipfile.ZipInfo(name), data)
    return packed.getvalue()


def tarred(files: dict[str, bytes], mode: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["code"] == code
    return document


def nothing_is_left(client: TestClient) -> bool:
    return client.get("/v1/uploads").json() == {"data": [], "has_more": False, "next": None}


def test_a_form_with_one_label(client: TestClient) -> None:
    files = [("files", (f"{seed}.png", png(seed))) for seed in (1, 2, 1)]
    files.append(("files", ("notes.txt", b"text")))
    answer = client.post("/v1/uploads", data={"label": "stop"}, files=files)
    assert answer.status_code == 201, answer.text
    view = answer.json()
    assert view["classes"] == {"stop": 2}
    assert (view["accepted"], view["duplicates"]) == (2, 1)
    assert [rejected["name"] for rejected in view["rejected"]] == ["notes.txt"]
    assert view["created_at"].endswith("Z")
    assert client.get(f"/v1/uploads/{view['id']}").json() == view


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("label", ["no entry", "日本/東京", "🛑"])
def test_class_names(client: TestClient, label: str) -> None:
    answer = client.post("/v1/uploads", data={"label": label}, files={"files": ("1.png", png())})
    assert answer.json()["classes"] == {label: 1}
    body = {"images": [{"label": label, "b64": b64(png())}]}
    assert client.post("/v1/uploads", json=body).json()["classes"] == {label: 1}


@ONE_KIND_AT_FIRST
def test_a_form_with_a_manifest(client: TestClient) -> None:
    manifest = {"1.png": "stop", "2.png": "go", "9.png": "go"}
    files = [("files", (f"{seed}.png", png(seed))) for seed in (1, 2, 3)]
    # As a field and as a file part, before and behind the images.
    for parts in (
        {"data": {"manifest": json.dumps(manifest)}, "files": files},
        {"files": [*files, ("manifest", ("m.json", json.dumps(manifest)))]},
    ):
        view = client.post("/v1/uploads", **parts).json()  # type: ignore[arg-type]
        assert view["classes"] == {"stop": 1, "go": 1}
        assert view["rejected"] == [
            {"name": "3.png", "reason": "not in the manifest"},
            {"name": "9.png", "reason": "in the manifest, but not sent"},
        ]


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize(
    ("media_type", "mode"), [("zip", ""), ("x-tar", "w"), ("gzip", "w:gz"), ("x-gzip", "w:gz")]
)
def test_archives(client: TestClient, media_type: str, mode: str) -> None:
    files = {"train/stop/1.png": png(1), "test/stop/2.png": png(2), "train/go/3.png": png(3)}
    body = tarred(files, mode) if mode else zipped(files)
    headers = {"content-type": f"application/{media_type}"}
    answer = client.post("/v1/uploads", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["classes"] == {"stop": 2, "go": 1}


def test_the_wrapping_folder_is_said(client: TestClient) -> None:
    wrapped = zipped({"a/signs/stop/1.png": png(1), "a/signs/go/2.png": png(2)})
    view = client.post("/v1/uploads", content=wrapped, headers=ZIP).json()
    assert view["classes"] == {"stop": 1, "go": 1}
    assert view["wrapping_folder"] == "a/signs"
    assert client.get(f"/v1/uploads/{view['id']}").json() == view

    inside = zipped({"stop/1.png": png(1), "stop/blurry/2.png": png(2)})
    view = client.post("/v1/uploads", content=inside, headers=ZIP).json()
    assert view["classes"] == {"stop": 1}
    assert view["wrapping_folder"] is None
    assert [rejected["name"] for rejected in view["rejected"]] == ["stop/blurry/2.png"]

    more = client.post(f"/v1/uploads/{view['id']}/images", content=wrapped, headers=ZIP).json()
    assert more["wrapping_folder"] == "a/signs"


@ONE_KIND_AT_FIRST
def test_suspicious_labels_are_said(client: TestClient) -> None:
    sent = zipped({"Tulip/1.png": png(1), "tulip/2.png": png(2), "rose/3.png": png(3)})
    view = client.post("/v1/uploads", content=sent, headers=ZIP).json()
    assert view["classes"] == {"Tulip": 1, "tulip": 1, "rose": 1}
    (warning,) = view["warnings"]
    assert "'tulip'" in warning
    assert "'Tulip'" in warning
    assert client.get(f"/v1/uploads/{view['id']}").json()["warnings"] == [warning]
    numbered = zipped({"sign 10/1.png": png(1), "sign 11/2.png": png(2)})
    assert client.post("/v1/uploads", content=numbered, headers=ZIP).json()["warnings"] == []


@ONE_KIND_AT_FIRST
def test_one_image_under_two_labels_is_said_and_refused_if_strict(client: TestClient) -> None:
    # The same pixels in two files.
    sent = zipped({"stop/1.png": png(1), "go/2.bmp": encode(pixels(seed=1), "BMP")})
    view = client.post("/v1/uploads", content=sent, headers=ZIP).json()
    assert view["classes"] == {"stop": 1, "go": 1}
    (warning,) = view["warnings"]
    for said in ("'stop/1.png'", "'stop'", "'go/2.bmp'", "'go'"):
        assert said in warning
    answer = client.post("/v1/uploads?strict=true", content=sent, headers=ZIP)
    assert (answer.status_code, answer.json()["code"]) == (422, "contradictory-labels")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/go/2.bmp"]
    assert len(client.get("/v1/uploads").json()["data"]) == 1
    # Also where the other label was sent before.
    begun = client.post("/v1/uploads", content=zipped({"stop/1.png": png(1)}), headers=ZIP).json()
    path = f"/v1/uploads/{begun['id']}/images?strict=true"
    answer = client.post(path, content=zipped({"go/2.png": png(1)}), headers=ZIP)
    assert answer.json()["code"] == "contradictory-labels"
    assert client.get(f"/v1/uploads/{begun['id']}").json() == begun


@ONE_KIND_AT_FIRST
def test_another_file_of_a_picture_is_a_duplicate(client: TestClient) -> None:
    sent = zipped({"stop/1.png": png(1), "stop/2.bmp": encode(pixels(seed=1), "BMP")})
    view = client.post("/v1/uploads", content=sent, headers=ZIP).json()
    assert (view["classes"], view["duplicates"], view["warnings"]) == ({"stop": 1}, 1, [])
    more = zipped({"stop/3.webp": encode(pixels(seed=1), "WEBP", lossless=True)})
    view = client.post(f"/v1/uploads/{view['id']}/images", content=more, headers=ZIP).json()
    assert (view["classes"], view["duplicates"]) == ({"stop": 1}, 2)


@ONE_KIND_AT_FIRST
def test_names_that_are_a_guess_are_said(client: TestClient) -> None:
    packed = zipped({"AA/1.png": png(1)})
    japanese = packed.replace(b"AA/", "\u6b62/".encode("cp932"))
    view = client.post("/v1/uploads", content=japanese, headers=ZIP).json()
    (warning,) = view["warnings"]
    assert "?names=" in warning
    view = client.post("/v1/uploads?names=cp932", content=japanese, headers=ZIP).json()
    assert (view["classes"], view["warnings"]) == ({"\u6b62": 1}, [])
    utf8 = packed.replace(b"AA/", "\u00e9/".encode())
    view = client.post("/v1/uploads", content=utf8, headers=ZIP).json()
    assert (view["classes"], view["warnings"]) == ({"\u00e9": 1}, [])


@ONE_KIND_AT_FIRST
def test_one_class_has_one_name_in_zips_and_tars(client: TestClient) -> None:
    # As Info-ZIP and macOS write them: UTF-8 without the flag, also decomposed.
    packed = zipped({"stop/cafeXX.png": png(1), "cafeXX/1.png": png(2)})
    packed = packed.replace(b"XX", "\u0301".encode())
    view = client.post("/v1/uploads", content=packed, headers=ZIP).json()
    assert view["classes"] == {"stop": 1, "caf\xe9": 1}
    body = tarred({"caf\xe9/3.png": png(3)}, "w")
    headers = {"content-type": "application/x-tar"}
    more = client.post(f"/v1/uploads/{view['id']}/images", content=body, headers=headers).json()
    assert more["classes"] == {"stop": 1, "caf\xe9": 2}


@ONE_KIND_AT_FIRST
def test_the_encoding_of_names(client: TestClient) -> None:
    packed = zipped({"XXXX/1.png": png(1)}).replace(b"XXXX", "\u8868\u793a".encode("cp932"))
    answer = client.post("/v1/uploads?names=cp932", content=packed, headers=ZIP)
    assert answer.json()["classes"] == {"\u8868\u793a": 1}
    answer = client.post("/v1/uploads?names=Shift-JIS", content=packed, headers=ZIP)
    assert answer.json()["classes"] == {"\u8868\u793a": 1}
    answer = client.post("/v1/uploads?names=rot13", content=packed, headers=ZIP)
    (error,) = problem(answer, 422, "invalid-request")["errors"]
    assert error["pointer"] == "/query/names"
    assert "latin-1" in error["detail"]


def test_names_that_are_not_utf8_stay_apart(client: TestClient) -> None:
    body = tarred({"r\udce9d/1.png": png(1), "r\udcead/2.png": png(2), "go/3.png": png(3)}, "w")
    headers = {"content-type": "application/x-tar"}
    view = client.post("/v1/uploads", content=body, headers=headers).json()
    assert view["classes"] == {"go": 1}
    assert view["rejected"] == [
        {"name": "r\\xe9d/1.png", "reason": "its name is not UTF-8"},
        {"name": "r\\xead/2.png", "reason": "its name is not UTF-8"},
    ]


def test_backslashes_of_windows(client: TestClient) -> None:
    packed = zipped({"signs\\stop\\1.png": png(1), "signs\\go\\2.png": png(2)})
    view = client.post("/v1/uploads", content=packed, headers=ZIP).json()
    assert (view["classes"], view["wrapping_folder"]) == ({"stop": 1, "go": 1}, "signs")


@ONE_KIND_AT_FIRST
def test_json(client: TestClient) -> None:
    images = [{"label": "stop", "b64": b64(png(1))}, {"label": "go", "b64": "*"}]
    view = client.post("/v1/uploads", json={"images": images}).json()
    assert view["classes"] == {"stop": 1}
    assert view["rejected"] == [
        {"name": "images/1", "reason": "not base64: character 1 is not in its alphabet"}
    ]


@ONE_KIND_AT_FIRST
def test_a_body_larger_than_memory_is_for(client: TestClient) -> None:
    noise = bytes(range(256)) * 20_000
    body = zipped({"stop/1.png": png(1), "stop/noise.png": noise})
    view = client.post("/v1/uploads", content=body, headers=ZIP).json()
    assert (view["accepted"], len(view["rejected"])) == (1, 1)


@ONE_KIND_AT_FIRST
def test_strict(client: TestClient) -> None:
    body = zipped({"stop/1.png": png(1), "stop/2.png": b"no image"})
    answer = client.post("/v1/uploads?strict=true", content=body, headers=ZIP)
    assert problem(answer, 422, "rejected-images")["errors"][0]["pointer"] == "/stop/2.png"
    assert nothing_is_left(client)


@ONE_KIND_AT_FIRST
def test_adding_listing_deleting(client: TestClient) -> None:
    ids = []
    for seed in range(3):
        body = {"images": [{"label": "stop", "b64": b64(png(seed))}]}
        ids.append(client.post("/v1/uploads", json=body).json()["id"])
    more = {"images": [{"label": "go", "b64": b64(png(9))}]}
    answer = client.post(f"/v1/uploads/{ids[0]}/images", json=more)
    assert answer.status_code == 200
    assert answer.json()["classes"] == {"stop": 1, "go": 1}

    page = client.get("/v1/uploads?limit=2").json()
    assert [view["id"] for view in page["data"]] == [ids[2], ids[1]]
    assert page["has_more"]
    page = client.get(f"/v1/uploads?limit=2&after={page['next']}").json()
    assert [view["id"] for view in page["data"]] == [ids[0]]
    assert not page["has_more"]

    assert client.delete(f"/v1/uploads/{ids[1]}").status_code == 204
    problem(client.get(f"/v1/uploads/{ids[1]}"), 404, "upload-not-found")
    problem(client.delete(f"/v1/uploads/{ids[1]}"), 404, "upload-not-found")
    problem(client.post(f"/v1/uploads/{ids[1]}/images", json=more), 404, "upload-not-found")


def test_the_same_key_makes_one_upload(client: TestClient) -> None:
    body = zipped({"stop/1.png": png(1)})
    headers = {**ZIP, "Idempotency-Key": "k1"}
    first = client.post("/v1/uploads", content=body, headers=headers)
    again = client.post("/v1/uploads", content=body, headers=headers)
    assert again.status_code == 201
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert len(client.get("/v1/uploads").json()["data"]) == 1


def form(boundary: str, content: bytes, label: str = "stop", name: str = "1.png") -> dict[str, Any]:
    """A request with one file; its boundary does not change its length."""
    head = 'Content-Disposition: form-data; name="'
    lines = [
        f'--{boundary}\r\n{head}label"\r\n\r\n{label}\r\n--{boundary}\r\n'.encode(),
        f'{head}files"; filename="{name}"\r\n\r\n'.encode(),
        content + f"\r\n--{boundary}--\r\n".encode(),
    ]
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return {"content": b"".join(lines), "headers": headers}


def chunked(request: dict[str, Any]) -> dict[str, Any]:
    """The same request, its length not declared."""
    content = request["content"]
    pieces = (content[start : start + 50] for start in range(0, len(content), 50))
    return {**request, "content": pieces}


def bmp(shade: int) -> bytes:
    packed = io.BytesIO()
    Image.new("L", (4, 4), shade).save(packed, "BMP")
    return packed.getvalue()


def one_json(shade: int) -> dict[str, Any]:
    content = json.dumps({"images": [{"label": "stop", "b64": b64(bmp(shade))}]}).encode()
    return {"content": content, "headers": {"content-type": "application/json"}}


def one_zip(shade: int) -> dict[str, Any]:
    return {"content": zipped({"stop/1.bmp": bmp(shade)}), "headers": ZIP}


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("wrap", [dict, chunked], ids=["declared", "chunked"])
@pytest.mark.parametrize(
    ("first", "same", "others"),
    [
        (one_json(1), one_json(1), [one_json(2)]),
        (one_zip(1), one_zip(1), [one_zip(2)]),
        (
            form("b1", bmp(1)),
            form("b2", bmp(1)),
            [
                form("b1", bmp(2)),
                form("b2", bmp(2)),
                form("b1", bmp(1), label="step"),
                form("b1", bmp(1), name="2.png"),
            ],
        ),
    ],
    ids=["json", "zip", "form"],
)
def test_a_key_is_good_for_one_content(
    client: TestClient,
    wrap: Callable[[dict[str, Any]], dict[str, Any]],
    first: dict[str, Any],
    same: dict[str, Any],
    others: list[dict[str, Any]],
) -> None:
    def post(request: dict[str, Any]) -> httpx.Response:
        wrapped = wrap(request)
        headers = {**wrapped.pop("headers"), "Idempotency-Key": "k"}
        return client.post("/v1/uploads", **wrapped, headers=headers)

    made = post(first)
    assert made.status_code == 201, made.text
    assert post(same).json() == made.json()
    for other in others:
        assert len(other["content"]) == len(first["content"])
        problem(post(other), 422, "idempotency-key-reused")
    assert len(client.get("/v1/uploads").json()["data"]) == 1


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000])
def test_a_forms_digest_does_not_depend_on_its_boundary(
    monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(upload_body, "_SPOOL_BYTES", chunk)

    def digest(boundary: bytes, template: bytes) -> bytes:
        body = io.BytesIO(template.replace(b"@", b"--" + boundary))
        return upload_body.content_digest(body, boundary)

    def all_of(template: bytes) -> set[bytes]:
        return {digest(each, template) for each in (b"x", b"a-a", b"----abcdefgh")}

    (plain,) = all_of(b"@\r\none\r\n@two\r\n@--")
    assert all_of(b"@\r\none\r\n@two\r\n@--") == {plain}
    # What is between the boundaries counts, and where they are.
    assert plain not in all_of(b"@\r\none\r\n@twx\r\n@--")
    assert plain not in all_of(b"@\r\none@\r\ntwo\r\n@--")
    assert plain not in all_of(b"@\r\none\r\ntwo\r\n@--")


@ONE_KIND_AT_FIRST
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("size", [100, 3 * 2**20])
def test_a_full_disk_is_507(client: TestClient, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    def full(_size: int) -> IO[bytes]:
        return Path("/dev/full").open("r+b")

    monkeypatch.setattr(upload_body, "SpooledTemporaryFile", full)
    answer = client.post("/v1/uploads", content=bytes(size), headers=ZIP)
    problem(answer, 507, "storage-full")


BAD_ARCHIVES = {
    "leads outside": (zipped({"stop/1.png": png(1), "../evil.png": png(2)}), "unsafe-archive"),
    "empty": (zipped({}), "no-usable-images"),
    "no images": (zipped({"stop/1.txt": b"text"}), "no-usable-images"),
    "no folders": (zipped({"1.png": png(1)}), "no-usable-images"),
    "no zip": (b"PK but not really", "unreadable-archive"),
    "no bytes": (b"", "unreadable-archive"),
    "half": (zipped({"stop/1.png": png(1)})[:100], "unreadable-archive"),
}


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_bad_archives(client: TestClient, name: str, settings: Settings) -> None:
    body, code = BAD_ARCHIVES[name]
    document = problem(client.post("/v1/uploads", content=body, headers=ZIP), 422, code)
    if name == "leads outside":
        assert "../evil.png" in document["detail"]
    assert nothing_is_left(client)
    assert [path for path in Path(settings.storage_url).rglob("*") if path.is_file()] == []


def form(*parts: tuple[str, bytes], boundary: str = "b0") -> tuple[bytes, dict[str, str]]:
    """A multipart body as it stands on the wire: a disposition's parameters, then the data."""
    body = b"".join(
        f"--{boundary}\r\ncontent-disposition: form-data{parameters}\r\n\r\n".encode()
        + data
        + b"\r\n"
        for parameters, data in parts
    )
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return body + f"--{boundary}--\r\n".encode(), headers


LABEL = ('; name="label"', b"stop")
FILE = ('; name="files"; filename="1.png"', png(1))

BAD_FORMS = {
    "no label": (form(FILE), 422, "invalid-request"),
    "two labels": (form(LABEL, LABEL, FILE), 422, "invalid-request"),
    "label and manifest": (form(LABEL, ('; name="manifest"', b"{}"), FILE), 422, "invalid-request"),
    "empty label": (form(('; name="label"', b" "), FILE), 422, "invalid-request"),
    "label that is not UTF-8": (form(('; name="label"', b"\xff"), FILE), 422, "invalid-request"),
    "label with a NUL": (form(('; name="label"', b"a\0b"), FILE), 422, "invalid-request"),
    "manifest that is not JSON": (form(('; name="manifest"', b"{"), FILE), 422, "invalid-request"),
    "manifest that is a list": (form(('; name="manifest"', b"[]"), FILE), 422, "invalid-request"),
    "manifest with two labels for a file": (
        form(('; name="manifest"', b'{"1.png": "a", "1.png": "b"}'), FILE),
        422,
        "invalid-request",
    ),
    "unknown field": (form(LABEL, FILE, ('; name="lable"', b"")), 422, "invalid-request"),
    "nameless field": (form(LABEL, FILE, ("", b"")), 422, "invalid-request"),
    "no files": (form(LABEL), 422, "no-usable-images"),
    "an empty file": (form(LABEL, ('; name="files"; filename="1"', b"")), 422, "no-usable-images"),
    "10,000 empty parts": (form(LABEL, *[('; name="files"', b"")] * 10_000), 413, "too-many-parts"),
    "no parts": ((b"--b0--\r\n", form()[1]), 422, "invalid-request"),
    "no body": ((b"", form()[1]), 400, "malformed-form"),
    "no end": ((form(LABEL, FILE)[0][:-8], form()[1]), 400, "malformed-form"),
    "another boundary": ((form(LABEL, FILE, boundary="b1")[0], form()[1]), 400, "malformed-form"),
    "no boundary": ((b"", {"content-type": "multipart/form-data"}), 400, "malformed-form"),
    "a long header": (form(("; " + "x" * 100_000, b"")), 400, "malformed-form"),
}


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("name", BAD_FORMS)
def test_bad_forms(client: TestClient, name: str) -> None:
    (body, headers), status, code = BAD_FORMS[name]
    problem(client.post("/v1/uploads", content=body, headers=headers), status, code)
    assert nothing_is_left(client)


def test_a_manifest_with_names_as_clients_write_them(client: TestClient) -> None:
    manifest = {"caf\xe9.png": "a", "r\xe9.png": "b", "dir/3.png": "c", "4.png": "d"}
    body, headers = form(
        ('; name="manifest"', json.dumps(manifest).encode()),
        ("; name=\"files\"; filename*=UTF-8''caf%C3%A9.png", png(1)),
        ('; name="files"; filename="=?utf-8?B?csOpLnBuZw==?="', png(2)),
        ('; name="files"; filename="3.png"', png(3)),
        ('; name="files"; filename="C:\\fakepath\\4.png"', png(4)),
        ('; name="files"; filename="x/5.png"', png(5)),
    )
    view = client.post("/v1/uploads", content=body, headers=headers).json()
    assert view["classes"] == {"a": 1, "b": 1, "c": 1, "d": 1}
    assert view["rejected"] == [{"name": "x/5.png", "reason": "not in the manifest"}]


BAD_JSON = {
    "no JSON": (b"{", "invalid-request"),
    "a list": (b"[]", "invalid-request"),
    "no images": (b"{}", "invalid-request"),
    "an unknown field": (b'{"images": [], "labels": []}', "invalid-request"),
    "a number for a label": (b'{"images": [{"label": 1, "b64": ""}]}', "invalid-request"),
    "no UTF-8": (b'{"images": [{"label": "\xff", "b64": ""}]}', "invalid-request"),
    "no image at all": (b'{"images": []}', "no-usable-images"),
    "an empty image": (b'{"images": [{"label": "a", "b64": ""}]}', "no-usable-images"),
    "half a surrogate": (b'{"images": [{"label": "\\ud800", "b64": ""}]}', "invalid-request"),
    "a NUL": (b'{"images": [{"label": "\\u0000", "b64": ""}]}', "no-usable-images"),
}


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json(client: TestClient, name: str) -> None:
    body, code = BAD_JSON[name]
    headers = {"content-type": "application/json"}
    document = problem(client.post("/v1/uploads", content=body, headers=headers), 422, code)
    if code == "invalid-request":
        assert document["errors"]
    assert nothing_is_left(client)


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("media_type", ["image/png", "text/plain", "application/x-rar", None])
def test_other_content_types(client: TestClient, media_type: str | None) -> None:
    headers = {"content-type": media_type} if media_type else {}
    answer = client.post("/v1/uploads", content=png(), headers=headers)
    problem(answer, 415, "unsupported-media-type")


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("query", ["split=both", "strict=perhaps", "names=utf-7", "names="])
def test_bad_queries(client: TestClient, query: str) -> None:
    answer = client.post(f"/v1/uploads?{query}", content=zipped({}), headers=ZIP)
    problem(answer, 422, "invalid-request")


@ONE_KIND_AT_FIRST
def test_a_body_over_the_limit(client: TestClient, settings: Settings) -> None:
    tight = settings.model_copy(update={"max_body_megabytes": 1})
    client.app.state.settings = tight  # type: ignore[attr-defined]
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield bytes(100_000)

    for media_type in ("application/zip", "application/json", "multipart/form-data; boundary=b0"):
        headers = {"content-type": media_type}
        problem(
            client.post("/v1/uploads", content=chunks(), headers=headers), 413, "body-too-large"
        )


@ONE_KIND_AT_FIRST
def test_every_problem_is_declared(client: TestClient) -> None:
    paths = client.app.openapi()["paths"]  # type: ignore[attr-defined]
    post = paths["/v1/uploads"]["post"]
    assert {"400", "413", "415", "422", "507"} <= set(post["responses"])
    assert "application/octet-stream" in post["requestBody"]["content"]
    assert "$defs" not in json.dumps(post)


def groups_of(client: TestClient, view: dict[str, Any]) -> list[tuple[str, str | None]]:
    found = client.get(f"/v1/uploads/{view['id']}/images").raise_for_status().json()["data"]
    groups = [(image["name"], image["group"]) for image in found]
    assert view["groups"] == len({group for _, group in groups} - {None})
    return groups


@ONE_KIND_AT_FIRST
def test_groups_are_named_in_every_form(client: TestClient) -> None:
    files = [("files", (f"{seed}.png", png(seed))) for seed in (1, 2)]
    form = {"label": "stop", "group": " track 7 "}
    view = client.post("/v1/uploads", data=form, files=files).json()
    assert groups_of(client, view) == [("1.png", "track 7"), ("2.png", "track 7")]
    manifest = {"1.png": "stop", "2.png": {"label": "go", "group": "b"}}
    for group, first in ((None, None), ("rest", "rest")):
        form = {"manifest": json.dumps(manifest)} | ({"group": group} if group else {})
        view = client.post("/v1/uploads", data=form, files=files).json()
        assert view["classes"] == {"stop": 1, "go": 1}
        assert groups_of(client, view) == [("1.png", first), ("2.png", "b")]
    images = [
        {"label": "a", "b64": b64(png(1)), "group": "one"},
        {"label": "a", "b64": b64(png(2))},
    ]
    view = client.post("/v1/uploads", json={"images": images}).json()
    assert groups_of(client, view) == [("images/0", "one"), ("images/1", None)]
    # The whole upload is the group of what has no other, also of what is added.
    view = client.post("/v1/uploads?group=upload", json={"images": images}).json()
    more = f"/v1/uploads/{view['id']}/images?group=upload"
    view = client.post(more, data={"label": "a"}, files={"files": ("3.png", png(3))}).json()
    assert [group for _, group in groups_of(client, view)] == ["one", view["id"], view["id"]]
    packed = zipped({"a/t1/1.png": png(1), "a/t2/2.png": png(2), "b/3.png": png(3)})
    view = client.post("/v1/uploads?group=folder", content=packed, headers=ZIP).json()
    assert [group for _, group in groups_of(client, view)] == ["t1", "t2", None]
    first = client.get(f"/v1/uploads/{view['id']}/images?limit=2").json()
    assert (first["next"], first["has_more"]) == ("1", True)
    (last,) = client.get(f"/v1/uploads/{view['id']}/images?after=1").json()["data"]
    assert {**last, "sha256": ""} == {
        "position": 2,
        "name": "b/3.png",
        "sha256": "",
        "label": "b",
        "split": "train",
        "group": None,
    }


@ONE_KIND_AT_FIRST
def test_what_is_wrong_with_groups_is_said(client: TestClient) -> None:
    body = {"images": [{"label": "a", "b64": b64(png(1))}]}
    wrong = problem(client.post("/v1/uploads?group=folder", json=body), 422, "invalid-request")
    assert wrong["errors"][0]["pointer"] == "/group"
    for group in (" ", "\x07", "x" * 201):
        images = [{"label": "a", "b64": b64(png(2)), "group": group}, *body["images"]]
        view = client.post("/v1/uploads", json={"images": images}).json()
        assert "the name of a group" in view["rejected"][0]["reason"]
    file = {"files": ("1.png", png(1))}
    form = {"label": "a", "group": " "}
    wrong = problem(client.post("/v1/uploads", data=form, files=file), 422, "invalid-request")
    assert wrong["errors"][0]["pointer"] == "/group"
    for manifest, pointer in (
        ('{"1.png": 7}', "/manifest/1.png"),
        ('{"1.png": {"group": "g"}}', "/manifest/1.png/label"),
        ('{"1.png": {"label": "a", "gruop": "g"}}', "/manifest/1.png/gruop"),
        ('{"1.png": "a", "1.png": {"label": "a", "group": "g"}}', "/manifest"),
    ):
        answer = client.post("/v1/uploads", data={"manifest": manifest}, files=file)
        assert problem(answer, 422, "invalid-request")["errors"][0]["pointer"] == pointer
    # The same image in two groups is in the first.
    images = [{"label": "a", "b64": b64(png(1)), "group": group} for group in ("one", "two")]
    view = client.post("/v1/uploads", json={"images": images}).json()
    assert (view["duplicates"], view["groups"]) == (1, 1)
    assert "in another group" in view["warnings"][0]


def some(*labelled: tuple[str, int]) -> dict[str, Any]:
    return {"images": [{"label": label, "b64": b64(png(seed))} for label, seed in labelled]}


def test_images_of_a_class_or_a_split(client: TestClient) -> None:
    body = some(("stop", 1), ("go", 2), ("stop", 3))
    made = client.post("/v1/uploads", json=body).json()
    path = f"/v1/uploads/{made['id']}/images"
    changed = client.post(f"{path}?split=test", json=some(("go", 4), ("go", 5))).json()
    assert changed["splits"] == {"train": 3, "test": 2}
    assert client.get("/v1/uploads").json()["data"] == [changed]

    def listed(query: str) -> list[tuple[str, int]]:
        found = client.get(path + query).json()["data"]
        return [(each["label"], each["position"]) for each in found]

    assert listed("?label=stop") == [("stop", 0), ("stop", 2)]
    assert listed("?split=test") == [("go", 3), ("go", 4)]
    assert listed("?label=go&split=train") == [("go", 1)]
    assert listed("?label=go&limit=1&after=1") == [("go", 3)]
    assert listed("?label=cat") == []
    problem(client.get(f"{path}?split=val"), 422, "invalid-request")


def test_deleting_images(client: TestClient) -> None:
    body = some(("stop", 1), ("go", 2), ("Stop", 1), ("go", 3), ("stop", 4))
    made = client.post("/v1/uploads", json=body).json()
    assert len(made["warnings"]) == 2  # nearly equal labels; an image with two
    path = f"/v1/uploads/{made['id']}/images"
    hashes = [each["sha256"] for each in client.get(path).json()["data"]]
    problem(client.delete(path), 422, "invalid-request")
    problem(client.delete(f"{path}?label=cat"), 404, "image-not-found")
    some_unknown = f"{path}?sha256={hashes[1]}&sha256={'0' * 64}"
    answer = problem(client.delete(some_unknown), 404, "image-not-found")
    assert [error["pointer"] for error in answer["errors"]] == ["/query/sha256/1"]
    problem(client.delete(f"{path}?sha256={hashes[1]}&label=stop"), 404, "image-not-found")
    assert client.get(f"/v1/uploads/{made['id']}").json() == made

    left = client.delete(f"{path}?sha256={hashes[0]}&label=Stop").raise_for_status().json()
    assert (left["classes"], left["accepted"]) == ({"stop": 2, "go": 2}, 4)
    assert left["warnings"] == []
    left = client.delete(f"{path}?sha256={hashes[1]}&sha256={hashes[4]}").json()
    assert left["classes"] == {"stop": 1, "go": 1}
    assert client.get(f"/v1/uploads/{made['id']}").json() == left
    # What is sent later comes behind, and what was deleted can be sent again.
    client.post(f"{path}?split=test", json=some(("go", 2))).raise_for_status()
    found = client.get(path).json()["data"]
    assert [(each["sha256"], each["position"]) for each in found] == [
        (hashes[0], 0),
        (hashes[3], 3),
        (hashes[1], 4),
    ]
    left = client.delete(f"{path}?split=test").raise_for_status().json()
    assert left["splits"] == {"train": 2, "test": 0}

"""Bodies as other clients send them: what is beyond doubt is taken, the rest is told the remedy."""

import base64
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import pyarrow
import pytest
from fastapi.testclient import TestClient
from httpx import Response
from pyarrow import parquet

from app.settings import Settings
from tests.app.learnt import Published
from tests.databases import ONE_KIND_AT_FIRST
from tests.pictures import encode, jpeg, pixels, png

pytestmark = ONE_KIND_AT_FIRST
Publish = Callable[..., Published]

FORM = "application/x-www-form-urlencoded"  # what curl says of --data-binary without -H


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("stop/1.png", png(1))
    return packed.getvalue()


def tarred(mode: str, **options: Any) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode, **options) as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo("stop/1.png")
        info.size = len(png(1))
        archive.addfile(info, io.BytesIO(png(1)))
    return packed.getvalue()


def as_json(label: str | None = "stop") -> bytes:
    image = {"b64": base64.b64encode(png(1)).decode()}
    return json.dumps({"images": [image if label is None else {**image, "label": label}]}).encode()


def multipart(*parts: tuple[str, bytes]) -> tuple[bytes, str]:
    body = b"".join(
        b"--b\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts
    )
    return body + b"--b--\r\n", "multipart/form-data; boundary=b"


def post(api: TestClient, path: str, body: bytes, media_type: str | None) -> Response:
    return api.post(path, content=body, headers={"Content-Type": media_type} if media_type else {})


def said(answer: Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def in_parquet(**options: Any) -> bytes:
    packed = io.BytesIO()
    parquet.write_table(pyarrow.table({"image": [png(1)], "label": ["stop"]}), packed, **options)
    return packed.getvalue()


def file_part(name: str, data: bytes, field: str = "file") -> tuple[str, bytes]:
    return f'content-disposition: form-data; name="{field}"; filename="{name}"', data


@pytest.mark.parametrize("field", ["file", "files", "image", "files[]", "images"])
@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.parquet"])
def test_an_archive_within_a_form(api: TestClient, name: str, field: str) -> None:
    archive = {
        "x.zip": zipped,
        "x.tar": lambda: tarred("w"),
        "x.tar.gz": lambda: tarred("w:gz"),
        "x.parquet": in_parquet,
    }[name]()
    view = post(api, "/v1/uploads", *multipart(file_part(name, archive, field))).json()
    assert view["classes"] == {"stop": 1}


def test_large_archives_within_a_form(api: TestClient) -> None:
    def archive(label: str) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as made:
            for seed in range(3):
                made.writestr(f"{label}/{seed}.png", png(seed + 10 * len(label), 300, 300))
            # What looks like the beginning of the boundary, where chunks of the parser end.
            made.writestr("notes", b"\r\n--" * 30_000)
        return packed.getvalue()

    body = multipart(file_part("1.zip", archive("go")), file_part("2.zip", archive("stop")))
    view = post(api, "/v1/uploads", *body).json()
    assert view["classes"] == {"go": 3, "stop": 3}


def test_what_comes_with_an_archive_in_a_form(api: TestClient) -> None:
    both = multipart(file_part("x.zip", zipped()), file_part("1.png", png(1)))
    wrong = post(api, "/v1/uploads", *both)
    assert wrong.json()["errors"] == [
        {"pointer": "/files", "detail": "archives and images are together: send archives alone"}
    ]
    label = ('content-disposition: form-data; name="label"', b"go")
    images = multipart(label, file_part("x.zip", zipped()), file_part("1.png", png(1)))
    view = post(api, "/v1/uploads", *images).json()
    assert view["classes"] == {"go": 1}
    assert "an archive: send it alone" in view["rejected"][0]["reason"]
    grouped = multipart(file_part("x.zip", zipped()))
    assert post(api, "/v1/uploads?group=folder", *grouped).json()["classes"] == {"stop": 1}


def test_parquet(api: TestClient, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(1)
    for media_type in ("application/vnd.apache.parquet", "application/octet-stream", FORM, None):
        view = post(api, "/v1/uploads", in_parquet(), media_type).json()
        assert (view["classes"], view["rejected_count"]) == ({"stop": 1}, 0)
    assert "for uploads" in said(post(api, "/predict", in_parquet(), None), 415)
    monkeypatch.setattr("app.security.parquet.find_spec", lambda _: None)
    assert "extra parquet" in said(post(api, "/v1/uploads", in_parquet(), None), 415)


@pytest.mark.parametrize(
    "media_type",
    [
        *("application/zip", "application/x-tar", "application/gzip", "application/x-gtar"),
        *("application/octet-stream", "application/x-zip-compressed", "application/x-zip"),
        *("multipart/x-zip", "application/json", "multipart/form-data; boundary=x", FORM, None),
        *("binary/octet-stream", "APPLICATION/X-TAR; charset=utf-8", "no type at all"),
    ],
)
def test_archives_are_what_their_bytes_say(api: TestClient, media_type: str | None) -> None:
    bodies = [
        zipped(),
        tarred("w", format=tarfile.GNU_FORMAT),
        tarred("w", format=tarfile.PAX_FORMAT),
    ]
    if "json" not in str(media_type) and "form-data" not in str(media_type):
        bodies.append(tarred("w:gz"))
    for body in bodies:
        answer = post(api, "/v1/uploads", body, media_type)
        assert answer.status_code == 201, answer.text
        assert answer.json()["classes"] == {"stop": 1}


def test_an_old_tar_has_no_mark_and_is_what_it_is_said_to_be(api: TestClient) -> None:
    body = bytearray(tarred("w", format=tarfile.USTAR_FORMAT))
    body[257:265] = bytes(8)
    body[148:156] = b" " * 8
    body[148:156] = b"%06o\0 " % sum(body[:512])
    answer = post(api, "/v1/uploads", bytes(body), "application/x-tar")
    assert answer.json()["classes"] == {"stop": 1}


@pytest.mark.parametrize(
    ("body", "media_type", "remedy"),
    [
        (tarred("w:bz2"), "application/x-tar", "bzip2 is not read. Send a zip, a tar or a tar.gz"),
        (tarred("w:xz"), "application/x-xz", "xz is not read"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "application/x-7z-compressed", "7z is not read"),
        (b"Rar!\x1a\x07\x01\0", "application/zip", "RAR is not read"),
        (png(), "image/png", "label=CLASS"),
        (jpeg(), "application/octet-stream", "label=CLASS"),
        (png(), None, "label=CLASS"),
        (tarred("w:gz"), "application/json", "without Content-Encoding"),
        (b"label=stop&files=a.png", FORM, "Send multipart/form-data"),
        (b"", None, "The body is empty. Send a form"),
    ],
)
def test_other_bodies_get_the_remedy(
    api: TestClient, body: bytes, media_type: str | None, remedy: str
) -> None:
    assert remedy in said(post(api, "/v1/uploads", body, media_type), 415)
    assert api.get("/v1/uploads").json()["data"] == []


@pytest.mark.parametrize(
    "media_type", ["application/json", "text/json", "text/plain;charset=UTF-8", FORM, None]
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\n  "])
def test_json_with_and_without_a_mark(
    api: TestClient, publish: Publish, media_type: str | None, mark: bytes
) -> None:
    publish(1)
    answer = post(api, "/v1/uploads", mark + as_json(), media_type)
    assert answer.status_code == 201, answer.text
    assert answer.json()["classes"] == {"stop": 1}
    answer = post(api, "/predict", mark + as_json(None), media_type)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_refused(api: TestClient, publish: Publish, encoding: str) -> None:
    publish(1)
    for path, body in (("/v1/uploads", as_json()), ("/predict", as_json(None))):
        for media_type in ("application/json", None):
            answer = post(api, path, body.decode().encode(encoding), media_type)
            assert "must be UTF-8" in said(answer, 422)


def test_every_other_route_takes_a_mark(api: TestClient) -> None:
    body = b'\xef\xbb\xbf{"name": "marked"}'
    assert post(api, "/v1/classifiers", body, "application/json").status_code == 201


def test_base64_with_line_ends_and_as_a_url(api: TestClient, publish: Publish) -> None:
    publish(1)
    ways = [
        base64.encodebytes(png(1)).decode(),
        base64.urlsafe_b64encode(png(1)).decode().rstrip("="),
        "data:image/png;base64," + base64.b64encode(png(1)).decode(),
    ]
    (plain,) = api.post("/predict", content=png(1)).json()["results"]
    for way in ways:
        assert api.post("/predict", json={"images": [{"b64": way}]}).json()["results"] == [plain]
    images = [{"label": f"class {place}", "b64": way} for place, way in enumerate(ways)]
    images.append({"label": "bare", "b64": "!"})
    view = api.post("/v1/uploads", json={"images": images}).json()
    assert (view["accepted"], view["empty_classes"]) == (3, ["bare"])
    assert view["rejected"][0]["reason"].startswith("not base64: character 1")


@pytest.mark.parametrize(
    "media_type",
    [
        *("image/jpg", "image/pjpeg", "image/x-png", "image/x-ms-bmp", "image/x-citrix-jpeg"),
        *("application/octet-stream", "binary/octet-stream", FORM, "image/heic", "text/plain"),
        *("application/json", "multipart/form-data", None),
    ],
)
def test_an_image_is_what_its_bytes_say(
    api: TestClient, publish: Publish, media_type: str | None
) -> None:
    publish(1)
    forms = ("BMP", "GIF", "WEBP", "TIFF", "AVIF", "JPEG2000")
    for image in (png(), jpeg(), *(encode(pixels(), form) for form in forms)):
        right = post(api, "/predict", image, "image/png").json()
        assert post(api, "/predict", image, media_type).json() == right
        assert right["results"][0]["label"]


def test_what_is_no_image_is_named(api: TestClient, publish: Publish) -> None:
    publish(1)
    heif = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    assert "HEIF" in said(post(api, "/predict", heif, "image/heic"), 422)
    assert "for uploads" in said(post(api, "/predict", zipped(), "application/zip"), 415)
    assert "Content-Encoding" in said(post(api, "/predict", b"\x1f\x8b", "application/json"), 415)
    # As curl does with a file that is not there.
    assert "The body is empty" in said(post(api, "/predict", b"", None), 415)
    view = post(api, "/v1/uploads", *multipart(
        ('content-disposition: form-data; name="label"', b"stop"),
        ('content-disposition: form-data; name="files"; filename="1.jpg"', png(1)),
        ('content-disposition: form-data; name="files"; filename="2.jpg"', b"<html></html>"),
    )).json()  # fmt: skip
    assert (view["accepted"], view["rejected_count"]) == (1, 1)
    assert "a web page" in view["rejected_reasons"][0]["reason"]


@pytest.mark.parametrize(
    "head",
    [
        'Content-Disposition: form-data; name="files"',
        "Content-Disposition: form-data; name=files",
        'Content-Disposition: form-data; name="files[]"; filename="blob"',
        'Content-Type: application/octet-stream\r\ncontent-disposition: form-data; name="files"',
        'Content-Disposition: form-data; name="files"; filename=""\r\nContent-Type: text/plain',
    ],
)
def test_parts_with_and_without_name_and_type(api: TestClient, publish: Publish, head: str) -> None:
    publish(1)
    label = ('Content-Disposition: form-data; name="label"', b"\xef\xbb\xbfstop")
    view = post(api, "/v1/uploads", *multipart(label, (head, png(1)), (head, jpeg()))).json()
    assert view["classes"] == {"stop": 2}
    answer = post(api, "/predict", *multipart((head, png(1)), (head, jpeg())))
    assert answer.status_code == 200, answer.text
    right = [post(api, "/predict", image, None).json()["results"][0] for image in (png(1), jpeg())]
    for result, alone in zip(answer.json()["results"], right, strict=True):
        assert result["label"] == alone["label"]
        assert result["score"] == pytest.approx(alone["score"], abs=1e-5)


def test_a_manifest_with_a_mark(api: TestClient) -> None:
    manifest = ('content-disposition: form-data; name="manifest"', b'\xef\xbb\xbf{"1.png": "stop"}')
    file = ('content-disposition: form-data; name="files"; filename="1.png"', png(1))
    assert post(api, "/v1/uploads", *multipart(manifest, file)).json()["classes"] == {"stop": 1}
    wide = (manifest[0], '{"1.png": "stop"}'.encode("utf-16"))
    assert "must be UTF-8" in said(post(api, "/v1/uploads", *multipart(wide, file)), 422)


def test_a_form_without_its_boundary(api: TestClient, publish: Publish) -> None:
    publish(1)
    body, _ = multipart(('content-disposition: form-data; name="files"', png(1)))
    for path in ("/v1/uploads", "/predict"):
        answer = post(api, path, body, "multipart/form-data")
        assert "Set no Content-Type yourself" in said(answer, 400)


def test_too_many_images_in_a_form(api: TestClient, publish: Publish, settings: Settings) -> None:
    publish(1)
    part = ('content-disposition: form-data; name="files"', png(1))
    answer = post(api, "/predict", *multipart(*[part] * (settings.inference_queue + 1)))
    assert (answer.status_code, answer.json()["code"]) == (413, "too-many-images")

"""Commands of the pages run one after another, as a reader types them, and say what is shown."""

import base64
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import snippets
from tests.docs.shapes import differences
from tests.e2e.harness import Service
from tests.e2e.reader import Reader
from tests.pictures import png as picture

pytestmark = pytest.mark.slow


def test_readme(read: Callable[..., Reader], alone: Service) -> None:
    reader = read(alone)
    reader.follow("README.md")
    compare_answers(alone, reader.folder / "digits/test/3/004.png")


def compare_answers(service: Service, image: Path) -> None:
    """Compare what docs/api.md shows of a classifier of digits with what the service answers."""

    def get(path: str) -> Any:
        return service.http.get(path).raise_for_status().json()

    texts = snippets("docs/api.md", "json")
    _, upload, deliveries, in_list, version, prediction, _ = map(json.loads, texts)
    # An address that needs no name server, and is tried in vain.
    webhook = {"url": "https://1.1.1.1", "secret": "whsec_" + "A" * 32}
    body = {"kind": "evaluate", "webhook": webhook}
    job = service.http.post("/v1/classifiers/digits/jobs", json=body).json()["id"]
    service.finished(job)
    versions = "/v1/classifiers/digits/versions"
    for shown, real in (
        (upload, get("/v1/uploads")["data"][0]),
        (deliveries, get(f"/v1/jobs/{job}/deliveries")),
        (in_list, get(versions)["data"][0]),
        (version, get(f"{versions}/2")),
        (prediction, service.predict("digits", image.read_bytes(), version=2)),
    ):
        found = list(differences(shown, real))
        assert not found, "\n".join(found)


def test_quickstart(read: Callable[..., Reader], alone: Service) -> None:
    reader = read(alone)
    (reader.folder / "corrections.csv").write_text("first/1/006.png,0\nfirst/1/007.png,\n")

    def prepare(text: str) -> str:
        if text.startswith("accrue learn photos"):
            return text.replace("FOLDER", "first")
        if text.startswith("accrue evaluate"):
            shutil.copytree(reader.folder / "digits" / "test", reader.folder / "test")
        return text.replace("--seconds 60", "--seconds 1").replace("epochs=15", "epochs=1")

    reader.follow("docs/quickstart.md", prepare)
    (tree,) = snippets("docs/quickstart.md", "text")
    top, *below = tree.splitlines()
    for folder, *images in map(str.split, below):
        for image in images[:-1]:  # the last one is an ellipsis
            assert (reader.folder / top / folder / image).is_file()
    assert (reader.folder / "evaluation.png").exists()
    assert (reader.folder / "accrue-bench.json").exists()


def archives(folder: Path) -> None:
    """Write the files that the pages about the API name."""
    images = {
        f"{label}/{seed}.png": picture(seed, 16, 16)
        for seed in range(40)
        for label in (("stop", "yield")[seed % 2],)
    }
    with zipfile.ZipFile(folder / "signs.zip", "w") as file:
        for name, image in images.items():
            file.writestr(name, image)
    for name, mode in (("signs.tar", "w"), ("signs.tar.gz", "w:gz")):
        with tarfile.open(folder / name, mode) as tar:  # type: ignore[call-overload]
            for inside, image in images.items():
                member = tarfile.TarInfo(inside)
                member.size = len(image)
                tar.addfile(member, io.BytesIO(image))
    for name in ("a.jpg", "b.jpg", "sign.jpg", "flower.jpg"):
        (folder / name).write_bytes(picture(100 + len(name) + ord(name[0]), 16, 16))
    for label in ("go", "wait"):
        (folder / "folder" / label).mkdir(parents=True)
        for seed in range(6):
            image = picture(500 + seed + ord(label[0]), 16, 16)
            (folder / "folder" / label / f"{seed}.png").write_bytes(image)


class Api:
    """Fills in what stands as `…` in the commands of docs/api.md."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.made = 0

    def __call__(self, text: str) -> str:
        if '"upl_…"' in text:
            text = text.replace("upl_…", self._upload(known='"evaluate"' in text))
        hashes = self._of_upload() if "/v1/uploads/" in text else self._of_version()
        for shown, real in zip(("9f86d0…", "60303a…"), hashes, strict=True):
            text = text.replace(shown, real)
        for seed in (900, 901):
            image = base64.b64encode(picture(seed, 16, 16)).decode()
            text = text.replace('"b64": "…"', f'"b64": "{image}"', 1)
        # An address that needs no name server; less time; and version 2 has been purged by then.
        for shown, real in (
            ("https://example.org", "https://1.1.1.1"),
            ('"seconds": 60', '"seconds": 1'),
            ("versions/2/checkpoint", "versions/live/checkpoint"),
        ):
            text = text.replace(shown, real)
        return text

    def _upload(self, *, known: bool) -> str:
        """An upload of new images, of classes that are new or those of the first such upload."""
        self.made += 1
        number = 1 if known else self.made
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for seed in range(8):
                for label in ("a", "b"):
                    image = picture(1000 * self.made + seed + 100 * ord(label), 16, 16)
                    file.writestr(f"{label}{number}/{seed}.png", image)
        return self.service.upload(archive.getvalue())

    def _of_upload(self) -> list[str]:
        upload = self.service.http.get("/v1/uploads").json()["data"][0]["id"]
        images = self.service.http.get(f"/v1/uploads/{upload}/images").json()["data"]
        return [images[0]["sha256"], images[-1]["sha256"]]

    def _of_version(self) -> list[str]:
        path = "/v1/classifiers/signs/versions/live/exemplars?label=stop"
        found = self.service.http.get(path)
        data = [] if found.is_error else found.json()["data"]
        return [each["sha256"] for each in data[:2]] if len(data) > 1 else ["", ""]


def test_api(read: Callable[..., Reader], alone: Service) -> None:
    reader = read(alone)
    archives(reader.folder)
    alone.create("signs", memory={"exemplars": 200}, validation_fraction=0.1, image_size=16)
    prepare = Api(alone)
    reader.follow("docs/api.md", prepare)
    (reader.folder / "signs.zip").unlink()  # an export does not replace a file
    reader.follow("docs/export.md")
    alone.http.delete("/v1/classifiers/signs?confirm=signs").raise_for_status()
    if shutil.which("jq"):
        reader.follow("docs/images.md")
        assert (reader.folder / "heat.png").read_bytes().startswith(b"\x89PNG")


def test_keys(read: Callable[..., Reader], tmp_path: Path) -> None:
    """The page makes a key before there is a service, which then asks for it."""
    data_dir = tmp_path / "accrue-data"
    reader = read(None, ACCRUE_DATA_DIR=str(data_dir))
    started: list[Service] = []

    def prepare(text: str) -> str:
        if text.startswith("curl") and not started:
            started.append(Service(data_dir, ACCRUE_KEYS="required"))
            reader.replaced |= dict.fromkeys(("https://accrue.example.org", "$U"), started[0].url)
            reader.http = started[0].http
            key = (tmp_path / "admin.key").read_text().strip()
            reader.http.headers["Authorization"] = f"Bearer {key}"
            reader.http.post("/v1/classifiers", json={"name": "signs"}).raise_for_status()
        return text

    try:
        reader.follow("docs/keys.md", prepare)
        reader.follow("docs/monitoring.md")
    finally:
        for service in started:
            service.stop()

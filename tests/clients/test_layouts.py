"""What files are taken for is known before they are sent, as the service would take them."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from accrue_client.archives import shards_in, split_of
from accrue_client.errors import InvalidSourceError
from accrue_client.http_api import Api
from accrue_client.retrying import Retrying
from accrue_client.sources import LabelledImages, collect
from accrue_client.steps import Call, Steps
from accrue_client.uploading import upload

from app.services.uploads.layouts import LayoutRequest, lay_out
from tests.clients import running
from tests.pictures import png

UPLOAD = {"id": "upl_1", "classes": {"go": 1}, "accepted": 1, "warnings": ["From the service."]}


def run(steps: Steps[Any]) -> tuple[Any, list[str]]:
    """Run an operation; the part of the service that says what files are is the real one."""
    paths: list[str] = []

    def answer(call: Call) -> httpx.Response:
        paths.append(call.path)
        if not call.path.endswith("/layout"):
            return httpx.Response(201, json=UPLOAD)
        view = lay_out(LayoutRequest.model_validate_json(call.content))
        return httpx.Response(200, text=view.model_dump_json())

    try:
        return running.run(steps, answer), paths
    except InvalidSourceError as error:
        return error, paths


def api() -> Api:
    return Api(Retrying(patience=0))


def write(folder: Path, *names: str, **texts: str) -> Path:
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(texts[name].encode() if name in texts else png(seed))
    return folder


def collected(folder: Path) -> LabelledImages:
    found, _ = run(collect(api(), folder, None, None))
    assert isinstance(found, LabelledImages), found
    return found


def test_train_beside_val(tmp_path: Path) -> None:
    found = collected(write(tmp_path, "train/go/1.png", "val/go/2.png", "LICENSE"))
    assert [(image.name, image.label, image.split) for image in found.images] == [
        ("train/go/1.png", "go", "train"),
        ("val/go/2.png", "go", "test"),
    ]
    assert found.warnings == ["Images in 'val' are test images: measured on, and not learnt."]
    assert [each.name for each in found.skipped] == ["LICENSE"]


def test_a_manifest_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\n1.png,go\n2.png,stop\n3.png,stop\n")
    found = collected(write(tmp_path, "images/1.png", "images/2.png"))
    assert [(image.name, image.label) for image in found.images] == [
        ("images/1.png", "go"),
        ("images/2.png", "stop"),
    ]
    assert [(each.name, each.reason) for each in found.skipped] == [
        ("3.png", "is not there, in labels.csv")
    ]


def test_what_the_service_warns_of_is_said_with_the_rest(tmp_path: Path) -> None:
    write(tmp_path, "train/go/1.png", "valid/go/2.png")
    sent, _ = run(upload(api(), tmp_path, lambda _: None))
    assert sent.warnings == [
        "Images in 'valid' are test images: measured on, and not learnt.",
        "From the service.",
    ]


def test_a_folder_that_is_not_understood_is_refused_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, *(f"animals/{kind}/{i}.png" for kind in ("dog", "cat") for i in range(200)))
    write(tmp_path, "machines/car/1.png")
    error, paths = run(upload(api(), tmp_path, lambda _: None))
    assert isinstance(error, InvalidSourceError)
    assert "401 in a folder inside a class's folder" in str(error)
    assert "Understood are: " in str(error)
    assert "\n" not in str(error)
    assert paths == ["/v1/uploads/layout"]


def test_a_manifest_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("file,label\n1.png,caf\xe9".encode("latin-1"))
    error, paths = run(upload(api(), write(tmp_path, "1.png"), lambda _: None))
    assert "labels.csv is not UTF-8" in str(error)
    assert paths == []


def archive(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, content in files.items():
                packed.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_an_archive_is_looked_into_before_it_is_sent(name: str, tmp_path: Path) -> None:
    understood = archive(tmp_path / name, {"a.png": png(), "a.cls": b"go"})
    sent, paths = run(upload(api(), understood, lambda _: None))
    assert paths == ["/v1/uploads/layout", "/v1/uploads"]
    assert sent.id == "upl_1"
    flat = archive(tmp_path / name, {"a.png": png(), "notes.txt": b"go"})
    error, paths = run(upload(api(), flat, lambda _: None))
    assert "1 not in a folder named after a class (such as a.png)" in str(error)
    assert paths == ["/v1/uploads/layout"]


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.parquet"])
def test_what_cannot_be_looked_into_is_left_to_the_service(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"no archive")
    _, paths = run(upload(api(), tmp_path / name, lambda _: None))
    assert paths == ["/v1/uploads"]


def test_a_data_set_in_several_files_is_one_upload(tmp_path: Path) -> None:
    sample = {"a.png": png(), "a.cls": b"go"}
    for name in ("train-0.tar", "train-1.tar", "validation-0.tar"):
        archive(tmp_path / name, sample)
    (tmp_path / "README.md").write_text("Signs.")
    _, calls = run(upload(api(), tmp_path, lambda _: None))
    sent = [path for path in calls if not path.endswith("/layout")]
    assert sent == ["/v1/uploads", *["/v1/uploads/upl_1/images"] * 2]
    splits = [split_of(tmp_path / name) for name in ("train-0.tar", "validation-0.tar", "x.tar")]
    assert splits == ["train", "test", "train"]


def test_an_archive_among_images_is_no_part_of_a_data_set(tmp_path: Path) -> None:
    write(tmp_path, "go/1.png")
    archive(tmp_path / "old.tar", {"a.png": png()})
    found = collected(tmp_path)
    assert [image.name for image in found.images] == ["go/1.png"]
    assert [each.name for each in found.skipped] == ["old.tar"]
    assert shards_in(tmp_path) == []


def test_of_several_files_all_are_sent_or_none(tmp_path: Path) -> None:
    archive(tmp_path / "0.tar", {"a.png": png(), "a.cls": b"go"})
    archive(tmp_path / "1.tar", {"a.png": png()})
    error, paths = run(upload(api(), tmp_path, lambda _: None))
    assert isinstance(error, InvalidSourceError)
    layout = "/v1/uploads/layout"
    assert paths == [layout, "/v1/uploads", layout, "/v1/uploads/upl_1"]

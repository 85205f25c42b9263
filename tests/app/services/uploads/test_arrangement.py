"""Data sets as other tools export them are understood as they are."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping

import pytest

from app.services.uploads.archive_source import ArchiveSource
from app.services.uploads.collecting import NoUsableImagesError
from app.services.uploads.sources import Found, Item, Rejection, UploadLimits, Warned
from app.settings import Settings
from tests.pictures import png

LIMITS = UploadLimits.of(Settings())
LINES = "\n".join


def zipped(files: Mapping[str, str | bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file


def tarred(files: Mapping[str, str | bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file


def found(images: list[str], documents: Mapping[str, str]) -> list[Found]:
    files = {name: png(seed) for seed, name in enumerate(images)} | dict(documents)
    return list(ArchiveSource(zipped(files), "zip").items(LIMITS))


def labels(found: list[Found]) -> dict[str, str]:
    """The class of each file, with its split and group if it has one."""
    return {
        item.name: " ".join(filter(None, (item.label, item.split, item.group)))
        for item in found
        if isinstance(item, Item)
    }


def rejected(found: list[Found]) -> dict[str, str]:
    return {item.name: item.reason for item in found if isinstance(item, Rejection)}


TWO = ["images/1.png", "images/2.png"]
SAME = {"images/1.png": "go", "images/2.png": "stop"}
MANIFESTS = {
    "labels.csv": "file,label\nimages/1.png,go\nimages/2.png,stop",
    "names alone.csv": "filename,class\n1.png,go\n2.png,stop",
    "no suffixes.csv": "image,category\n1,go\n2,stop",
    "semicolons.csv": "\ufeffImage;Label\r\n1.png;go\r\n2.png;stop\r\n",
    "tabs.tsv": "path\tlabel\nC:\\set\\images\\1.png\tgo\n./images/2.png\tstop",
    "quoted.csv": 'file,note,label\n1.png,"a, ""b""\nc",go\n2.png,,stop',
    "ones.csv": "image,go,stop\n1,1.0,0.0\n2,0.0,1.0",
    "lines.jsonl": '{"file_name": "1.png", "label": "go"}\n\n{"file_name": "2", "label": "stop"}',
    "list.json": '[{"image": "/up/1.png", "choice": "go"}, {"image": "2.png", "choice": "stop"}]',
    "object.json": '{"1.png": "go", "2.png": {"label": "stop"}}',
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_names_the_classes(name: str) -> None:
    read = found(TWO, {name: MANIFESTS[name]})
    assert labels(read) == SAME
    assert rejected(read) == {}
    assert [each.text for each in read if isinstance(each, Warned)] == [
        f"Classes are those that {name!r} names, and not the folders."
    ]


def test_splits_and_groups_of_a_manifest() -> None:
    manifest = "file,label,split,group\n1.png,go,train,t1\n2.png,stop,validation,\n3.png,go,other,"
    read = found(["1.png", "2.png", "3.png"], {"a.csv": manifest})
    assert labels(read) == {"1.png": "go train t1", "2.png": "stop test"}
    assert rejected(read) == {"3.png": "has a split that is neither train nor test"}


@pytest.mark.parametrize("column", ["Subset", "partition", "data set"])
def test_splits_under_other_names(column: str) -> None:
    read = found(TWO, {"a.csv": f"file,label,{column}\n1.png,go,Train\n2.png,go,TEST"})
    assert labels(read) == {"images/1.png": "go train", "images/2.png": "go test"}


def test_a_column_of_something_else_is_not_one_of_splits() -> None:
    read = found(TWO, {"a.csv": "file,label,set\n1.png,go,blue\n2.png,stop,red"})
    assert labels(read) == SAME


def test_what_has_no_single_class_is_rejected_one_by_one() -> None:
    images = [f"{number}.png" for number in range(6)]
    rows = [
        *('{"file": "0.png", "label": ["go"]}', '{"file": "1.png", "label": ["go", "stop"]}'),
        *('{"file": "2.png", "label": null}', '{"file": "3.png", "label": "go"}'),
        *('{"file": "3.png", "label": "stop"}', '{"file": "9.png", "label": "go"}'),
        '{"file": "4.png", "label": {"box": 1}}',
    ]
    read = found(images, {"all.jsonl": LINES(rows)})
    assert labels(read) == {"0.png": "go"}
    assert rejected(read) == {
        "1.png": "has several classes, and an image is of one (2)",
        "2.png": "has no class",
        "3.png": "has several classes, splits or groups by its manifest",
        "4.png": "has a class that is not text",
        "5.png": "is not named in any manifest",
        "9.png": "is not there, in all.jsonl",
    }


def test_a_row_that_is_longer_or_shorter_than_its_table() -> None:
    rows = ["file,label", "1.png", "2.png,stop, all way", "3.png,go,,", '4.png,"stop, all way"']
    read = found([f"{number}.png" for number in range(1, 5)], {"a.csv": LINES(rows)})
    assert labels(read) == {"3.png": "go", "4.png": "stop, all way"}
    assert rejected(read) == {
        "1.png": "has no class",
        "2.png": "has more cells than there are columns: quote its commas",
    }


@pytest.mark.parametrize("columns", ["file,label,label", "file,label,Label"])
def test_two_columns_of_classes_are_not_one(columns: str) -> None:
    read = found(TWO, {"a.csv": f"{columns}\n1.png,go,up\n2.png,stop,up"})
    assert labels(read) == dict.fromkeys(TWO, "images")
    assert "label' " in next(each.text for each in read if isinstance(each, Warned))


def test_other_ends_of_lines_in_json_lines() -> None:
    rows = [
        json.dumps({"file": f"{n}.png", "label": "go", "text": "a\u2028b\x85"}, ensure_ascii=False)
        for n in (1, 2)
    ]
    assert set(labels(found(TWO, {"a.jsonl": "\r\n".join(rows)})).values()) == {"go"}


def test_a_whole_path_counts_before_a_part_of_one() -> None:
    manifest = "file,label\ntrain/1.png,go\nother/1.png,stop\n1.png,stop"
    read = found(["train/1.png"], {"a.csv": manifest})
    assert labels(read) == {"train/1.png": "go train"}
    assert set(rejected(read)) == {"other/1.png", "1.png"}


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("a.csv", "file,breed\n1.png,go\n2.png,stop"),
        ("a.csv", "1.png,go\n2.png,stop"),
        ("a.json", '{"images": [{"file_name": "1.png"}], "annotations": []}'),
        ("a.json", '{"1.png": "go", "2.png": '),
    ],
)
def test_a_document_that_is_not_understood_is_said(name: str, document: str) -> None:
    read = found(TWO, {name: document})
    assert labels(read) == dict.fromkeys(TWO, "images")
    (said,) = (each.text for each in read if isinstance(each, Warned))
    assert said.startswith(f"'{name}' does not name these images and their classes")


def test_a_document_that_is_larger_than_a_file_may_be_is_said() -> None:
    too_large = " " * (LIMITS.archive.member_bytes + 1)
    read = found(TWO, {"a.csv": "file,label\n1.png,go\n2.png,stop" + too_large})
    assert any("'a.csv' was not read: larger" in e.text for e in read if isinstance(e, Warned))


def test_test_images_without_classes_are_no_class_beside_a_split() -> None:
    read = found(["train/go/1.png", "train/stop/2.png", "test/3.png"], {})
    assert labels(read) == {"train/go/1.png": "go train", "train/stop/2.png": "stop train"}
    assert rejected(read) == {"test/3.png": "not in a folder named after a class"}


@pytest.mark.parametrize("beside", ["unlabelled/3.png", "holdout/go/3.png"])
def test_what_lies_beside_both_splits_is_no_class(beside: str) -> None:
    read = found(["train/go/1.png", "val/go/2.png", beside], {})
    assert labels(read) == {"train/go/1.png": "go train", "val/go/2.png": "go test"}
    assert rejected(read) == {beside: "not in a folder named after a class"}


def test_a_class_named_as_a_split_beside_others() -> None:
    read = found(["train/1.png", "train/old/2.png", "test/go/3.png", "car/4.png"], {})
    assert labels(read) == {"train/1.png": "train", "car/4.png": "car"}


def test_a_short_list_beside_folders_of_classes_is_no_manifest() -> None:
    images = [f"{label}/{number}.png" for label in ("go", "stop") for number in range(4)]
    read = found(images, {"checked.csv": "file,label\ngo/1.png,nice"})
    assert set(labels(read).values()) == {"go", "stop"}
    assert "names 1 of 8 images only" in next(e.text for e in read if isinstance(e, Warned))


def test_a_document_about_something_else() -> None:
    others = {"prices.csv": "file,label\na,b", "info.json": '{"version": "1"}', "cut.csv": 'a,"b'}
    read = found(["go/1.png"], others)
    assert labels(read) == {"go/1.png": "go"}
    assert set(rejected(read)) == set(others)


def test_a_manifest_that_cannot_be_read_is_said() -> None:
    read = found(["go/1.png"], {"a.csv": "file,label\n1.png," + "x" * 200_000})
    assert any("a.csv was not read" in each.text for each in read if isinstance(each, Warned))


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "C:\\9.png", "a" * 5000, "[", "//["]
)
def test_a_hostile_name_is_a_name_like_any_other(name: str) -> None:
    row = json.dumps({"file": name, "label": "go"})
    read = found(["1.png"], {"a.jsonl": LINES([row, '{"file": "1.png", "label": "go"}'])})
    assert labels(read) == {"1.png": "go"}


def test_roboflow() -> None:
    header = "filename, Daisy, tulip"
    images = ["train/1.jpg", "train/2.jpg", "valid/1.jpg", "test/3.jpg"]
    read = found(
        images,
        {
            "README.roboflow.txt": "flowers",
            "README.dataset.txt": "flowers",
            "train/_classes.csv": LINES([header, "1.jpg, 1, 0", "2.jpg, 1, 1"]),
            "valid/_classes.csv": LINES([header, "1.jpg, 0, 1"]),
            "test/_classes.csv": LINES([header, "3.jpg, 0, 0"]),
        },
    )
    assert labels(read) == {"train/1.jpg": "Daisy train", "valid/1.jpg": "tulip test"}
    assert rejected(read) == {
        "train/2.jpg": "has several classes, and an image is of one (2)",
        "test/3.jpg": "has no class",
    }


def test_images_that_roboflow_calls_unlabeled_have_no_class() -> None:
    table = LINES(["filename, Daisy, Unlabeled", "1.jpg, 1, 0", "2.jpg, 0, 1"])
    read = found(["train/1.jpg", "train/2.jpg"], {"train/_classes.csv": table})
    assert labels(read) == {"train/1.jpg": "Daisy train"}
    assert rejected(read) == {"train/2.jpg": "has no class"}


@pytest.mark.parametrize("column", ["id", "image_id"])
def test_kaggle(column: str) -> None:
    """The images of the test set have the same names, and no classes."""
    images = ["train/1.jpg", "train/2.jpg", "test/1.jpg"]
    tables = {
        "train.csv": LINES([f"{column},label", "1,go", "2,stop"]),
        "sample_submission.csv": LINES([f"{column},label", "1,go"]),
    }
    read = found(images, tables)
    assert labels(read) == {"train/1.jpg": "go train", "train/2.jpg": "stop train"}
    assert rejected(read)["test/1.jpg"] == "is not named in any manifest"
    assert any(
        "sample_submission.csv was not read" in e.text for e in read if isinstance(e, Warned)
    )
    renamed = {"trainLabels.csv": tables["train.csv"]}
    assert labels(found(images, renamed)) == labels(read)


def test_capitals_of_a_name_do_not_matter_where_one_file_is_meant() -> None:
    images = ["Photos/One.JPG", "photos/two.jpg", "photos/Two.jpg", "photos/three.jpg"]
    rows = ["file,label", "photos/one.jpg,go", "PHOTOS/TWO.JPG,stop", "THREE.JPG,go"]
    read = found(images, {"a.csv": LINES([*rows, "photos/two.jpg,wait"])})
    assert labels(read) == {
        "Photos/One.JPG": "go",
        "photos/two.jpg": "wait",
        "photos/three.jpg": "go",
    }
    assert rejected(read)["PHOTOS/TWO.JPG"] == (
        "may be any of several files: name its folders and capitals as they are, in a.csv"
    )


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("a.json", '{"images/1.png": "go", "images/2.png": "stop", "images/1.png": "stop"}'),
        ("a.json", '[{"file": "images/1.png", "label": "go", "label": "stop"}]'),
        ("a.jsonl", '{"file": "images/1.png", "label": "go", "label": "stop"}'),
    ],
)
def test_a_key_that_is_there_twice_is_refused(name: str, document: str) -> None:
    read = found(TWO, {name: document})
    assert labels(read) == dict.fromkeys(TWO, "images")
    (said,) = (each.text for each in read if isinstance(each, Warned))
    key = "images/1.png" if document.startswith('{"images') else "label"
    assert said == f"{name} was not read: it has the key '{key}' twice in an object."


def test_hugging_face() -> None:
    rows = ('{"file_name": "1.png", "label": "go"}', '{"file_name": "1.png", "label": "stop"}')
    read = found(
        ["data/train/1.png", "data/test/1.png"],
        {"data/train/metadata.jsonl": rows[0], "data/test/metadata.jsonl": rows[1]},
    )
    assert labels(read) == {"data/train/1.png": "go train", "data/test/1.png": "stop test"}


def test_splits_that_one_manifest_names_by_folders() -> None:
    read = found(["train/1.png", "val/2.png"], {"a.csv": "file,label\n1.png,go\n2.png,go"})
    assert labels(read) == {"train/1.png": "go train", "val/2.png": "go test"}


def task(image: str, *choices: list[str], **more: object) -> dict[str, object]:
    annotations = [
        {"result": [{"type": "choices", "value": {"choices": chosen}}], **more}
        for chosen in choices
    ]
    return {"id": 1, "data": {"image": image}, "annotations": annotations}


def test_label_studio() -> None:
    tasks = [
        task("/data/upload/1/ab12-1.png", ["go"]),
        task("/data/local-files/?d=set%2F2.png", ["stop"], ["stop"]),
        task("s3://bucket/set/3%20a.png", ["go"], ["stop"]),
        task("/data/upload/1/4.png"),
        task("/data/upload/1/5.png", ["go"], was_cancelled=True),
        task("/data/upload/1/gone.png", ["go"]),
    ]
    images = [f"images/{name}.png" for name in ("ab12-1", "2", "3 a", "4", "5")]
    read = found(images, {"result.json": json.dumps(tasks)})
    assert labels(read) == {"images/ab12-1.png": "go", "images/2.png": "stop"}
    assert rejected(read) == {
        "images/3 a.png": "has several classes, and an image is of one (2)",
        "images/4.png": "has no class",
        "images/5.png": "has no class",
        "/data/upload/1/gone.png": "is not there, in result.json",
    }


def test_the_table_of_label_studio() -> None:
    several = '"{""choices"": [""a"", ""b""]}"'
    table = f"image,id,choice\n/data/upload/1/1.png,1,go\n/data/upload/1/2.png,2,{several}"
    read = found(TWO, {"project.csv": table})
    assert labels(read) == {"images/1.png": "go"}
    assert "several classes" in rejected(read)["images/2.png"]


def test_webdataset() -> None:
    files = {
        **{"0.jpg": png(0), "0.cls": "7", "0.txt": "a caption"},
        **{"1.png": png(1), "1.json": '{"label": "stop", "width": 24}'},
        **{"2.png": png(2), "2.cls": "go", "2.seg.png": png(3)},
        "3.png": png(4),
    }
    read = list(ArchiveSource(tarred(files), "tar").items(LIMITS))
    assert labels(read) == {"0.jpg": "7", "1.png": "stop", "2.png": "go"}
    assert rejected(read) == {
        "2.seg.png": "another picture of its sample",
        "3.png": "has no .cls or .json of the same name",
    }


def test_documents_have_room_for_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.uploads.documents.MOST_BYTES", 100)
    read = found(["go/1.png"], {"a.csv": "file,label\n1.png,stop\n" + " " * 100})
    assert labels(read) == {"go/1.png": "go"}
    assert "a.csv' was not read" in next(each.text for each in read if isinstance(each, Warned))


def test_images_without_anything_that_names_them() -> None:
    with pytest.raises(NoUsableImagesError, match=r"2 not in a folder .*Understood are: "):
        found(["1.png", "2.png"], {"notes.csv": "a,b\n1,2"})

"""What may be learnt from, without a service."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from accrue_client.errors import InvalidSourceError
from accrue_client.http_api import Api
from accrue_client.images import data_of, is_image
from accrue_client.parts import form_of, parts_of
from accrue_client.retrying import Retrying
from accrue_client.sources import LabelledImage, LabelledImages, collect
from PIL import Image

from app.api.form_source import FormSource
from app.imaging.reading import ImageLimits
from app.security.archive_members import ArchiveLimits
from app.services.uploads.sources import Item, UploadLimits

RED = np.zeros((4, 6, 3), np.uint8) + np.array([200, 10, 10], np.uint8)


def collected(source: Any, label: str | None = None) -> LabelledImages:
    """Collect what needs no service."""
    steps = collect(Api(Retrying()), source, label, None)
    with pytest.raises(StopIteration) as ended:
        next(steps)
    found: LabelledImages = ended.value.value
    return found


def test_images_in_memory_lose_nothing(tmp_path: Path) -> None:
    for given in (RED, Image.fromarray(RED), RED[..., :1], RED[..., 0]):
        assert is_image(given)
        (tmp_path / "read.png").write_bytes(data_of(given))
        with Image.open(tmp_path / "read.png") as read:
            assert np.array_equal(np.asarray(read), np.squeeze(np.asarray(given)))
    assert data_of(memoryview(b"as it is")) == b"as it is"
    for wrong in (RED.astype(np.float32), np.zeros((2, 4, 6, 3), np.uint8), 3):
        with pytest.raises(InvalidSourceError, match="is not an image"):
            data_of(wrong)


def test_images_by_label(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    found = collected({"go": [tmp_path / "a.png", b"b", RED], "stop": str(tmp_path / "a.png")})
    assert [(image.name, image.label) for image in found.images] == [
        ("go/a.png", "go"),
        ("go/image-1.png", "go"),
        ("go/image-2.png", "go"),
        ("stop/a.png", "stop"),
    ]
    assert [image.load() for image in found.images[:2]] == [b"a", b"b"]
    one = collected(str(tmp_path / "a.png"), label="go")
    assert [(image.name, image.label) for image in one.images] == [("go/a.png", "go")]


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("1", "2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(b"x")
    found = collected({"go": [tmp_path / "1/x.png", tmp_path / "2/x.png"]})
    assert [image.name for image in found.images] == ["go/x (1).png", "go/x (2).png"]
    (tmp_path / "1" / "x (1).png").write_bytes(b"x")
    found = collected({"go": [tmp_path / name for name in ("1/x.png", "2/x.png", "1/x (1).png")]})
    names = ["go/x (2).png", "go/x (3).png", "go/x (1).png"]
    assert [image.name for image in found.images] == names


def test_a_table(tmp_path: Path) -> None:
    rows = {
        "path": [str(tmp_path / "a.png"), str(tmp_path / "b.png")],
        "Label": ["go", 7],
        "group": ["track 1", None],
        "split": ["train", "test"],
    }
    found = collected(pandas.DataFrame(rows))
    assert [(each.name, each.label, each.group, each.split) for each in found.images] == [
        ("go/a.png", "go", "track 1", "train"),
        ("7/b.png", "7", None, "test"),
    ]
    with pytest.raises(InvalidSourceError, match=r"the columns x, y\. It needs image"):
        collected(pandas.DataFrame({"x": [1], "y": [2]}))
    with pytest.raises(InvalidSourceError, match="Row 0 has the split 'val'"):
        collected(pandas.DataFrame({"image": ["a"], "label": ["b"], "split": ["val"]}))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (7, "Images cannot be taken from int"),
        ({}, "There are no images"),
        ({"go": [7]}, "int under 'go' is not an image"),
    ],
)
def test_what_is_not_a_source(source: Any, said: str) -> None:
    with pytest.raises(InvalidSourceError, match=said):
        next(collect(Api(Retrying()), source, None, None))


def test_parts_keep_the_order_and_stay_within_their_bounds() -> None:
    sizes = [10, 60, 50, 200, None, 10, 10]
    splits = ["train"] * 6 + ["test"]
    images = [
        LabelledImage(str(number), "go", lambda: b"", size, split)  # type: ignore[arg-type]
        for number, (size, split) in enumerate(zip(sizes, splits, strict=True))
    ]
    parts = list(parts_of(images, limit=100))
    assert [[image.name for image in part] for _, part in parts] == [
        ["0", "1"],
        ["2"],
        ["3"],
        ["4"],
        ["5"],
        ["6"],
    ]
    assert [split for split, _ in parts] == ["train"] * 5 + ["test"]


def test_a_form_is_read_by_the_service_as_it_was_meant(tmp_path: Path) -> None:
    names = ['a "b".png', "ü/ñ.png", "x;y.png", "gone.png"]
    for name in names[:-1]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(f"bytes of {name}\r\n--x".encode())
    images = [
        LabelledImage(name, f"label {number}", (tmp_path / name).read_bytes, None, None, "g")
        for number, name in enumerate(names)
    ]
    form = form_of(images)
    assert [(each.name, each.reason) for each in form.skipped] == [
        ("gone.png", "cannot be read: no such file or directory")
    ]
    (tmp_path / "body").write_bytes(form.content)
    limits = UploadLimits(
        ImageLimits(bytes=1000, pixels=1000), ArchiveLimits(members=10, member_bytes=1000), 10
    )
    with (tmp_path / "body").open("rb") as body:
        items = list(FormSource(body, form.boundary.encode()).items(limits))
    for number, (name, item) in enumerate(zip(names[:-1], items, strict=True)):
        assert isinstance(item, Item)
        assert (item.label, item.group) == (f"label {number}", "g")
        assert item.data == (tmp_path / name).read_bytes()


def test_sizes_are_known_without_reading(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"12345")
    given = [tmp_path / "a.png", b"123", bytearray(2), memoryview(b"1234"), RED, tmp_path / "none"]
    found = collected({"go": given})
    assert [image.size for image in found.images] == [5, 3, 2, 4, None, None]


def test_mixed_splits_are_few_parts() -> None:
    images = [
        LabelledImage(str(number), "go", lambda: b"", 1, "test" if number % 3 else "train")
        for number in range(9)
    ]
    assert [(split, [image.name for image in part]) for split, part in parts_of(images)] == [
        ("train", ["0", "3", "6"]),
        ("test", ["1", "2", "4", "5", "7", "8"]),
    ]


@pytest.mark.parametrize("missing", [None, float("nan"), pandas.NA])
def test_what_a_table_leaves_open_is_not_a_name(missing: Any) -> None:
    rows = {"image": [b"a"], "label": ["go"], "group": [missing], "split": [missing]}
    (image,) = collected(pandas.DataFrame(rows, dtype=object)).images
    assert (image.group, image.split) == (None, None)
    with pytest.raises(InvalidSourceError, match="Row 0 has no label"):
        collected(pandas.DataFrame({"image": [b"a"], "label": [missing]}, dtype=object))


def test_an_image_of_pillow_is_sent_upright(tmp_path: Path) -> None:
    photograph = Image.fromarray(RED)
    exif = photograph.getexif()
    exif[0x0112] = 6  # turned by a quarter
    photograph.save(tmp_path / "turned.jpg", exif=exif)
    with Image.open(tmp_path / "turned.jpg") as given:
        assert given.size == (6, 4)
        (tmp_path / "sent.png").write_bytes(data_of(given))
    with Image.open(tmp_path / "sent.png") as sent:
        assert sent.size == (4, 6)
        assert sent.getexif().get(0x0112, 1) == 1

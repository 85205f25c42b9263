"""Data sets as Hugging Face stores them in Parquet."""

import io
import json
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from app.security.archive_members import UnreadableArchiveError, UnsafeArchiveError
from app.services.uploads.collecting import NoUsableImagesError
from app.services.uploads.parquet_source import ParquetSource
from app.services.uploads.sources import Found, Item, Rejection, UploadLimits, Warned
from app.settings import Settings
from tests.pictures import png

LIMITS = UploadLimits.of(Settings())


def written(columns: dict[str, Any], names: list[str] | None = None, **options: Any) -> bytes:
    table = pyarrow.table(columns)
    if names is not None:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        said = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": said})
    file = io.BytesIO()
    parquet.write_table(table, file, **options)
    return file.getvalue()


def found(content: bytes, limits: UploadLimits = LIMITS) -> list[Found]:
    with TemporaryFile() as file:
        file.write(content)
        return list(ParquetSource(file).items(limits))


def rows(found: list[Found]) -> list[tuple[str, str, str | None, str | None]]:
    return [(i.name, i.label, i.split, i.group) for i in found if isinstance(i, Item)]


IMAGES = [{"bytes": png(seed), "path": f"{seed}.png"} for seed in range(3)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zstd", "row_group_size": 1},
        {"compression": "none", "data_page_version": "2.0", "use_dictionary": False},
        {"write_page_checksum": True, "write_page_index": True},
    ],
)
def test_images_of_hugging_face(options: dict[str, Any]) -> None:
    read = found(written({"image": IMAGES, "label": [0, 1, 0]}, ["go", "stop"], **options))
    expected = [("0.png", "go"), ("1.png", "stop"), ("2.png", "go")]
    assert rows(read) == [(name, label, None, None) for name, label in expected]
    assert [i.data for i in read if isinstance(i, Item)] == [each["bytes"] for each in IMAGES]
    assert [each.text for each in read if isinstance(each, Warned)] == [
        "Images are those of the column 'image', and classes those of 'label'."
    ]


def test_bytes_and_text() -> None:
    columns = {
        "id": [1, 2],
        "img": [png(0), png(1)],
        "category": ["go", "stop"],
        "split": ["train", "validation"],
        "group": ["a", None],
    }
    assert rows(found(written(columns))) == [
        ("row 0", "go", "train", "a"),
        ("row 1", "stop", "test", None),
    ]


def test_rows_without_one_class_or_bytes_are_rejected_one_by_one() -> None:
    images = [*IMAGES, {"bytes": None, "path": "4.png"}, {"bytes": png(5), "path": None}]
    read = found(written({"image": images, "label": [0, -1, None, 1, 1]}, ["go", "stop"]))
    assert rows(read) == [("0.png", "go", None, None), ("row 4", "stop", None, None)]
    assert {each.name: each.reason for each in read if isinstance(each, Rejection)} == {
        "1.png": "has a class without a name",
        "2.png": "has no class",
        "4.png": "has no bytes: its image is elsewhere",
    }
    several = found(written({"image": IMAGES[:2], "label": [["go"], ["go", "stop"]]}))
    assert rows(several) == [("0.png", "go", None, None)]
    assert "several classes" in next(e.reason for e in several if isinstance(e, Rejection))


def test_capitals_of_columns_do_not_matter() -> None:
    read = found(written({"Image": IMAGES[:1], "Label": ["go"], "SPLIT": ["val"], "Group": ["a"]}))
    assert rows(read) == [("0.png", "go", "test", "a")]


@pytest.mark.parametrize("other", ["label", "LABEL"])
def test_two_columns_of_classes_are_not_one(other: str) -> None:
    arrays = [pyarrow.array(each) for each in ([png()], ["go"], ["stop"])]
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_arrays(arrays, ["image", "label", other]), file)
    with pytest.raises(NoUsableImagesError, match="more than one column label"):
        found(file.getvalue())


def test_cells_that_pandas_has_no_value_for_are_empty() -> None:
    nan = float("nan")
    columns = {"label": [1.0, nan, 2.0], "split": [nan] * 3, "group": [nan, nan, 7.0]}
    read = found(written({"image": IMAGES, **columns}))
    assert rows(read) == [("0.png", "1", None, None), ("2.png", "2", None, "7.0")]
    assert [each.reason for each in read if isinstance(each, Rejection)] == ["has no class"]


@pytest.mark.parametrize(
    "columns",
    [
        {"image": ["a.png"], "label": ["go"]},
        {"image": [png()], "text": ["go"]},
        {"left": [png()], "right": [png()], "label": ["go"]},
    ],
)
def test_columns_that_are_not_understood_are_said(columns: dict[str, Any]) -> None:
    with pytest.raises(NoUsableImagesError, match=r"has the columns '.*It needs a column image"):
        found(written(columns))


def test_a_bomb_takes_no_more_memory_than_its_process_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = [bytes(2 * 10**7)] * 15
    bomb = written(
        {"image": images, "label": ["go"] * 15}, compression="zstd", use_dictionary=False
    )
    assert len(bomb) < 10**5
    monkeypatch.setattr("app.security.parquet._MEGABYTES", 700)
    with pytest.raises(UnreadableArchiveError, match="too much memory"):
        found(bomb)
    small = written({"image": IMAGES, "label": ["go"] * 3})
    assert len(rows(found(small))) == 3


def test_one_image_in_many_rows_is_counted_each_time() -> None:
    # As a dictionary of one value, which is in the file once.
    indices, image = np.zeros(20_000, np.int32), np.random.default_rng(0).bytes(10**5)
    columns = [pyarrow.DictionaryArray.from_arrays(indices, [each]) for each in (image, b"go")]
    repeated = written(dict(zip(("image", "label"), columns, strict=True)), store_schema=False)
    assert len(repeated) < 10**6
    with pytest.raises(UnsafeArchiveError, match="inflates"):
        found(repeated)


def test_more_rows_than_an_archive_may_have_members() -> None:
    limits = UploadLimits.of(Settings(max_upload_images=2))
    with pytest.raises(UnsafeArchiveError, match="more than 2 rows"):
        found(written({"image": IMAGES, "label": ["a"] * 3}), limits)


def test_what_is_damaged_is_refused_and_ends_no_process_but_its_own() -> None:
    whole = written({"image": IMAGES, "label": ["go"] * 3})
    generator = np.random.default_rng(0)
    damaged = [whole[:cut] for cut in (4, len(whole) // 2, len(whole) - 1)]
    for _ in range(5):
        file = bytearray(whole)
        for place in generator.integers(len(whole) - 300, len(whole) - 8, 20):
            file[place] = generator.integers(0, 256)
        damaged.append(bytes(file))
    for content in damaged:
        with pytest.raises((UnreadableArchiveError, UnsafeArchiveError, NoUsableImagesError)):
            found(content)

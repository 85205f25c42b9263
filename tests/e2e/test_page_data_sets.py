"""docs/imports.md is followed, with small data sets in the forms that it names."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from tests.docs.blocks import snippets
from tests.e2e.harness import Service, zip_of
from tests.e2e.reader import Reader
from tests.pictures import png as picture

pytestmark = pytest.mark.slow

NAMES = ["angular_leaf_spot", "bean_rust", "healthy"]


def beans(file: Path, first: int, count: int) -> None:
    """Write images as the library `datasets` does: structs, and numbers that the metadata names."""
    images = [{"bytes": picture(first + n, 64, 64), "path": f"{n}.png"} for n in range(count)]
    table = pyarrow.table({"image": images, "labels": [n % len(NAMES) for n in range(count)]})
    features = {
        "image": {"_type": "Image"},
        "labels": {"names": NAMES, "_type": "ClassLabel"},
    }
    said = json.dumps({"info": {"features": features}})
    parquet.write_table(table.replace_schema_metadata({"huggingface": said}), file)


def shard(file: Path, first: int, count: int) -> None:
    """Write a shard of webdataset: the class of each sample in a file beside its image."""
    with tarfile.open(file, "w") as tar:
        for n in range(first, first + count):
            for name, data in ((f"{n:05}.png", picture(n)), (f"{n:05}.cls", b"01"[n % 2 :][:1])):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def test_imports(read: Callable[..., Reader], alone: Service) -> None:
    if shutil.which("jq") is None:
        pytest.skip("The page uses jq.")
    reader = read(alone)
    beans(reader.folder / "train-00000-of-00001.parquet", 0, 12)
    beans(reader.folder / "test-00000-of-00001.parquet", 100, 6)
    for name, first, count in (("train-0", 200, 8), ("train-1", 300, 8), ("validation-0", 400, 4)):
        shard(reader.folder / f"{name}.tar", first, count)
    reader.follow("docs/imports.md")
    shards, learnt, test = alone.http.get("/v1/uploads").json()["data"]
    assert test["classes"] == dict.fromkeys(NAMES, 2)
    assert test["splits"] == {"train": 0, "test": 6}
    assert learnt["splits"] == {"train": 12, "test": 0}
    assert shards["classes"] == {"0": 10, "1": 10}
    assert shards["splits"] == {"train": 16, "test": 4}
    version = alone.http.get("/v1/classifiers/beans/versions/1").raise_for_status().json()
    assert version["class_count"] == len(NAMES)


def test_the_manifest_that_the_page_shows(service: Service) -> None:
    (manifest,) = snippets("docs/imports.md", "csv")
    rows = [line.split(",") for line in manifest.splitlines()[1:]]
    images = {file: picture(900 + n) for n, (file, *_) in enumerate(rows)}
    upload = service.upload(zip_of({"labels.csv": manifest.encode(), **images}))
    found = service.http.get(f"/v1/uploads/{upload}").json()
    assert found["classes"] == {label: 1 for _, label, _ in rows}
    assert found["splits"] == {"train": 1, "test": 1}
    assert found["rejected_count"] == 0

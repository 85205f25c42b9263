"""What is said of files before they are sent is what an archive of them is taken for."""

import io
import zipfile
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from app.imaging.reading import ImageLimits
from app.security.archive_members import ArchiveLimits
from app.services.labels import clean_label
from app.services.uploads.archive_source import ArchiveSource
from app.services.uploads.collecting import NoUsableImagesError
from app.services.uploads.layouts import LayoutRequest, NamedFile, PlaceView, lay_out
from app.services.uploads.sources import Item, Rejection, UploadLimits, Warned, WrappingFolder

LIMITS = UploadLimits(
    ImageLimits(bytes=10_000, pixels=10_000), ArchiveLimits(members=100, member_bytes=10_000), 100
)
TREES = [
    ["stop/1.png", "go/2.png"],
    ["signs/stop/1.png", "signs/go/2.png", "README.md"],
    ["home/signs/stop/1.png"],
    ["stop/1.png", "stop/blurry/2.png"],
    ["stop/blurry/2.png"],
    ["signs/train/go/1.png", "signs/test/go/2.png", "signs/LICENSE"],
    ["train/1.png", "train/old/2.png"],
    ["1.png", "go/2.png"],
    ["val/go/1.png", "train/go/2.png", "notes/README"],
    ["go/images/1.png", "stop/images/2.png"],
    ["animals/dog/1.png", "machines/car/2.png"],
    ["labels.csv", "images/1.png", "images/2.png"],
    ["__MACOSX/go/1.png", "go/@eaDir/1.png", "go/.hidden.png", "go/1.png"],
    ["cafe\u0301/1.png", "café/2.png"],
    ["go/track 1/1.png", "go/track 2/2.png", "stop/3.png"],
]


TEXTS = {"labels.csv": "file,label\n1.png,go\n2.png,stop\n3.png,go\n"}


def image() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (8, 8)).save(written, "PNG")
    return written.getvalue()


@pytest.mark.parametrize("group", [None, "folder"])
@pytest.mark.parametrize("names", TREES, ids=" ".join)
def test_it_is_that_of_an_archive(
    names: list[str], group: Literal["folder"] | None, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in names:
            is_image = name.endswith(".png")
            archive.writestr(name, image() if is_image else TEXTS.get(name, "text"))
    asked = [NamedFile(name=name, text=TEXTS.get(name)) for name in names]
    layout = lay_out(LayoutRequest(files=asked, group=group))
    with (tmp_path / "x.zip").open("rb") as file:
        try:
            found = list(ArchiveSource(file, "zip", grouped=group == "folder").items(LIMITS))
        except NoUsableImagesError as error:
            assert layout.problem == str(error)
            assert layout.classes == {}
            return
    assert layout.problem is None
    wrapping = next((each.name for each in found if isinstance(each, WrappingFolder)), None)
    assert layout.wrapping_folder == wrapping
    assert layout.warnings == [each.text for each in found if isinstance(each, Warned)]
    expected = {}
    for each in found:
        match each:
            case Item(name, label, _, split, own):
                label = clean_label(label)
                expected[name] = PlaceView(label=label, split=split, group=own, reason=None)
            case Rejection(name, reason):
                expected[name] = PlaceView(label=None, split=None, group=None, reason=reason)
    passed_over = PlaceView(label=None, split=None, group=None, reason=None)
    assert layout.places == [expected.get(name, passed_over) for name in names]
    assert [each.name for each in layout.missing] == [
        name for name in expected if name not in names
    ]


def test_a_file_without_a_suffix_is_what_its_bytes_are() -> None:
    def wrapped(image: bool | None) -> str | None:
        files = [NamedFile(name="signs/notes", image=image), NamedFile(name="signs/go/1.png")]
        return lay_out(LayoutRequest(files=files)).wrapping_folder

    assert wrapped(False) == wrapped(None) == "signs"
    assert wrapped(True) is None


def test_a_folder_that_cannot_be_a_class() -> None:
    layout = lay_out(LayoutRequest(files=[NamedFile(name=f"{'x' * 300}/1.png")]))
    assert layout.places[0].reason == "a class name has at most 200 characters"
    assert layout.classes == {}

"""Samples as webdataset keeps them in a tar: files that differ in their suffix only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from app.services.uploads.entries import LABEL_COLUMNS, label_of
from app.services.uploads.files import Files
from app.services.uploads.folders import MisplacedError, Path, Place
from app.services.uploads.sources import Rejection

_CLASS, _JSON = "cls", "json"


@dataclass(frozen=True)
class SampleLayout:
    """What ``key.cls`` or ``key.json`` says of ``key.jpg``."""

    wrapping: Path
    notes: Sequence[str]
    missing: Sequence[Rejection]
    _images: frozenset[Path]
    _labels: Mapping[Path, str | MisplacedError]

    @classmethod
    def of(cls, files: Files) -> "SampleLayout | None":
        """Return what is said of samples, or None unless at least half of all images are of one."""
        labels: dict[Path, str | MisplacedError] = {}
        for path, content in files.documents.items():
            key, suffix = _key(path)
            if suffix == _CLASS or (suffix == _JSON and key not in labels):
                found = _label(suffix, content)
                if found is not None:
                    labels[key] = found
        known = sum(_key(path)[0] in labels for path in files.images)
        if not known or 2 * known < len(files.images):
            return None
        note = "Images are samples of webdataset: their classes are those of their .cls or .json."
        return cls((), [note], (), frozenset(files.images), labels)

    def place_of(self, path: Path) -> Place | None:
        """Return the place of an image; None for the rest of a sample. Raises MisplacedError."""
        key, suffix = _key(path)
        label = self._labels.get(key)
        if path not in self._images and label is not None:
            return None
        if label is None:
            raise MisplacedError("has no .cls or .json of the same name")
        if isinstance(label, MisplacedError):
            raise label
        if "." in suffix:
            raise MisplacedError("another picture of its sample")
        return Place(label, None, None)


def _key(path: Path) -> tuple[Path, str]:
    name, _, suffix = path[-1].partition(".")
    return (*path[:-1], name), suffix.lower()


def _label(suffix: str, content: bytes) -> str | MisplacedError | None:
    """Return the class in a document; None if it is about something else."""
    try:
        if suffix == _CLASS:
            return label_of(content.decode("utf-8-sig").strip())
        document = orjson.loads(content)
        if not isinstance(document, dict):
            return None
        column = next((name for name in LABEL_COLUMNS if name in document), None)
        return None if column is None else label_of(document[column])
    except orjson.JSONDecodeError:
        return None
    except UnicodeDecodeError:
        return MisplacedError("has a .cls that is not UTF-8")
    except ValueError as error:
        return MisplacedError(str(error))

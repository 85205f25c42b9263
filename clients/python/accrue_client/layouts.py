"""Asks the service what files are taken for, before any of them is sent."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from accrue_client.errors import InvalidSourceError
from accrue_client.http_api import Api
from accrue_client.steps import Steps, work

# Files that may say what the others are; and how many bytes of them the service looks at.
DOCUMENTS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".cls")
MOST_BYTES = 32 * 10**6


@dataclass(frozen=True)
class NamedFile:
    """A file by its path with slashes, and what is read of it if it is a document.

    `is_image` says whether its first bytes are an image's; None: its name says it.
    """

    name: str
    read: Callable[[], bytes]
    is_image: bool | None = None

    @property
    def is_document(self) -> bool:
        """Whether it may say what other files are."""
        return self.name.lower().endswith(DOCUMENTS)


def ask(api: Api, files: Iterable[NamedFile], group: str | None) -> Steps[dict[str, Any]]:
    """Return the layout of files. Raises InvalidSourceError in one line if none has a class."""
    described = yield from work(lambda: _described(files))
    asked: dict[str, Any] = {"files": described}
    if group == "folder":
        asked["group"] = group
    layout: dict[str, Any] = yield from api.post("/v1/uploads/layout", asked)
    if problem := layout.get("problem"):
        raise InvalidSourceError(problem)
    return layout


def _described(files: Iterable[NamedFile]) -> list[dict[str, Any]]:
    left = MOST_BYTES
    described = []
    for file in files:
        entry: dict[str, Any] = {"name": file.name}
        if file.is_image is not None:
            entry["image"] = file.is_image
        if file.is_document and left > 0:
            content = file.read()
            left -= len(content)
            if left > 0:
                entry["text"] = _text(file.name, content)
        described.append(entry)
    return described


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidSourceError(f"{name} is not UTF-8. Save it so, or take it away.") from error

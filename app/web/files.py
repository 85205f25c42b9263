"""The files of the page, each with its media type and a tag of its content."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app import etags

_FOLDER = Path(__file__).parent / "page"
INDEX = "index.html"
# What the page is made of: no other file of the folder is sent.
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """A file of the page. `etag` is a strong tag in quotes: another content has another one."""

    body: bytes
    media_type: str
    etag: str


@cache
def page_files() -> Mapping[str, PageFile]:
    """Return the files of the page by their path in its folder, with slashes."""
    return {
        path.relative_to(_FOLDER).as_posix(): _read(path)
        for path in sorted(_FOLDER.rglob("*"))
        if path.suffix in _MEDIA_TYPES
    }


def _read(path: Path) -> PageFile:
    body = path.read_bytes()
    return PageFile(body, _MEDIA_TYPES[path.suffix], etags.strong(body))

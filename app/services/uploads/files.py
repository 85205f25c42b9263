"""What is known of the files of an archive or a folder before any image is decoded."""

from collections.abc import Callable

from app.services.uploads import documents
from app.services.uploads.folders import FolderTree, Path

# Names of images, also of formats that are refused. The bytes of other files must be looked at.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif"),
    *(".tif", ".tiff", ".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c"),
    *(".jxl", ".svg", ".ico", ".tga"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw"),
)


class Files:
    """The files: their folders, which of them are images, and documents that may say what of."""

    def __init__(self) -> None:
        self.tree = FolderTree()
        self.images: list[Path] = []
        self.documents: dict[Path, bytes] = {}
        # Documents that were not kept, and why.
        self.left_out: dict[Path, str] = {}
        self._room = documents.MOST_BYTES

    def add(self, path: Path, *, is_image: bool) -> None:
        """Add a file that is no document."""
        self.tree.add(path, is_image=is_image)
        if is_image:
            self.images.append(path)

    def add_document(self, path: Path, read: Callable[[], bytes]) -> None:
        """Add a file that is a document by its name (`is_document`)."""
        self.tree.add(path, is_image=False)
        content = read() if self._room > 0 else b""
        self._room -= len(content)
        if self._room > 0:
            self.documents[path] = content
        else:
            self.left_out[path] = f"together, documents may have {documents.MOST_BYTES} bytes"


def is_document(path: Path) -> bool:
    """Say whether a file is a document by its name."""
    return path[-1].lower().endswith(documents.SUFFIXES)

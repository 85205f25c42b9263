"""What may be given as an image: a path, bytes, an image of Pillow, an array of NumPy."""

import io
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import TypeIs

from accrue_client.errors import InvalidSourceError


class PillowImage(Protocol):
    """An image of Pillow, which need not be installed."""

    def save(self, fp: Any, format: str | None = None) -> None:
        """Write the image."""


class Array(Protocol):
    """An array of NumPy: uint8 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions."""

    @property
    def dtype(self) -> Any:
        """The type of its numbers."""


# A path, the bytes of a file, an image of Pillow or an array of NumPy.
ImageLike = str | PathLike[str] | bytes | bytearray | memoryview | PillowImage | Array


def is_image(given: object) -> TypeIs[ImageLike]:
    """Say whether something is one image, and not a collection of them."""
    if isinstance(given, (str, PathLike, bytes, bytearray, memoryview)) or hasattr(given, "save"):
        return True
    shape = getattr(given, "shape", None)
    return shape is not None and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)))


def name_of(given: object, number: int) -> str:
    """Return the name under which an image is sent: that of its file, or one by its number."""
    if isinstance(given, (str, PathLike)):
        return Path(given).name
    named = getattr(given, "filename", "")
    return Path(named).name if isinstance(named, str) and named else f"image-{number}.png"


def size_of(given: object) -> int | None:
    """Return the number of bytes of an image's file; None where only reading it would tell."""
    if isinstance(given, (bytes, bytearray)):
        return len(given)
    if isinstance(given, memoryview):
        return given.nbytes
    if isinstance(given, (str, PathLike)):
        try:
            return Path(given).stat().st_size
        except OSError:  # said when it is read
            return None
    return None


def data_of(given: object) -> bytes:
    """Return the bytes of an image's file; images in memory become PNG, without loss.

    Raises InvalidSourceError for what is not an image, and OSError for what cannot be read.
    """
    if isinstance(given, (str, PathLike)):
        return _read(Path(given))
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    if hasattr(given, "save"):
        return _png(given)
    if is_image(given) and str(getattr(given, "dtype", "")) == "uint8":
        return _png(_drawn(given))
    shape, kind = getattr(given, "shape", None), getattr(given, "dtype", None)
    said = type(given).__name__ if shape is None else f"an array of {kind} {list(shape)}"
    raise InvalidSourceError(
        f"{said} is not an image. Give a path, bytes, an image of Pillow, or an array of uint8 "
        "[height, width, 3]."
    )


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise InvalidSourceError(
            f"{path} is a folder, and one image is asked for. Give its files, such as "
            f"Path({str(path)!r}).rglob('*.jpg')."
        )
    return path.read_bytes()


def _drawn(array: Any) -> Any:
    try:
        from PIL import Image  # noqa: PLC0415 - only arrays need it
    except ImportError as error:
        raise InvalidSourceError("To send arrays, install Pillow: pip install pillow") from error
    return Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def _png(image: Any) -> bytes:
    written = io.BytesIO()
    _upright(image).save(written, "PNG")
    return written.getvalue()


def _upright(image: Any) -> Any:
    """Turn an image of Pillow as its EXIF data says, which the PNG will not have."""
    if not hasattr(image, "getexif"):
        return image
    from PIL import ImageOps  # noqa: PLC0415 - it is there: the image is of it

    return ImageOps.exif_transpose(image)

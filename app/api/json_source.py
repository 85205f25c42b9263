"""A JSON body as a source of labelled images."""

import base64
import binascii
from collections.abc import Iterator
from typing import IO

from pydantic import Field, ValidationError

from app.api.problems import InvalidRequestError, field_errors
from app.services.requests import RequestBody
from app.services.uploads.sources import Item, Rejection, UploadLimits

MAX_IMAGES = 20_000


class JsonImage(RequestBody):
    """One labelled image."""

    label: str
    b64: str = Field(description="The image file, base64.")


class JsonUpload(RequestBody):
    """Labelled images in JSON."""

    # More images belong in an archive.
    images: list[JsonImage] = Field(max_length=MAX_IMAGES)


class JsonSource:
    """A JSON document in a file. Images are named by their position: ``images/0``."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def items(self, limits: UploadLimits) -> Iterator[Item | Rejection]:
        """Yield the images in their order. Their sizes are checked later, when they are read."""
        self._file.seek(0)
        try:
            upload = JsonUpload.model_validate_json(self._file.read())
        except ValidationError as error:
            raise InvalidRequestError(
                "The body is not valid: see errors.", errors=field_errors(error.errors())
            ) from error
        for position, image in enumerate(upload.images):
            name = f"images/{position}"
            try:
                yield Item(name, image.label, base64.b64decode(image.b64, validate=True))
            except (binascii.Error, ValueError):
                yield Rejection(name, "not base64")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

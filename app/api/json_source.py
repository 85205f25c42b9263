"""A JSON body as a source of labelled images."""

from collections.abc import Iterator
from typing import IO

from pydantic import Field, ValidationError

from app.api import base64_text, json_text
from app.api.problems import InvalidRequestError, field_errors
from app.services.requests import RequestBody
from app.services.uploads.sources import Item, Rejection, UploadLimits

MAX_IMAGES = 20_000


class JsonImage(RequestBody):
    """One labelled image."""

    label: str
    b64: str
    group: str | None = Field(
        None,
        description="Such as a patient; held out as a whole.",
    )


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
            upload = JsonUpload.model_validate_json(json_text.utf8(self._file.read()))
        except ValidationError as error:
            raise InvalidRequestError(
                "The body is not valid: see errors.", errors=field_errors(error.errors())
            ) from error
        for position, image in enumerate(upload.images):
            name = f"images/{position}"
            try:
                data = base64_text.decoded(image.b64)
            except ValueError as error:
                yield Rejection(name, str(error), image.label)
            else:
                yield Item(name, image.label, data, group=image.group)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

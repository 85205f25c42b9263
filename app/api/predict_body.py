"""The images in the body of a prediction: one by itself, or several in a form or in JSON."""

import asyncio
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pydantic import ValidationError
from python_multipart.multipart import parse_options_header

from app.api import base64_text, json_text
from app.api.body_kinds import UnsupportedBodyError, kind_of
from app.api.form_parts import FILES, boundary_of, parts
from app.api.predict_views import PredictBody, TooManyImagesAtOnceError
from app.api.problems import InvalidRequestError, field_errors
from app.errors import FieldError
from app.imaging.reading import UnreadableImageError

RAW = frozenset(
    f"image/{kind}" for kind in ("jpeg", "png", "webp", "bmp", "gif", "tiff", "heic", "avif", "jp2")
)

# Not the thread pool of other routes, whose threads may all wait for a slow database. Two threads,
# so that one large body does not delay small ones.
_READERS = ThreadPoolExecutor(2, "predict-body")


async def images_in(
    content: bytes, content_type: str | None, limit: int
) -> Sequence[bytes | UnreadableImageError]:
    """Return each image's undecoded bytes, or the error that replaces them.

    Raises UnsupportedBodyError, InvalidRequestError, TooManyImagesAtOnceError for more than
    `limit`, and the errors of forms.
    """
    declared, options = parse_options_header(content_type)
    loop = asyncio.get_running_loop()
    images: Sequence[bytes | UnreadableImageError]
    match kind_of(declared.decode("latin-1").lower(), content):
        case "image":
            return [content]
        case "json":
            images = await loop.run_in_executor(_READERS, _from_json, content)
        case "form":
            read = partial(_from_form, boundary=boundary_of(options), limit=limit)
            images = await loop.run_in_executor(_READERS, read, content)
        case "zip" | "tar" | "tar.gz" | "parquet":
            raise UnsupportedBodyError("Send the images themselves; archives are for uploads.")
        case None if not content:
            raise UnsupportedBodyError("The body is empty. Send an image, or several in a form.")
        case None:
            kinds = ", ".join(sorted(RAW))
            raise UnsupportedBodyError(
                f"Send an image as {kinds}, or several as multipart/form-data or application/json."
            )
    if len(images) > limit:
        raise _too_many(limit)
    return images


def _too_many(limit: int) -> TooManyImagesAtOnceError:
    return TooManyImagesAtOnceError(
        f"This server takes at most {limit} images at once: send fewer."
    )


def _from_json(content: bytes) -> list[bytes | UnreadableImageError]:
    try:
        body = PredictBody.model_validate_json(json_text.utf8(content))
    except ValidationError as error:
        raise InvalidRequestError(
            "The body is not valid: see errors.", errors=field_errors(error.errors())
        ) from None
    return [_decoded(image.b64) for image in body.images]


def _decoded(b64: str) -> bytes | UnreadableImageError:
    try:
        return base64_text.decoded(b64)
    except ValueError as error:
        return UnreadableImageError(str(error))


def _from_form(content: bytes, *, boundary: bytes, limit: int) -> list[bytes]:
    # Some clients give a part neither a file name nor a content type, so both do not matter.
    images = []
    for part in parts(io.BytesIO(content), boundary, wanted=FILES, limit=len(content)):
        if part.name not in FILES:
            raise _not_a_form_of_images()
        images.append(bytes(part.data))
        if len(images) > limit:
            raise _too_many(limit)
    if not images:
        raise _not_a_form_of_images()
    return images


def _not_a_form_of_images() -> InvalidRequestError:
    return InvalidRequestError(
        "The form must have images as files, and nothing else.",
        errors=[FieldError("/files", "send one or more image files, and no other fields")],
    )

"""Tensors in requests and answers: JSON, or bytes after it (the binary tensor data extension).

The header ``Inference-Header-Content-Length`` says where JSON ends and bytes begin.
"""

import io
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field, ValidationError

from app.api.problems import InvalidRequestError, field_errors

HEADER = "Inference-Header-Content-Length"

Data = NDArray[Any]


class Parameters(BaseModel):
    """The parameters of tensors and requests that are known here; others are passed over."""

    binary_data_size: int | None = Field(None, ge=0)
    binary_data: bool | None = None
    binary_data_output: bool = False
    classification: int = Field(0, ge=0)


class InputTensor(BaseModel):
    """A tensor that is sent."""

    name: str
    shape: list[int] = Field(max_length=8)
    datatype: Literal["BYTES", "UINT8"]
    parameters: Parameters = Parameters()
    data: list[Any] | None = None


class OutputTensor(BaseModel):
    """A tensor that is asked for."""

    name: str
    parameters: Parameters = Parameters()


class InferRequest(BaseModel):
    """The JSON of a request."""

    id: str | None = None
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[OutputTensor] = []
    parameters: Parameters = Parameters()


@dataclass(frozen=True)
class Made:
    """A tensor of an answer: strings (BYTES), or numbers."""

    datatype: Literal["BYTES", "FP32", "FP64"]
    values: Data


def parse(content: bytes, header_length: str | None) -> tuple[InferRequest, list[bytes]]:
    """Return a request and its images as files. Raises InvalidRequestError."""
    length = len(content)
    if header_length is not None:
        if not header_length.isdecimal() or int(header_length) > length:
            raise InvalidRequestError(f"{HEADER} must be the length of the JSON before the bytes.")
        length = int(header_length)
    try:
        asked = InferRequest.model_validate_json(content[:length])
    except ValidationError as error:
        raise InvalidRequestError(
            "The request is not one of the Open Inference Protocol: "
            + "; ".join(f"{each.pointer}: {each.detail}" for each in field_errors(error.errors())),
        ) from None
    (tensor,) = asked.inputs
    return asked, _images(tensor, content[length:])


def _images(tensor: InputTensor, binary: bytes) -> list[bytes]:
    size = tensor.parameters.binary_data_size
    if size is not None and size != len(binary):
        raise InvalidRequestError(f"{tensor.name}: {size} bytes are announced, {len(binary)} sent.")
    if size is None and tensor.data is None:
        raise InvalidRequestError(f"{tensor.name} has neither data nor bytes.")
    if tensor.datatype == "UINT8":
        return _from_pixels(tensor, None if size is None else binary)
    files = _split(binary) if size is not None else _from_json(tensor)
    if len(files) != _count(tensor.shape):
        raise InvalidRequestError(
            f"{tensor.name}: the shape {tensor.shape} does not fit {len(files)} images."
        )
    return files


def _count(shape: Sequence[int]) -> int:
    """Return the number of elements of a shape."""
    return int(np.prod(shape, dtype=np.int64))


def _split(binary: bytes) -> list[bytes]:
    """Return elements, each after its length in four bytes, the lowest first."""
    files, at = [], 0
    while at < len(binary):
        if at + 4 > len(binary):
            raise InvalidRequestError("The bytes end within a length.")
        (length,) = struct.unpack_from("<I", binary, at)
        at += 4
        if at + length > len(binary):
            raise InvalidRequestError("The bytes end within an element.")
        files.append(binary[at : at + length])
        at += length
    return files


def _from_json(tensor: InputTensor) -> list[bytes]:
    raise InvalidRequestError(
        f"{tensor.name}: image files cannot be in JSON. Send them as bytes after it "
        "(set_data_from_numpy with binary_data=True), or pixels as UINT8."
    )


def _from_pixels(tensor: InputTensor, binary: bytes | None) -> list[bytes]:
    """Return images [height, width, 3] or [batch, height, width, 3] as files without loss."""
    shape = tensor.shape
    if len(shape) not in (3, 4) or shape[-1] != 3 or min(shape) < 1:
        raise InvalidRequestError(
            f"{tensor.name}: UINT8 is [batch, height, width, 3] or [height, width, 3], RGB; the "
            f"shape is {shape}."
        )
    try:
        given = (
            np.asarray(tensor.data, np.uint8).ravel()
            if binary is None
            else np.frombuffer(binary, np.uint8)
        )
        pixels = given.reshape(-1, *shape[-3:])
    except (ValueError, OverflowError, TypeError):
        raise InvalidRequestError(
            f"{tensor.name}: the data does not fit the shape {shape} of values from 0 to 255."
        ) from None
    if pixels.size != _count(shape):
        raise InvalidRequestError(f"{tensor.name}: the data does not fit the shape {shape}.")
    return [_file(image) for image in pixels]


def _file(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "BMP")
    return file.getvalue()


def answered(
    asked: InferRequest, outputs: Sequence[OutputTensor], made: Mapping[str, Made], **about: Any
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON if bytes follow."""
    described, binary = [], b""
    for output in outputs:
        tensor = made[output.name]
        entry: dict[str, Any] = {
            "name": output.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.values.shape),
        }
        chosen = output.parameters.binary_data
        if asked.parameters.binary_data_output if chosen is None else chosen:
            data = _bytes(tensor)
            entry["parameters"] = {"binary_data_size": len(data)}
            binary += data
        else:
            entry["data"] = _listed(tensor)
        described.append(entry)
    body = json.dumps({**about, "id": asked.id or "", "outputs": described}).encode()
    return (body + binary, len(body)) if binary else (body, None)


def _listed(tensor: Made) -> list[Any]:
    values: list[Any] = tensor.values.ravel().tolist()
    if tensor.datatype == "BYTES":
        return values
    # Not a number has no form in JSON.
    return [None if math.isnan(value) else value for value in values]


def _bytes(tensor: Made) -> bytes:
    if tensor.datatype != "BYTES":
        return tensor.values.tobytes()
    texts = [text.encode() for text in tensor.values.ravel().tolist()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)

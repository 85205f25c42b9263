"""The forms in which other programs get versions."""

from typing import Literal

Format = Literal["onnx", "torch"]

# The ends of their files' names.
SUFFIXES: dict[Format, str] = {"onnx": "onnx", "torch": "zip"}

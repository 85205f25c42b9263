"""The ONNX model of a version: from images of any size to labels.

Around the network's own graph are two more: one resizes as `app.imaging.resize` does, up to
rounding, and one finds the label and whether the image is known.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from app.imaging.resize import PADDING
from models.portable import DISTANCES, P_KNOWN, PIXELS, SCORES
from models.spec import Resize

IMAGES, LABEL, KNOWN = "images", "label", "known"


class _Nodes:
    """Nodes and constants of a graph, in order."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: ArrayLike, dtype: type) -> str:
        """Add a constant, and return its name."""
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


def complete(
    file: Path,
    outputs: Sequence[str],
    *,
    size: int,
    resize: Resize,
    labels: Sequence[str],
    false_alarms: float | None,
    about: Mapping[str, object],
) -> None:
    """Put the rest around the model that `models.portable.to_onnx` wrote to a file.

    It takes uint8 `images` [batch, height, width, 3], RGB. Besides `outputs` it gives `label`
    [batch] and, with `false_alarms`, `known` [batch]. `about` becomes its metadata, as JSON.
    """
    model = onnx.load(file)
    before, after = _Nodes(), _Nodes()
    _resized(before, size, resize)
    after.add("ArgMax", [SCORES], "best", axis=1, keepdims=0)
    names = after.constant("labels", labels, np.object_)
    after.add("Gather", [names, "best"], LABEL)
    kinds = [(LABEL, TensorProto.STRING)]
    if false_alarms is not None:
        alpha = after.constant("false_alarms", false_alarms, np.float64)
        after.add("Greater", [P_KNOWN, alpha], KNOWN)
        kinds.append((KNOWN, TensorProto.BOOL))
    graph = model.graph
    graph.initializer.extend([*before.constants, *after.constants])
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.name = "accrue"
    shape: list[str | int | None] = ["batch", "height", "width", 3]
    graph.input.append(helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, shape))
    own: dict[str, tuple[int, list[str | int | None]]] = {
        SCORES: (TensorProto.FLOAT, ["batch", len(labels)]),
        DISTANCES: (TensorProto.FLOAT, ["batch", len(labels)]),
        P_KNOWN: (TensorProto.DOUBLE, ["batch"]),
    }
    graph.output.extend(helper.make_tensor_value_info(n, k, ["batch"]) for n, k in kinds)
    graph.output.extend(helper.make_tensor_value_info(name, *own[name]) for name in outputs)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in about.items()})
    model.producer_name = "accrue"
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString(deterministic=True))


def _resized(nodes: _Nodes, size: int, resize: Resize) -> None:
    """Add what makes `pixels` [batch, 3, size, size] of `images`."""
    nodes.add("Transpose", [IMAGES], "planes", perm=[0, 3, 1, 2])
    whole = nodes.add("Cast", ["planes"], "values", to=TensorProto.FLOAT)
    side = nodes.constant("side", [size, size], np.int64)
    nodes.add("Shape", [whole], "proportions", start=2)
    if resize == "crop":
        nodes.add("ReduceMin", ["proportions"], "shortest", keepdims=1)
        whole = _cut(nodes, whole, "shortest")
    new = _within(nodes, side) if resize == "pad" else side
    squared = nodes.add(
        "Resize", [whole, "", "", new], "resized", mode="linear", antialias=1, axes=[2, 3]
    )
    if resize == "pad":
        squared = _padded(nodes, squared, side)
    nodes.add("Round", [squared], "levels")
    nodes.add("Cast", ["levels"], PIXELS, to=TensorProto.UINT8)


def _cut(nodes: _Nodes, whole: str, length: str) -> str:
    """Add what cuts the square in the middle, from a whole pixel on."""
    two = nodes.constant("two", 2, np.int64)
    nodes.add("Sub", ["proportions", length], "beside")
    nodes.add("Div", ["beside", two], "begin")
    nodes.add("Add", ["begin", length], "end")
    axes = nodes.constant("axes", [2, 3], np.int64)
    return nodes.add("Slice", [whole, "begin", "end", axes], "cut")


def _within(nodes: _Nodes, side: str) -> str:
    """Add the height and width whose longer is the side: rounded half up, at least 1."""
    two, one = nodes.constant("two", 2, np.int64), nodes.constant("one", 1, np.int64)
    nodes.add("ReduceMax", ["proportions"], "longest", keepdims=1)
    nodes.add("Mul", ["proportions", side], "scaled")
    nodes.add("Mul", ["scaled", two], "twice")
    nodes.add("Add", ["twice", "longest"], "raised")
    nodes.add("Mul", ["longest", two], "divisor")
    nodes.add("Div", ["raised", "divisor"], "rounded")
    return nodes.add("Max", ["rounded", one], "inner")


def _padded(nodes: _Nodes, resized: str, side: str) -> str:
    """Add what fills a square with grey, half on each side."""
    nodes.add("Sub", [side, "inner"], "gap")
    nodes.add("Div", ["gap", "two"], "before")
    nodes.add("Sub", ["gap", "before"], "after")
    nodes.add("Concat", ["before", "after"], "margins", axis=0)
    grey = nodes.constant("grey", PADDING, np.float32)
    axes = nodes.constant("axes", [2, 3], np.int64)
    return nodes.add("Pad", [resized, "margins", grey, axes], "padded")

"""A version as a program of PyTorch's operators: source code, and tensors beside it.

The source names ATen operators and nothing of this package. So PyTorch alone runs it, also in later
releases: TorchScript is deprecated, and exported programs (.pt2) are bound to the release that
wrote them. People can read it, and nothing is unpickled.
"""

import re
from typing import NamedTuple

import torch
from torch import Tensor, fx
from torch.export import Dim, ExportedProgram, export

from models import known
from models.classify import Servable
from models.portable import Portable, outputs_of, tracing

# What the source is given: tensors by name, and uint8 images [B, 3, S, S].
_TENSORS, _IMAGES, _DEVICE = "tensors", "images", "device_of_images"
# Operators that compute nothing: they check what the exporter took for granted.
_CHECKS = (torch.ops.aten._assert_tensor_metadata.default,)


class Program(NamedTuple):
    """Source that defines ``forward(tensors, images)``, its tensors, and what it returns.

    It returns a tuple of what `outputs` names, as `models.portable.Portable` describes it.
    """

    source: str
    tensors: dict[str, Tensor]
    outputs: list[str]


class NotPortableError(Exception):
    """The module does more than call operators on tensors."""


def to_program(servable: Servable, held_out: known.Scores, size: int) -> Program:
    """Return a module as a program. It takes uint8 images [B, 3, size, size], on any device.

    Raises NotPortableError, or what PyTorch's exporter raises for what it cannot follow.
    """
    portable = Portable(servable, held_out).eval()
    example = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    with torch.no_grad(), tracing():
        outputs = outputs_of(servable, held_out, example)
        shapes = ({0: Dim("batch")},)
        exported = export(portable, (example,), dynamic_shapes=shapes, strict=False)
    graph = exported.graph
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target in _CHECKS:
            graph.erase_node(node)
        elif node.op not in ("placeholder", "call_function", "output"):
            raise NotPortableError(f"its graph has a {node.op}, {node.target}")
    tensors = _tensors(exported)
    return Program(
        _source(graph, {node: name for node, (name, _) in tensors.items()}),
        dict(tensors.values()),
        outputs,
    )


def _tensors(exported: ExportedProgram) -> dict[str, tuple[str, Tensor]]:
    """Return the name and value of each tensor, by the name of its node."""
    signature = exported.graph_signature
    stored = {**exported.state_dict, **exported.constants}
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    return {
        node.name: (re.sub(r"^(servable\.)+", "", name), stored[name].detach().contiguous())
        for node in exported.graph.nodes
        if node.users and (name := names.get(node.name)) is not None
    }


def _source(graph: fx.Graph, names: dict[str, str]) -> str:
    code = graph.python_code("self").src
    head, body = code.split(":\n", 1)
    if not head.strip().startswith("def forward(self"):
        raise NotPortableError("its graph is not one function")
    *_, given = (node.name for node in graph.nodes if node.op == "placeholder")
    used = "|".join(map(re.escape, names))
    # Variables are set to None once they are not needed. Those of tensors free nothing.
    body = re.sub(rf"\b({used}) = (?=(\w+ = )*None$)", "", body, flags=re.MULTILINE)
    body = re.sub(r";\s+None$", "", body, flags=re.MULTILINE)
    body = re.sub(r"device\(type='\w+'(, index=\d+)?\)", _DEVICE, body)
    bound = [f"    {node} = {_TENSORS}[{name!r}]" for node, name in names.items()]
    if given != _IMAGES:
        bound.append(f"    {given} = {_IMAGES}")
    return "\n".join(
        [
            "from math import inf, nan",
            "",
            "import torch",
            "",
            "",
            f"def forward({_TENSORS}, {_IMAGES}):",
            f"    {_DEVICE} = {_IMAGES}.device",
            *bound,
            *(line.rstrip() for line in body.splitlines() if line.strip()),
            "",
        ]
    )

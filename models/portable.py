"""A version as a graph of plain arithmetic, which other programs can run: ONNX is written here.

A tracer records what is done for one batch, so nothing here may depend on what is in it: a router
runs every expert and picks from their answers.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from models import known
from models.calibrated import Calibrated
from models.classify import Output, Routed, Servable, TaskSoftmax, squared_distances

# The operators that browsers and phones have too.
OPSET = 18
# What the graph takes and gives: see `Portable`.
PIXELS, SCORES, DISTANCES, P_KNOWN = "pixels", "scores", "distances", "p_known"
# The exporter has state that all threads share.
_EXPORTING = threading.Lock()


class Portable(nn.Module):
    """Takes uint8 images [B, 3, S, S]; gives what `outputs` names, in that order.

    `scores` and `distances` are float32 [B, C], `p_known` [B] float64.
    """

    def __init__(self, servable: Servable, held_out: known.Scores) -> None:
        """Take a module, and the ascending scores of held-out images, none where it has none."""
        super().__init__()
        self.servable = _dense(servable)
        self.kinds = tuple(held_out)
        for kind, values in held_out.items():
            self.register_buffer(f"held_out_{kind}", values)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors of a batch."""
        output: Output = self.servable(images)
        found = [output.scores]
        if output.distances is not None:
            found.append(output.distances)
        if self.kinds:
            scores = known.scores(output)
            found.append(self._p_known(scores))
        return tuple(found)

    def _p_known(self, scores: known.Scores) -> Tensor:
        """Return the same as `known.p_values`, whose binary search graphs do not have."""
        each = []
        for kind in self.kinds:
            held_out: Tensor = getattr(self, f"held_out_{kind}")
            at_least = (held_out[None, :] >= scores[kind][:, None]).double().sum(dim=1)
            each.append((1 + at_least) / (len(held_out) + 1))
        return (len(each) * torch.stack(each).amin(dim=0)).clamp_max(1.0)


def to_onnx(servable: Servable, held_out: known.Scores, size: int, file: Path) -> list[str]:
    """Write a module as an ONNX model; return the names of its outputs.

    It takes uint8 `pixels` [batch, 3, size, size]. Raises what PyTorch's exporter
    raises for operators that ONNX does not have.
    """
    portable = Portable(servable, held_out).eval()
    example = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    with tracing(), torch.no_grad(), _Exportable():
        outputs = outputs_of(servable, held_out, example)
        torch.onnx.export(
            portable,
            (example,),
            file,
            # The other exporter takes ten times as long, and more packages.
            dynamo=False,
            opset_version=OPSET,
            input_names=[PIXELS],
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in (PIXELS, *outputs)},
        )
    return outputs


def outputs_of(servable: Servable, held_out: known.Scores, example: Tensor) -> list[str]:
    """Return the names of what `Portable` gives of an example, in that order."""
    output: Output = servable(example)
    outputs = [SCORES]
    outputs += [DISTANCES] if output.distances is not None else []
    outputs += [P_KNOWN] if held_out else []
    return outputs


@contextmanager
def tracing() -> Iterator[None]:
    """Have attention done by public operators, in one thread at a time."""
    fast_attention = torch.backends.mha.get_fastpath_enabled()
    with _EXPORTING:
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_attention)


class _DenseTask(Servable):
    """`TaskSoftmax` without assignments to columns."""

    place: Tensor

    def __init__(self, whole: TaskSoftmax) -> None:
        super().__init__(whole.preprocess, whole.network)
        self.block = whole.network.head.blocks[str(whole.task)]
        self.columns = whole.columns
        self.task = whole.task
        # Where a column's score is: beyond the block's own is -inf.
        own = whole.columns.long()
        place = torch.where(whole.columns, own.cumsum(dim=0) - 1, own.sum())
        self.register_buffer("place", place)

    def forward(self, images: Tensor) -> Output:
        """Return the scores of uint8 images [B, 3, S, S]."""
        features = self.network.backbone(self.preprocess(images)).pooled
        found = self.block(features).log_softmax(dim=1)
        others = torch.full_like(found[:, :1], -torch.inf)
        return Output(torch.cat([found, others], dim=1)[:, self.place])


class _DenseRouted(Servable):
    """`Routed` that runs every expert on every image."""

    means: Tensor

    def __init__(self, whole: Routed) -> None:
        super().__init__(whole.preprocess, whole.network)
        self.experts: list[_DenseTask] = nn.ModuleList(  # type: ignore[assignment]
            _DenseTask(expert) for expert in whole.experts
        )
        self.register_buffer("means", whole.means)

    def forward(self, images: Tensor) -> Output:
        """Return the scores of uint8 images [B, 3, S, S] and the task chosen for each."""
        features = functional.normalize(self.network.backbone(self.preprocess(images)).pooled)
        squared = squared_distances(features, self.means)
        nearest = squared.argmin(dim=1)
        log_scores = torch.full_like(squared, -torch.inf)
        tasks = torch.zeros_like(nearest)
        for expert in self.experts:
            chosen = expert.columns[nearest]
            log_scores = torch.where(chosen[:, None], expert(images).log_scores, log_scores)
            tasks = torch.where(chosen, expert.task, tasks)
        return Output(log_scores, tasks=tasks, deviations=squared.sqrt())


def _dense(servable: Servable) -> Servable:
    if isinstance(servable, Calibrated):
        return Calibrated(_dense(servable.servable), servable.curve)
    if isinstance(servable, TaskSoftmax):
        return _DenseTask(servable)
    return _DenseRouted(servable) if isinstance(servable, Routed) else servable


class _Exportable(TorchFunctionMode):
    """Has functions that the exporter lacks done by others, to rounding."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func is functional.adaptive_avg_pool2d:
            return _pooled(*args, **given)
        if func is functional.logsigmoid:
            # Not log(sigmoid(x)), which is -inf soon.
            return -functional.softplus(-args[0])
        if func is torch.expm1:
            return args[0].exp() - 1
        return func(*args, **given)


def _pooled(maps: Tensor, size: int | Sequence[int]) -> Tensor:
    """Return the means [B, K, h, w] of maps by matrix products: any size from any other."""
    height, width = (size, size) if isinstance(size, int) else size
    if height == width == 1:
        return maps.mean(dim=(2, 3), keepdim=True)
    down, across = _means(int(maps.shape[2]), height), _means(int(maps.shape[3]), width)
    return down @ maps @ across.T


def _means(old: int, new: int) -> Tensor:
    """Return the matrix [new, old] that averages the ranges of adaptive pooling."""
    matrix = torch.zeros(new, old)
    for row in range(new):
        first, end = row * old // new, -(-(row + 1) * old // new)
        matrix[row, first:end] = 1 / (end - first)
    return matrix

"""One learning step: what a method is given of it, and its result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from models.batches import ImageSet
from models.classify import Output
from models.compute import Compute
from models.inference import Pause, inference_batches, no_pause, parts_of
from models.judging import Judged
from models.memory import ExemplarMemory
from models.networks import Backbone, Network
from models.preprocess import FIRST_PIXEL_RULES, Preprocess
from models.seeds import derive
from models.spec import Spec
from models.state import State
from models.trunks import Compile, Trunk, as_it_is


@dataclass(frozen=True)
class StepData:
    """The images of one step.

    `images` uint8 [N, 3, S, S] are trained on: exemplars first, class by class in ranking order,
    then the new images in the order they came; `columns` [N] are their classes, `sizes` [N] their
    stored bytes, `fresh` [N] whether they are new. `held_out` uint8 [H, 3, S, S], of classes
    `held_out_columns` [H], are for measuring only. `tasks[c]` is the task of column c; new columns
    are last. `pixel_rules` is the number of the rules by which files became the pixels. `digests`
    uint8 [N, 32] identify the images that are trained on, for methods that keep something of each.
    `held_out_groups` [H] number the groups of held-out images (one without has a number of its
    own), None where there are no groups; `grouped` says whether images that are or were trained on
    have groups.
    `reencoded` uint8 [F, 3, S, S] are the new images as exemplars of them would be stored, where
    that is not as they were sent; `sizes` then counts those bytes.
    `on_disk`: images are in memory-mapped files, since they are more than memory should hold. No
    copy of all of them is made then, and the result is the same to the bit.
    """

    images: Tensor
    columns: Tensor
    sizes: Tensor
    fresh: Tensor
    held_out: Tensor
    held_out_columns: Tensor
    tasks: tuple[int, ...]
    pixel_rules: int = FIRST_PIXEL_RULES
    digests: Tensor | None = None
    held_out_groups: Tensor | None = None
    grouped: bool = False
    reencoded: Tensor | None = None
    on_disk: bool = False


# What a servable is for: the task that is given (None: no task) and the way to classify.
Variant = tuple[int | None, str]


@dataclass(frozen=True)
class Sample:
    """One image uint8 [1, 3, S, S] and the log-scores [1, C] that each servable gave it on the CPU.

    `deviations` [1, C] are of those servables that give some. What is stored of a version must give
    the same when it is loaded.
    """

    image: Tensor
    log_scores: Mapping[Variant, Tensor]
    deviations: Mapping[Variant, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StepResult:
    """A new version: its state, its exemplars and how well it does.

    `rankings[c]` are positions in `StepData.images` in herding order, for classes that got new
    images; the first `kept[c]` images of class c's ranking are its exemplars now. `metrics` are
    described in `models.evaluate`. `sample` is what the version must still predict once it is
    stored. `residual` names the parts that stay although they were learnt from images of forgotten
    classes, or with labels that are corrected. `held_out` are the predictions of the held-out
    images, None without any, and `left_out` what is said of images that were trained on, each left
    out in turn.
    """

    state: State
    rankings: dict[int, list[int]]
    kept: tuple[int, ...]
    metrics: dict[str, Any]
    warnings: list[str]
    sample: Sample
    residual: tuple[str, ...] = ()
    held_out: Output | None = None
    left_out: Judged | None = None


@dataclass(frozen=True)
class Remaining:
    """What stays when classes are forgotten. Columns are those after the removal.

    `held_out` uint8 [H, 3, S, S], of classes `held_out_columns` [H], are measured on; `kept[c]`
    counts the exemplars of class c. `held_out_groups` and `grouped` are as in `StepData`.
    """

    held_out: Tensor
    held_out_columns: Tensor
    kept: tuple[int, ...]
    held_out_groups: Tensor | None = None
    grouped: bool = False


class Correction(NamedTuple):
    """An image that was trained on as one of the columns `before`, and is one of `column`.

    None: it is left out. `digests` are the SHA-256 digests of the files that hold its picture.
    """

    digests: tuple[bytes, ...]
    before: tuple[int, ...]
    column: int | None


@dataclass(frozen=True)
class Corrected:
    """What a version is made from in which images have other labels, or are left out.

    `data` has the exemplars as they are to be, those with another label being the fresh ones, and
    the held-out images likewise. It has no exemplars where none changes; `edited` are the columns
    of the classes whose exemplars do, and `kept[c]` counts those of class c before. `images` are
    the images that were trained on, `remeasured` the tasks whose held-out images change.
    """

    data: StepData
    images: tuple[Correction, ...]
    edited: tuple[int, ...]
    kept: tuple[int, ...]
    remeasured: frozenset[int] = frozenset()


# The most held-out images to measure on while training, evenly from all: enough for two points.
MEASURED = 500


def _measured(data: StepData, device: torch.device) -> ImageSet:
    positions = torch.isin(data.held_out_columns, data.columns).nonzero().flatten()
    count = len(positions)
    chosen = positions[torch.linspace(0, count - 1, min(count, MEASURED)).round().long()]
    columns = data.held_out_columns[chosen].to(device)
    return ImageSet(data.held_out[chosen].to(device), columns, torch.ones_like(columns).bool())


class Step:
    """What a method is given of a learning step.

    `data` are the images to train on; `held_out` are held-out images of the classes that these are
    of, at most `MEASURED`, to measure on while training; `tasks` has the task of every column, and
    so has `task_of` [C] on the device; `known` is the number of columns before the step; `memory`
    are the exemplars, which the method selects at the end; `digests` [N, 32], on the CPU, are as in
    `StepData`. A method calls `pause` within long work other than training.
    """

    def __init__(
        self,
        spec: Spec,
        data: StepData,
        network: Network,
        preprocess: Preprocess,
        compute: Compute,
        initial_network: Callable[[], Network],
        pause: Pause = no_pause,
        compile_trunk: Compile = as_it_is,
    ) -> None:
        self.spec = spec
        self.network = network
        self.compute = compute
        self.tasks = data.tasks
        self.known = len(network.head.tasks)
        device = compute.device
        self.task_of = torch.tensor(data.tasks, device=device)
        home = data.images.device if data.on_disk else device
        self.data = ImageSet(
            data.images.to(home),
            data.columns.to(device),
            data.fresh.to(device),
            None if data.reencoded is None else data.reencoded.to(home),
            data.on_disk,
        )
        self.held_out = _measured(data, device)
        self.memory = ExemplarMemory(data.columns, data.fresh, data.sizes, len(data.tasks))
        self.digests = data.digests
        self.initial_network = initial_network
        self.pause = pause
        self._preprocess = preprocess
        self._compile = compile_trunk

    @property
    def seed(self) -> int:
        """The seed of this step, derived from the classifier's and the number of known columns."""
        return derive(self.spec.seed, "step", self.known)

    def features(
        self, positions: Tensor, *, flip: bool = False, backbone: Backbone | None = None
    ) -> Tensor:
        """Return L2-normalised float32 features [n, D] of the training images at positions [n].

        The rest as in `pooled`.
        """
        return functional.normalize(self.pooled(positions, flip=flip, backbone=backbone))

    def pooled(
        self,
        positions: Tensor,
        *,
        flip: bool = False,
        backbone: Backbone | None = None,
    ) -> Tensor:
        """Return float32 features [n, D] of the training images at positions [n].

        Images are in the form in which exemplars are stored. They are not augmented, but mirrored
        with `flip`. The backbone, here the network's as it is now, runs in eval mode.
        """
        backbone = (backbone or self.network.backbone).eval()
        positions = positions.to(self.data.home)
        side = self.data.images.shape[2]
        found = []
        with torch.inference_mode():
            for part in parts_of(len(positions), side, self.pause):
                batch = self.data.pixels(positions[part])
                pixels = self._preprocess(batch.flip(3) if flip else batch)
                pixels = pixels.contiguous(memory_format=torch.channels_last)
                found.append(backbone(pixels).pooled)
            return torch.cat(found)

    def extracted(self) -> Tensor:
        """Return float32 features [N, D] of all training images, as the job phase's only work.

        Images are as they were sent. The network is one that no step changes, so that a faster
        engine may run it.
        """
        backbone = self.network.backbone.eval()
        self.pause()
        run, tail = self._compile(Trunk(self._preprocess, backbone).eval()), backbone.tail()
        images = self.data.images
        with torch.inference_mode():
            found = [
                tail(run(batch.contiguous(memory_format=torch.channels_last)))
                for batch in inference_batches(images, self.compute.device, self.pause, whole=True)
            ]
            return torch.cat(found)

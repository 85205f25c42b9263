"""The interface of a method: all that a learning algorithm has to define.

A method knows nothing of loops, devices, precision, files or jobs; the trainer knows nothing of
losses. Hooks are called in this order::

    begin → phases → (forward, loss, after_optimizer_step)… → end_phase → … → end

Forgetting classes and correcting labels are hooks of their own, `forget` and `correct`. What
`servable` returns is calibrated afterwards, whatever the method: see `models.calibrated`.

Devices: a method never names a device and never moves a tensor. The learner puts the network and
the preprocessing on the device before it makes the method; what `load` and `load_working` get, and
every batch, is there too; after `begin` the trainer moves the blocks that the head has grown. So a
method makes tensors from those that it has (`zeros_like`, `new_tensor`, `clone`) and they are on
the device as well. What `state` and `working_state` return is copied to the CPU by the caller.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from models import regularizers
from models.batches import Batch, ImageSet
from models.classify import Servable, Softmax
from models.early_stopping import EarlyStopping
from models.errors import LearningError
from models.judging import LeftOut
from models.networks import Activations, Network
from models.options import Options
from models.preprocess import Preprocess
from models.regularizers import CSKDRegularizer
from models.schedules import Schedule, Steps
from models.spec import Spec
from models.state import Tensors
from models.step import Corrected, Step

OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class Needs:
    """What a method asks of the service. It is declared, so that no code tests for types.

    `exemplars`: a bounded memory of old images; `teacher`: the network as it was before the step;
    `task_id`: a task to predict within; `all_images`: every image ever learnt from; `once`: each
    image one time only, since what it adds cannot be told from another image's.
    """

    exemplars: bool = False
    teacher: bool = False
    task_id: bool = False
    all_images: bool = False
    once: bool = False

    @property
    def old_classes(self) -> bool:
        """Whether a step learns with something of the old classes' images, beside the new ones."""
        return self.exemplars or self.all_images or self.once


@dataclass(frozen=True)
class Setup:
    """The network that a method works with where none is named.

    `weights` are for this and other backbones whose weights are installed; `image_size` is null
    where the first images are to decide.
    """

    backbone: str = "resnet32"
    weights: str | None = None
    image_size: int | None = 32


@dataclass(frozen=True)
class Phase:
    """A training phase: a part of a step's training with one optimiser.

    The learning rate is multiplied by the factors of `schedule`, and with `stopping` the phase may
    end before its last epoch, with the weights of the best. A gradient longer than `max_grad_norm`,
    over all parameters of the optimiser, is scaled down to it. Modules in `frozen` stay in eval
    mode, so that batch norm's statistics do not move. (A job phase is another thing: what a job is
    at, such as ``training``.)
    """

    name: str
    images: ImageSet
    epochs: int
    batch_size: int
    optimizer: Optimizer
    schedule: Schedule = field(default_factory=Steps)
    max_grad_norm: float | None = None
    frozen: Sequence[nn.Module] = ()
    stopping: EarlyStopping | None = None


class Method(ABC, Generic[OptionsT]):
    """A learning algorithm over a network. Each has a file of its own in this folder."""

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[Needs] = Needs()
    setup: ClassVar[Setup] = Setup()
    Options: ClassVar[type[Options]]
    # Options that no later step can change: what a version has learnt rests on them.
    fixed: ClassVar[tuple[str, ...]] = ()
    # Whether no step changes the network's backbone.
    frozen: ClassVar[bool] = False
    # Ways to classify, the default first.
    classify: ClassVar[tuple[str, ...]] = ("softmax",)
    # The job phase in which `end` works.
    job_phase: ClassVar[str] = "selecting_exemplars"

    def __init__(self, options: OptionsT, network: Network, preprocess: Preprocess) -> None:
        self.options = options
        self.network = network
        self.preprocess = preprocess

    @classmethod
    def check(cls, spec: Spec, options: OptionsT) -> None:
        """Check, before there is a job, that this method can work with a spec.

        Raises InvalidSpecError.
        """

    @classmethod
    def prepare(cls, spec: Spec, network: Network) -> Network:
        """Return the network that this method works with, with an empty head: here, the spec's."""
        return network

    def begin(self, step: Step) -> None:
        """Prepare the network for the new classes: here, grow the head by their block."""
        added = len(step.tasks) - step.known
        if added:
            self.network.head.grow(step.tasks[-1], added, step.seed)

    @abstractmethod
    def phases(self, step: Step) -> Sequence[Phase]:
        """Return the training phases, in order."""

    def forward(self, images: Tensor) -> Activations:
        """Return the activations of normalised images [B, 3, S, S] in training."""
        activations: Activations = self.network(images)
        return activations

    def loss(self, step: Step, batch: Batch, outputs: Activations) -> Tensor:
        """Return the loss of a batch, a scalar: here, the cross-entropy of `view`."""
        logits = self.view(step, outputs.logits, batch.columns)
        return functional.cross_entropy(logits, batch.columns)

    def view(self, step: Step, logits: Tensor, columns: Tensor) -> Tensor:
        """Return the logits [B, C] for the softmax of cross-entropy and regularizer: here, all.

        `columns` [B] are the classes of the images.
        """
        return logits

    def regularizer(self, spec: Spec) -> CSKDRegularizer | None:
        """Return the regularizer that the trainer adds to the loss: here, the spec's."""
        return regularizers.build(spec.regularizer)

    def after_optimizer_step(self, step: Step, phase: Phase) -> None:
        """Act after the optimiser has moved the parameters: once per batch."""

    def end_phase(self, step: Step, phase: Phase) -> None:
        """Act at the end of a training phase."""

    def end(self, step: Step) -> None:
        """Finish the step: choose exemplars, measure importance, pack masks."""

    @classmethod
    def check_forget(cls, tasks: Sequence[int], columns: Sequence[int]) -> None:
        """Check, before there is a job, that this method can forget `columns`.

        `tasks` has the task of every column. Raises LearningError.
        """
        if len(set(columns)) == len(tasks):
            raise LearningError(
                "cannot-forget",
                "nothing would be left: delete the versions, or the classifier, instead",
            )

    def forget(self, columns: Sequence[int]) -> list[str]:
        """Remove all that belongs to these columns alone; the rest stays the same, to the bit.

        Return the names of the parts that were learnt from their images and stay, since other
        classes share them: here the backbone, with the preprocessing's mean and deviation, and the
        head, since their images were counterexamples for the rows of other classes.
        """
        self.network.head.remove(columns)
        return ["backbone", "head"]

    def left_out(self) -> LeftOut | None:
        """Return predictions of images that were trained on, each left out of what judges it.

        It is asked after `end`, `forget` or `correct`. None where that would take training again:
        here.
        """
        return None

    @classmethod
    def check_correct(cls, options: OptionsT) -> None:
        """Check, before there is a job, that what was trained on can be corrected.

        Raises LearningError.
        """

    def correct(self, step: Step, corrected: Corrected) -> list[str]:
        """Change labels of images that were trained on; `step` has the exemplars as they are to be.

        Return the names of the parts that were learnt with the labels before and stay: here
        backbone and head. Raises LearningError where an image cannot be corrected.
        """
        if corrected.edited:
            step.memory.keep_all()
        return ["backbone", "head"] if corrected.images else []

    def report(self) -> dict[str, Any]:
        """Return the method's own figures, for the version's metrics."""
        return {}

    def warnings(self) -> list[str]:
        """Return warnings about the step for the client who started it."""
        return []

    def servable(self, task: int | None = None, classify: str = "auto") -> Servable:
        """Return the module that predicts: for one task, or for all classes.

        Raises ValueError for a task or a way to classify that this method does not have.
        """
        self.way(classify)
        return Softmax(self.preprocess, self.network)

    @classmethod
    def offered(cls, parts: Collection[str]) -> tuple[str, ...]:
        """Return the ways to classify of a version that has these parts, the default first."""
        return cls.classify

    @classmethod
    def serves(cls, part: str) -> bool:
        """Say whether predictions need a part of a version; the others are not read for them."""
        return True

    def way(self, classify: str) -> str:
        """Resolve ``auto`` to the default way to classify.

        Raises ValueError for a way that this method does not have.
        """
        if classify == "auto":
            return self.classify[0]
        if classify not in self.classify:
            raise ValueError(f"{self.name} classifies by {' or '.join(self.classify)} only")
        return classify

    def state(self) -> dict[str, Tensors]:
        """Return the named parts that a version stores and `load` restores."""
        heads = {
            f"head.{task}": block.state_dict() for task, block in self.network.head.blocks.items()
        }
        return {
            "preprocess": self.preprocess.state(),
            "backbone": self.network.backbone.state_dict(),
            **heads,
        }

    def load(self, parts: dict[str, Tensors]) -> None:
        """Restore the parts other than network and preprocessing, which the learner restores."""

    def working_state(self) -> dict[str, Tensors]:
        """Return the parts of a checkpoint: the state, and what else training resumes from."""
        return self.state()

    def load_working(self, parts: dict[str, Tensors]) -> None:
        """Restore a checkpoint's parts other than the network, after `begin` and `phases`."""
        self.load(parts)

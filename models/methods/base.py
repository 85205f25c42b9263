"""The interface of a method: what a learning algorithm says, and all that it says.

A method knows nothing of loops, devices, precision, files or jobs; the trainer knows nothing of
losses. Hooks are called in this order::

    begin → phases → (loss, after_step)… → end_phase → … → end → calibrate

Forgetting classes is one hook of its own, `forget`, with `calibrate` after it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from models import regularizers
from models.batches import Batch, ImageSet
from models.classify import Output, Servable, Softmax
from models.errors import LearningError
from models.networks import Activations, Network
from models.options import Options
from models.preprocess import Preprocess
from models.regularizers import CSKD
from models.spec import Spec
from models.state import Tensors
from models.step import Step

OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class Needs:
    """What a method asks of the service. Declared, never found out by testing types.

    `exemplars`: a bounded memory of old images; `teacher`: the network as it was before the step;
    `task_id`: a task to predict within; `all_images`: every image ever learnt from.
    """

    exemplars: bool = False
    teacher: bool = False
    task_id: bool = False
    all_images: bool = False


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one optimiser.

    The learning rate is multiplied by `lr_decay` at each of `milestones`, fractions of the phase's
    steps. Modules in `frozen` stay in eval mode, so that batch norm's statistics do not move.
    """

    name: str
    images: ImageSet
    epochs: int
    batch_size: int
    optimizer: Optimizer
    milestones: tuple[float, ...] = ()
    lr_decay: float = 0.1
    frozen: Sequence[nn.Module] = ()


@dataclass(frozen=True)
class Loss:
    """What to minimise, and its named parts for those who watch."""

    total: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)


class Method(ABC, Generic[OptionsT]):
    """A learning algorithm over a network. One file each in this folder."""

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[Needs] = Needs()
    Options: ClassVar[type[Options]]
    # Ways to classify, the default first.
    classify: ClassVar[tuple[str, ...]] = ("softmax",)

    def __init__(self, options: OptionsT, network: Network, preprocess: Preprocess) -> None:
        self.options = options
        self.network = network
        self.preprocess = preprocess

    @classmethod
    def check(cls, spec: Spec, options: OptionsT) -> None:
        """Refuse, before there is a job, what makes no sense with this method.

        Raises InvalidSpecError.
        """

    def begin(self, step: Step) -> None:
        """Prepare the network for the new classes: here, grow the head by their block."""
        added = len(step.tasks) - step.known
        if added:
            self.network.head.grow(step.tasks[-1], added, step.seed)

    @abstractmethod
    def phases(self, step: Step) -> Sequence[Phase]:
        """Return the phases of training, in order."""

    def forward(self, images: Tensor) -> Activations:
        """Return the activations of normalised images [B, 3, S, S] in training."""
        activations: Activations = self.network(images)
        return activations

    @abstractmethod
    def loss(self, step: Step, batch: Batch, outputs: Activations) -> Loss:
        """Return the loss of a batch, given the network's activations of it."""

    def view(self, step: Step, logits: Tensor, columns: Tensor) -> Tensor:
        """Return the logits [B, C] whose softmax the method's cross-entropy takes.

        `columns` [B] are the classes of the images. A regularizer sees the same softmax.
        """
        return logits

    def regularizer(self, spec: Spec) -> CSKD | None:
        """Return what the trainer adds to the loss: here, what the spec asks for."""
        return regularizers.build(spec.regularizer)

    def after_step(self, step: Step, phase: Phase) -> None:
        """Act after the optimiser has moved the parameters."""

    def end_phase(self, step: Step, phase: Phase) -> None:
        """Act between this phase and the next."""

    def end(self, step: Step) -> None:
        """Finish the step: choose exemplars, measure importance, pack masks."""

    def calibrate(self, held_out: Output, columns: Tensor) -> None:
        """Fit what only held-out images can tell, from their predictions; columns [H]."""

    @classmethod
    def check_forget(cls, tasks: Sequence[int], columns: Sequence[int]) -> None:
        """Refuse, before there is a job, what this method cannot forget.

        `tasks` has the task of every column, `columns` are those to forget. Raises LearningError.
        """
        if len(set(columns)) == len(tasks):
            raise LearningError(
                "cannot-forget",
                "nothing would be left: delete the versions, or the classifier, instead",
            )

    def forget(self, columns: Sequence[int]) -> list[str]:
        """Remove all that is these columns' own; what is left of others stays as it is, to the bit.

        Return the names of what was learnt from their images and stays, since others share it:
        here the backbone, and with it the mean and deviation of the preprocessing, and the rows of
        the head for other classes, which their images were counterexamples of.
        """
        self.network.head.remove(columns)
        return ["backbone", "head"]

    def report(self) -> dict[str, Any]:
        """Return figures of the method's own, for the version's metrics."""
        return {}

    def warnings(self) -> list[str]:
        """Return what whoever started the step should be told of it."""
        return []

    def servable(self, task: int | None = None, classify: str = "auto") -> Servable:
        """Return the module that predicts: for one task, or for all classes.

        Raises ValueError for a task or a way to classify that this method does not have.
        """
        self.way(classify)
        return Softmax(self.preprocess, self.network)

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
        """Return the named parts that `load` restores the method from."""
        heads = {
            f"head.{task}": block.state_dict() for task, block in self.network.head.blocks.items()
        }
        return {
            "preprocess": self.preprocess.state(),
            "backbone": self.network.backbone.state_dict(),
            **heads,
        }

    def load(self, parts: dict[str, Tensors]) -> None:
        """Restore the parts beyond network and preprocessing, which are restored already."""

    def working_state(self) -> dict[str, Tensors]:
        """Return the parts of a checkpoint: the state, and what else training goes on from."""
        return self.state()

    def load_working(self, parts: dict[str, Tensors]) -> None:
        """Restore a checkpoint's parts beyond the network, after `begin` and `phases`."""
        self.load(parts)

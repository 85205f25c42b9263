"""LwM: learning without memorizing (Dhar et al., CVPR 2019)."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from models import networks
from models.attention import class_activation_map, grad_cam
from models.batches import Batch
from models.errors import InvalidSpecError
from models.methods.base import Needs, Phase
from models.methods.distillation import (
    sigmoid_cross_entropy,
    soft_cross_entropy,
    soft_cross_entropy_by_task,
)
from models.methods.heads import TaskHeads
from models.methods.sgd import sgd_phase
from models.networks import Activations
from models.options import SGDOptions
from models.spec import Spec
from models.step import Step


class LwMOptions(SGDOptions):
    """Options of LwM."""

    beta: float = Field(1.0, ge=0, le=1000, description="Weight of distillation.")
    gamma: float = Field(
        1.0, ge=0, le=1000, description="Weight of attention; 0.1 to 10 are worth trying."
    )
    distill: Literal["bce", "softmax"] = Field(
        "bce",
        description="What the old logits are compared by: sigmoids, as in the paper, or "
        "softmaxes at `temperature`.",
    )
    heads: Literal["single", "per_task"] = Field(
        "per_task",
        description="Which classes compete in a softmax. per_task: those of a task. single: all; "
        "then new classes, whose images are the only ones, soon drown the old.",
    )
    attention_class: Literal["student_top_old", "teacher_top"] = Field(
        "student_top_old",
        description="The old class whose attention is compared: the likeliest by the network in "
        "training, or by the network before the step.",
    )
    temperature: float = Field(
        2.0, gt=0, le=1000, description="What logits are divided by for softmax distillation."
    )


class LwM(TaskHeads[LwMOptions]):
    """Attends to what it attended to and answers as before, while it learns from new images."""

    name = "lwm"
    summary = "Keeps no image: attention and answers on new images stay as before."
    paper = "Dhar, Singh, Peng, Wu, Chellappa: Learning without Memorizing, CVPR 2019"
    needs = Needs(teacher=True)
    Options = LwMOptions

    taught: Tensor  # the head's weights before the step [C, D]

    @classmethod
    def check(cls, spec: Spec, options: LwMOptions) -> None:
        """Refuse backbones without a feature map."""
        if not networks.has_feature_map(spec.backbone):
            raise InvalidSpecError(
                "/backbone",
                f"lwm compares where networks look, and {spec.backbone} has no feature map for it",
            )

    def begin(self, step: Step) -> None:
        """Store the weights of the head, then grow it."""
        if step.known:
            self.taught = self.network.head.weight.detach().clone()
        super().begin(step)

    def phases(self, step: Step) -> Sequence[Phase]:
        """Train every weight in one phase."""
        return [sgd_phase(self.options, step, self.network.parameters())]

    def view(self, step: Step, logits: Tensor, columns: Tensor) -> Tensor:
        """Return all logits, or with `per_task` those of each image's own head."""
        single = self.options.heads == "single"
        return logits if single else super().view(step, logits, columns)

    def loss(self, step: Step, batch: Batch, outputs: Activations) -> Tensor:
        """Return cross-entropy + β · distillation + γ · attention distillation (eq. 3)."""
        options = self.options
        total = super().loss(step, batch, outputs)
        if step.known and (options.beta or options.gamma):
            teacher = self._teacher(batch)
            if options.beta:
                total = total + options.beta * self._distillation(step, outputs, teacher)
            if options.gamma:
                maps = self._maps(step, outputs, teacher)
                total = total + options.gamma * attention_loss(*maps)
        return total

    def warnings(self) -> list[str]:
        """Warn of a task with a single class, where each task has its own softmax."""
        return [] if self.options.heads == "single" else super().warnings()

    def _teacher(self, batch: Batch) -> Activations:
        """Return the teacher's activations, differentiable where its attention needs gradients."""
        if self.network.backbone.mean_pooled or not self.options.gamma:
            return batch.teacher
        return batch.ask_teacher(batch.images.detach().requires_grad_())

    def _distillation(self, step: Step, outputs: Activations, teacher: Activations) -> Tensor:
        options, tasks = self.options, step.tasks[: step.known]
        student, target = outputs.logits[:, : step.known], teacher.logits.detach()
        if options.distill == "bce":
            return sigmoid_cross_entropy(student, target)
        if options.heads == "single":
            return soft_cross_entropy(student, target, options.temperature)
        return soft_cross_entropy_by_task(student, target, tasks, options.temperature)

    def _maps(
        self, step: Step, outputs: Activations, teacher: Activations
    ) -> tuple[Tensor, Tensor]:
        """Return the attention of student and teacher for the same old class, each [B, h, w]."""
        assert outputs.feature_map is not None  # noqa: S101 - see `check`
        assert teacher.feature_map is not None  # noqa: S101
        judge = outputs if self.options.attention_class == "student_top_old" else teacher
        top = judge.logits[:, : step.known].argmax(dim=1)
        if self.network.backbone.mean_pooled:
            return (
                class_activation_map(outputs.feature_map, self.network.head.weight[top]),
                class_activation_map(teacher.feature_map, self.taught[top]).detach(),
            )
        student_scores, teacher_scores = (
            of.logits.gather(1, top[:, None]).squeeze(1) for of in (outputs, teacher)
        )
        return (
            grad_cam(outputs.feature_map, student_scores, create_graph=True),
            grad_cam(teacher.feature_map, teacher_scores).detach(),
        )


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the L1 distance of L2-normalised maps [B, h, w], averaged over the batch (eq. 2).

    It lies within 0 and √(2hw). An image whose teacher map is zero everywhere adds nothing.
    """
    student, teacher = student.flatten(1), teacher.flatten(1)
    distance = functional.normalize(student) - functional.normalize(teacher)
    return (distance.abs().sum(dim=1) * teacher.any(dim=1)).mean()

"""LwF: learning without forgetting (Li & Hoiem, ECCV 2016)."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field
from torch import Tensor

from models.batches import Batch
from models.methods.base import Needs, Phase
from models.methods.distillation import soft_cross_entropy_by_task
from models.methods.heads import TaskHeads
from models.methods.sgd import sgd_phase, usual_epochs
from models.networks import Activations
from models.options import SGDOptions
from models.schedules import Steps
from models.step import Step


class LwFOptions(SGDOptions):
    """Options of LwF."""

    temperature: float = Field(
        2.0, gt=0, le=1000, description="What logits are divided by before they are distilled."
    )
    weight: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Weight of distillation; 3 is usual where all classes compete.",
    )
    warm_up: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="Epochs that train the new classes' head alone at first; a tenth of `epochs` "
        "where null, at least 1. There are none where there is nothing to protect yet.",
    )


class LwF(TaskHeads[LwFOptions]):
    """Answers as before on the old heads while it learns a new one, from new images alone."""

    name = "lwf"
    summary = "Keeps no image: old heads must answer as before on the new images; one head a task."
    paper = "Li, Hoiem: Learning without Forgetting, ECCV 2016"
    needs = Needs(teacher=True)
    Options = LwFOptions

    def phases(self, step: Step) -> Sequence[Phase]:
        """Warm up the new head, then train all weights (section 3)."""
        main = sgd_phase(self.options, step, self.network.parameters())
        warm_up = self._warm_up(step)
        return [warm_up, main] if warm_up.epochs else [main]

    def _warm_up(self, step: Step) -> Phase:
        """Train the new head alone: a random head's gradients would harm the trained weights."""
        options = self.options
        block = self.network.head.blocks[str(step.tasks[-1])]
        phase = sgd_phase(options, step, block.parameters())
        usual = max(1, usual_epochs(options) // 10)
        epochs = usual if options.warm_up is None else options.warm_up
        grown = len(step.tasks) > step.known
        trained = bool(step.known) or step.spec.weights is not None
        return replace(
            phase,
            name="warm-up",
            epochs=epochs if grown and trained else 0,
            schedule=Steps(),
            frozen=[self.network.backbone],
            stopping=None,
        )

    def loss(self, step: Step, batch: Batch, outputs: Activations) -> Tensor:
        """Return cross-entropy within the task + weight · distillation of each old head (eq. 1)."""
        classification = super().loss(step, batch, outputs)
        logits, old = outputs.logits, step.known
        if not old or not self.options.weight:
            return classification
        distillation = soft_cross_entropy_by_task(
            logits[:, :old], batch.teacher.logits, step.tasks[:old], self.options.temperature
        )
        return classification + self.options.weight * distillation

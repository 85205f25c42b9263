"""Finetuning: the lower bound, which shows catastrophic forgetting."""

from collections.abc import Sequence

from torch.nn import functional

from models.batches import Batch
from models.methods.base import Loss, Method, Phase
from models.methods.sgd import sgd_phase
from models.networks import Activations
from models.options import SGDOptions
from models.step import Step


class Finetune(Method[SGDOptions]):
    """Cross-entropy over all classes, on the new images alone. Nothing protects old classes."""

    name = "finetune"
    summary = "Trains on the new images alone and forgets the old classes: the lower bound."
    paper = "the baseline of Rebuffi et al., CVPR 2017, section 4"
    Options = SGDOptions

    def phases(self, step: Step) -> Sequence[Phase]:
        """Train every weight in one phase."""
        return [sgd_phase(self.options, step.data, self.network.parameters())]

    def loss(self, step: Step, batch: Batch, outputs: Activations) -> Loss:
        """Return softmax cross-entropy over all columns."""
        return Loss(functional.cross_entropy(outputs.logits, batch.columns))

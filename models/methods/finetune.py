"""Finetuning: the lower bound, which shows catastrophic forgetting."""

from collections.abc import Sequence

from models.methods.base import Method, Phase
from models.methods.sgd import sgd_phase
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
        return [sgd_phase(self.options, step, self.network.parameters())]

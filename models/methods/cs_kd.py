"""CS-KD as a method: cross-entropy and class-wise self-distillation (Yun et al., CVPR 2020)."""

from collections.abc import Sequence

from models.errors import InvalidSpecError
from models.methods.base import Method, Phase
from models.methods.sgd import sgd_phase
from models.options import SGDOptions
from models.regularizers import CSKDOptions, CSKDRegularizer
from models.spec import Spec
from models.step import Step


class CSKDMethodOptions(SGDOptions, CSKDOptions):
    """The options of training and of the regularizer."""


class CSKDMethod(Method[CSKDMethodOptions]):
    """Cross-entropy over all classes with the regularizer `cs_kd`, on the new images alone."""

    name = "cs_kd"
    summary = "Predicts images of a class alike, for better first tasks; holds no old class."
    paper = "Yun, Park, Lee, Shin: Regularizing Class-wise Predictions via Self-KD, CVPR 2020"
    Options = CSKDMethodOptions

    @classmethod
    def check(cls, spec: Spec, options: CSKDMethodOptions) -> None:
        """Refuse a second regularizer beside the one built in."""
        if spec.regularizer is not None:
            raise InvalidSpecError(
                "/regularizer", "cs_kd has it built in: set options.temperature and options.weight"
            )

    def phases(self, step: Step) -> Sequence[Phase]:
        """Train every weight in one phase."""
        return [sgd_phase(self.options, step, self.network.parameters())]

    def regularizer(self, spec: Spec) -> CSKDRegularizer:
        """Return the regularizer with the method's own options."""
        return CSKDRegularizer(self.options)

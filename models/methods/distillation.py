"""Losses that hold a network to what its teacher said."""

from torch import Tensor
from torch.nn import functional


def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of softened softmaxes, averaged over the batch (Li & Hoiem 2016).

    `student` and `teacher` are logits [B, C]. There is no factor T²: the gradient with respect to
    the student is (softmax(student/T) − softmax(teacher/T)) / (T·B).
    """
    target = (teacher / temperature).softmax(dim=1)
    return functional.cross_entropy(student / temperature, target)

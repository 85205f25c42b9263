"""Distillation losses: they hold a network to its teacher's outputs."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of softened softmaxes, averaged over the batch (Li & Hoiem 2016).

    `student` and `teacher` are logits [B, C]. There is no factor T²: the gradient with respect to
    the student is (softmax(student/T) − softmax(teacher/T)) / (T·B).
    """
    target = (teacher / temperature).softmax(dim=1)
    return functional.cross_entropy(student / temperature, target)


def soft_cross_entropy_by_task(
    student: Tensor, teacher: Tensor, tasks: Sequence[int], temperature: float
) -> Tensor:
    """Return the sum of `soft_cross_entropy` over tasks, each with a softmax of its own.

    `student` and `teacher` are logits [B, C]. `tasks` has the task of each column; the columns of a
    task are adjacent.
    """
    widths = [tasks.count(task) for task in dict.fromkeys(tasks)]
    pairs = zip(student.split(widths, dim=1), teacher.split(widths, dim=1), strict=True)
    return torch.stack([soft_cross_entropy(*pair, temperature) for pair in pairs]).sum()


def sigmoid_cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the binary cross-entropies of sigmoids, summed over columns, averaged over the batch.

    `student` and `teacher` are logits [B, C]. The gradient with respect to the student is
    (sigmoid(student) − sigmoid(teacher)) / B.
    """
    target = teacher.sigmoid()
    total = functional.binary_cross_entropy_with_logits(student, target, reduction="sum")
    return total / len(student)

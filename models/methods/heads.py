"""The head seen task by task: which columns compete for which image."""

from collections.abc import Sequence

import torch
from torch import Tensor

# Far below any logit, yet finite: exp gives an exact 0 and 0 · log 0 stays 0, so that log-softmax
# and divergences between masked logits have neither infinities nor NaNs.
_OUT = -1e9


def within_task(logits: Tensor, columns: Tensor, tasks: Sequence[int]) -> Tensor:
    """Return logits [B, C] with each row's columns of other tasks out of its softmax.

    A row's own task is that of its class, `columns` [B]; `tasks` has the task of every column. So
    an image is taught within its task's head, also where classes of several tasks get images.
    """
    task_of = torch.tensor(tasks, device=logits.device)
    rivals = task_of[None, :] == task_of[columns][:, None]
    return logits.masked_fill(~rivals, _OUT)


def task_columns(tasks: Sequence[int], task: int) -> Tensor:
    """Return the positions (int64) of a task's columns."""
    return torch.tensor([column for column, own in enumerate(tasks) if own == task])


def lone_class_warnings(tasks: Sequence[int]) -> list[str]:
    """Return what to say where the newest task has one class, and so no other to tell it from."""
    if tasks.count(tasks[-1]) > 1:
        return []
    return [
        "the new task has a single class: within its own head there is nothing to tell it from, so "
        "hardly anything was learnt; give two or more classes a step"
    ]

"""The head seen task by task: which columns compete for which image."""

from collections.abc import Sequence

from torch import Tensor

from models.methods.base import Method, OptionsT
from models.step import Step

# Far below any logit, yet finite: exp gives an exact 0 and 0 · log 0 stays 0, so that log-softmax
# and divergences between masked logits have neither infinities nor NaNs.
_OUT = -1e9


def rivals(columns: Tensor, tasks: Tensor) -> Tensor:
    """Return a boolean [B, C]: which columns belong to the task of each image.

    `columns` [B] are the images' classes; `tasks` [C] has the task of every column.
    """
    return tasks[None, :] == tasks[columns][:, None]


def within_task(logits: Tensor, columns: Tensor, tasks: Tensor) -> Tensor:
    """Return logits [B, C] in which the columns of other tasks are out of each row's softmax.

    Arguments are those of `rivals`. So an image is taught within the head of its own task, even
    where classes of several tasks get images.
    """
    return logits.masked_fill(~rivals(columns, tasks), _OUT)


def task_columns(tasks: Sequence[int], task: int) -> list[int]:
    """Return the columns of a task."""
    return [column for column, own in enumerate(tasks) if own == task]


def lone_class_warnings(tasks: Sequence[int]) -> list[str]:
    """Return a warning where the newest task has one class, and so no other to tell it from."""
    if tasks.count(tasks[-1]) > 1:
        return []
    return [
        "the new task has a single class: within its own head there is nothing to tell it from, so "
        "hardly anything was learnt: forget the class and learn it together with another, or take "
        "a method that tells all classes apart (analytic, icarl, replay, joint)"
    ]


class TaskHeads(Method[OptionsT]):
    """A method for which each task has a softmax of its own."""

    def view(self, step: Step, logits: Tensor, columns: Tensor) -> Tensor:
        """Return the logits with the columns of other tasks out of each image's softmax."""
        return within_task(logits, columns, step.task_of)

    def warnings(self) -> list[str]:
        """Warn of a new task with a single class."""
        return lone_class_warnings(self.network.head.tasks)

"""What the annotations of a task say: the class of its image."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from app.services.label_studio.labelling_config import LabellingConfig
from app.services.labels import named


class UnclearError(Exception):
    """The annotations do not say of which one class the image is; the text says why."""


class Result(BaseModel):
    """A part of an annotation: what one tag was given."""

    from_name: str = ""
    type: str = ""
    value: dict[str, Any] = {}


class Annotation(BaseModel):
    """What one person says of a task."""

    result: list[Result] = []
    was_cancelled: bool | None = False
    ground_truth: bool | None = False


class AnnotatedTask(BaseModel):
    """A task as Label Studio exports it."""

    id: int
    data: dict[str, Any]
    annotations: list[Annotation] = []


def label_of(task: AnnotatedTask, config: LabellingConfig) -> str | None:
    """Return the class that a task's annotations name; None if they name none.

    Those that are the ground truth decide, if there are any. Skipped tasks have no class. Raises
    UnclearError where classes differ, or several were chosen.
    """
    given = [each for each in task.annotations if not each.was_cancelled]
    deciding = [each for each in given if each.ground_truth] or given
    chosen = [labels for each in deciding if (labels := tuple(_chosen(each.result, config)))]
    different = list(dict.fromkeys(chosen))
    if not different:
        return None
    if len(different) > 1:
        names = named(list(dict.fromkeys(label for labels in different for label in labels)))
        raise UnclearError(f"its annotations differ: {names}")
    if len(different[0]) > 1:
        raise UnclearError(f"it has several classes: {named(different[0])}")
    return different[0][0]


def _chosen(results: Iterable[Result], config: LabellingConfig) -> list[str]:
    return [
        str(choice)
        for result in results
        if result.type == "choices" and result.from_name == config.choices
        for choice in result.value.get("choices") or ()
    ]

"""The result of teaching one row of a comparison with one seed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from models.matrices import Row, average, forgetting


@dataclass(frozen=True)
class StepAccuracy:
    """Accuracies in [0, 1] after one step: over all classes so far, and by task.

    Those called `aware` are measured with the task given.
    """

    accuracy: float | None
    by_task: Row
    aware_accuracy: float | None
    aware_by_task: Row

    @classmethod
    def from_metrics(cls, metrics: dict[str, Any]) -> Self:
        """Read the metrics that the service keeps of a version."""
        return cls(
            metrics["accuracy"],
            metrics["matrix"][-1],
            metrics["task_aware_accuracy"],
            metrics["task_aware_matrix"][-1],
        )


class Course(BaseModel):
    """How a classifier did over the sequence of tasks.

    Accuracies are in [0, 1], one for each step; `models.matrices` describes the matrices. Those
    called `aware` are measured with the task given; rows with a classifier for each task have no
    others. `seconds` is how long the jobs ran, all together. `calibration_error` and
    `unknown_noticed`, the estimated share of images of other classes that are noticed, are those
    of the last version in its default way to classify; null for other ways.
    """

    model_config = ConfigDict(frozen=True)

    classifiers: list[str]
    accuracies: Row
    matrix: list[Row]
    aware_accuracies: Row
    aware_matrix: list[Row]
    router_accuracy: float | None
    exemplars: int
    size_bytes: int
    new_bytes: int
    seconds: float
    calibration_error: float | None = None
    unknown_noticed: float | None = None

    @property
    def last(self) -> float | None:
        """Accuracy over all classes at the end."""
        return self.accuracies[-1]

    @property
    def aware_last(self) -> float | None:
        """Accuracy over all classes at the end, with the task given."""
        return self.aware_accuracies[-1]

    @property
    def average(self) -> float | None:
        """Average incremental accuracy."""
        return average(self.accuracies)

    @property
    def forgetting(self) -> float | None:
        """Forgetting without the task."""
        return forgetting(self.matrix)

    @property
    def aware_forgetting(self) -> float | None:
        """Forgetting with the task given."""
        return forgetting(self.aware_matrix)

    @classmethod
    def of_separate(cls, courses: Sequence[Self], images: Sequence[int]) -> Self:
        """Combine courses of one task each; `images` counts the held-out images of each."""
        alone = [course.accuracies[0] or 0.0 for course in courses]
        right = [accuracy * count for accuracy, count in zip(alone, images, strict=True)]
        steps = range(1, len(courses) + 1)
        return cls(
            classifiers=[name for course in courses for name in course.classifiers],
            accuracies=[None for _ in steps],
            matrix=[[None] * step for step in steps],
            aware_accuracies=[sum(right[:step]) / sum(images[:step]) for step in steps],
            aware_matrix=[list(alone[:step]) for step in steps],
            router_accuracy=None,
            exemplars=sum(course.exemplars for course in courses),
            size_bytes=sum(course.size_bytes for course in courses),
            new_bytes=courses[-1].new_bytes,
            seconds=sum(course.seconds for course in courses),
        )


@dataclass
class CourseBuilder:
    """Collects the measurements of a course, step by step."""

    default_classify: bool = True
    steps: list[StepAccuracy] = field(default_factory=list)
    seconds: float = 0.0

    def build(self, classifier: str, version: dict[str, Any]) -> Course:
        """Return the course of a classifier, of which `version` is the last."""
        return Course(
            classifiers=[classifier],
            accuracies=[step.accuracy for step in self.steps],
            matrix=[step.by_task for step in self.steps],
            aware_accuracies=[step.aware_accuracy for step in self.steps],
            aware_matrix=[step.aware_by_task for step in self.steps],
            router_accuracy=version["metrics"]["router_accuracy"],
            exemplars=version["memory"]["exemplars"],
            size_bytes=version["size_bytes"],
            new_bytes=version["new_bytes"],
            seconds=round(self.seconds, 1),
            **(_of_scores(version["metrics"]) if self.default_classify else {}),
        )


def _of_scores(metrics: dict[str, Any]) -> dict[str, float | None]:
    return {
        "calibration_error": metrics["calibration_error"],
        "unknown_noticed": (metrics["unknown"] or {}).get("detected"),
    }

"""What jobs report besides the version that they make: a view for each kind that has one."""

from typing import Literal

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from app.services.jobs.advice_view import AdviceView
from app.services.jobs.evaluation_view import EvaluationView


class ForgottenView(BaseModel):
    """The report of a job that forgot classes."""

    kind: Literal["forget"] = "forget"
    forgotten: list[str] = Field(
        description="The labels in the order of their former indices; labels that were only "
        "purged come last."
    )
    tasks: list[int] = Field(description="Tasks that have no class left.")
    residual: list[str] = Field(
        description="Parts that were also learnt from these classes' images and stay, because "
        "other classes share them: `backbone`, `head`, `masks` or `importance`."
    )
    purged: "PurgedView | None" = Field(description="What was deleted; null without `purge`.")


class PurgedView(BaseModel):
    """What a purge deleted besides images and tensors."""

    versions: list[int]
    uploads: list[str]


class CorrectedView(BaseModel):
    """What became of an image."""

    sha256: str = Field(description="That of its file, or of the first one of its picture.")
    before: list[str] = Field(description="The labels that it had.")
    label: str | None = Field(description="The label that it has; null: it is left out.")
    used: Literal["trained", "exemplar", "held_out"] = Field(
        description="What the version does with it: `trained` on, and perhaps kept as an "
        "`exemplar`, or only measured on."
    )


class CorrectionsView(BaseModel):
    """The report of a job that corrected images."""

    kind: Literal["correct"] = "correct"
    images: list[CorrectedView] = Field(description="In the order of the request.")
    residual: list[str] = Field(
        description="Parts that were learnt with the labels before and stay as they are: "
        "`backbone`, `head`, `masks`, `importance` or `router`. Empty where the version is as if "
        "the images had always had their labels."
    )


_Report = ForgottenView | CorrectionsView | AdviceView | EvaluationView
ReportView = TypeAliasType("ReportView", _Report)
# By kind of job.
REPORTS: dict[str, type[_Report]] = {
    "forget": ForgottenView,
    "correct": CorrectionsView,
    "advise": AdviceView,
    "evaluate": EvaluationView,
}

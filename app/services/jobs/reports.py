"""What jobs report besides the version that they make: a view for each kind that has one."""

from typing import Literal

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from app.services.jobs.advice_view import AdviceView
from app.services.jobs.evaluation_view import EvaluationView


class ForgottenView(BaseModel):
    """The report of a job that forgot classes."""

    kind: Literal["forget"] = "forget"
    forgotten: list[str]
    tasks: list[int] = Field(description="Without a class left.")
    residual: list[str] = Field(description="Parts that stay as they were learnt.")
    purged: "PurgedView | None"


class PurgedView(BaseModel):
    """What a purge deleted besides images and tensors."""

    versions: list[int]
    uploads: list[str]


class CorrectedView(BaseModel):
    """What became of an image."""

    sha256: str
    before: list[str]
    label: str | None = Field(description="Null: it is left out.")
    used: Literal["trained", "exemplar", "held_out"]


class CorrectionsView(BaseModel):
    """The report of a job that corrected images."""

    kind: Literal["correct"] = "correct"
    images: list[CorrectedView]
    residual: list[str] = Field(description="Parts that stay as they were learnt.")


_Report = ForgottenView | CorrectionsView | AdviceView | EvaluationView
ReportView = TypeAliasType("ReportView", _Report)
# By kind of job.
REPORTS: dict[str, type[_Report]] = {
    "forget": ForgottenView,
    "correct": CorrectionsView,
    "advise": AdviceView,
    "evaluate": EvaluationView,
}

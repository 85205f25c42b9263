"""``/v1/doctor``: what `accrue doctor` says of the installation."""

from pydantic import BaseModel, Field

from app.api.access import Router, needs
from app.api.deps import Caller, Config
from app.api.problems import responses
from app.doctor.apart import examine_apart
from app.doctor.findings import CheckContext, State

router = Router(prefix="/v1", tags=["health"], dependencies=[needs("admin")])


class FindingView(BaseModel):
    """The result of one check."""

    check: str
    state: State
    what: str
    help: str = Field(description="What to do.")


class Examination(BaseModel):
    """The results of all checks."""

    ok: bool
    findings: list[FindingView]


@router.get("/doctor", responses=responses())
def examine(settings: Config, caller: Caller) -> Examination:
    """Check the installation, which takes some seconds.

    For keys of the workspace `default`: it shows paths, and names of every workspace.
    """
    caller.require_operator()
    found = examine_apart(CheckContext(settings, url=None))
    return Examination(
        ok=not any(each.state == "problem" for each in found),
        findings=[FindingView(**vars(each)) for each in found],
    )

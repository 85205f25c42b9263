"""What Label Studio sends. It sends more than is needed here, which is passed over."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

_LONGEST = 10**6


def _project_id(given: Any) -> Any:
    """Return the id in ``12.1764460000``, which is followed by when the project was made."""
    if isinstance(given, dict):
        given = given.get("id")
    return given.partition(".")[0] if isinstance(given, str) else given


class SetupBody(BaseModel):
    """A project that is to be connected."""

    labelling_config: str = Field(alias="schema", max_length=_LONGEST)


class Task(BaseModel):
    """A task, whose data has the image."""

    id: int | None = None
    data: dict[str, Any]


class PredictBody(BaseModel):
    """Tasks to predict."""

    tasks: list[Task]
    labelling_config: str = Field(alias="label_config", max_length=_LONGEST)


class TrainBody(BaseModel):
    """A project to learn."""

    project: Annotated[int, BeforeValidator(_project_id), Field(ge=1)]


class WebhookBody(BaseModel):
    """Something that happened in a project."""

    action: str
    project: Annotated[int | None, BeforeValidator(_project_id), Field(ge=1)] = None

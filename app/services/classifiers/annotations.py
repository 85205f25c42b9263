"""What users note about classifiers and versions. It is stored and shown, and nothing reads it."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from app.services.requests import RequestBody
from models.json_values import Text

Description = Annotated[Text, StringConstraints(max_length=1000)]
Metadata = Annotated[
    dict[
        Annotated[Text, StringConstraints(min_length=1, max_length=64)],
        Annotated[Text, StringConstraints(max_length=512)],
    ],
    Field(
        max_length=16,
    ),
]


class Annotations(BaseModel):
    """What is noted about a classifier or a version."""

    description: Description = ""
    metadata: Metadata = {}


class AnnotationsPatch(RequestBody):
    """What is to be noted instead; `metadata` takes the place of all that was there."""

    description: Description | None = None
    metadata: Metadata | None = None

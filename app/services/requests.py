"""What request bodies have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

UploadId = Annotated[str, StringConstraints(pattern=r"^upl_[0-9a-z]+$", max_length=64)]


class RequestBody(BaseModel):
    """Base of every JSON body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

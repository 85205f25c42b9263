"""The labelled images of an upload, as clients see them."""

from pydantic import BaseModel, Field

from app.db.engine import Database
from app.db.repositories import uploads as upload_rows
from app.db.rows import columns_of
from app.services.uploads.sources import Split
from app.services.uploads.uploads import UploadNotFoundError


class UploadImageView(BaseModel):
    """A labelled image of an upload."""

    position: int
    name: str = Field(description="That of its file.")
    sha256: str
    label: str
    split: Split
    group: str | None = Field(description="What it was taken in, if that was named.")


def page(
    db: Database, workspace: str, upload_id: str, *, limit: int, after: int | None
) -> list[UploadImageView]:
    """Return up to `limit` images of an upload, behind a position. Raises UploadNotFoundError."""
    with db.reading() as session:
        if upload_rows.find(session, workspace, upload_id) is None:
            raise UploadNotFoundError("There is no such upload.")
        found = upload_rows.page_of_images(session, upload_id, limit=limit, after=after)
        return [UploadImageView.model_validate(columns_of(row)) for row in found]

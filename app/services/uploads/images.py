"""The labelled images of an upload, as clients see them."""

from collections.abc import Sequence

from pydantic import BaseModel

from app.db.engine import Database
from app.db.repositories import uploads as upload_rows
from app.db.repositories.uploads import Among
from app.db.rows import columns_of
from app.errors import FieldError
from app.services.classifiers.versions import ImageNotFoundError
from app.services.uploads import uploads
from app.services.uploads.sources import Split
from app.services.uploads.uploads import UploadView


class UploadImageView(BaseModel):
    """A labelled image of an upload."""

    position: int
    name: str
    sha256: str
    label: str
    split: Split
    group: str | None


def page(
    db: Database,
    workspace: str,
    upload_id: str,
    *,
    label: str | None,
    split: Split | None,
    limit: int,
    after: int | None,
) -> list[UploadImageView]:
    """Return up to `limit` images of an upload, behind a position. Raises UploadNotFoundError."""
    among = Among(label, split)
    with db.reading() as session:
        uploads.require(session, workspace, upload_id)
        found = upload_rows.page_of_images(session, upload_id, among, limit=limit, after=after)
        return [UploadImageView.model_validate(columns_of(row)) for row in found]


def delete(
    db: Database,
    workspace: str,
    upload_id: str,
    *,
    hashes: Sequence[str],
    label: str | None,
    split: Split | None,
) -> UploadView:
    """Delete the images of an upload that all of what is given holds for, and return the upload.

    A sweep deletes the bytes that nothing else needs. Raises UploadNotFoundError,
    UploadInUseError, and ImageNotFoundError where there is none, or none of one of the hashes.
    """
    among = Among(label, split, hashes)
    with db.transaction() as session:
        upload = uploads.require(session, workspace, upload_id, for_update=True)
        found = upload_rows.hashes_of_images(session, upload_id, among)
        missing = [place for place, sha256 in enumerate(hashes) if sha256 not in found]
        if missing or not found:
            raise ImageNotFoundError(
                "The upload has no such image, so nothing was deleted.",
                errors=[FieldError(f"/query/sha256/{place}", "not there") for place in missing],
            )
        return uploads.remove_images(session, upload, among)

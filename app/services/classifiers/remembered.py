"""The images of a class that a version remembers, or was measured on."""

from typing import Literal, NamedTuple

from app.db.engine import Database
from app.services.classifiers import judgements, versions
from app.services.classifiers.versions import ImageNotFoundError, ImageUnreadableError
from app.storage import BlobStore, TensorStore

Used = Literal["exemplar", "held_out", "trained"]


class Remembered(NamedTuple):
    """An image, and what the version uses it for."""

    sha256: str
    used: Used


def remembered(
    db: Database,
    store: TensorStore,
    workspace: str,
    name: str,
    reference: str,
    label: str,
    most: int,
) -> list[Remembered]:
    """Return up to `most` images of a class: its exemplars in their order, or else labelled images.

    Those are held out of the version, or were trained on. Raises ClassifierNotFoundError,
    VersionNotFoundError, ClassNotFoundError, TensorsUnreadableError and StorageUnavailableError.
    """
    exemplars = versions.exemplars(
        db, workspace, name, reference, label=label, limit=most, after=(0, -1)
    )
    if exemplars:
        return [Remembered(each.sha256, "exemplar") for each in exemplars]
    judged = judgements.labelled(db, store, workspace, name, reference, label)
    return [Remembered(sha256, used) for sha256, used in judged[:most]]


def kept(db: Database, store: BlobStore, workspace: str, sha256: str) -> bytes | None:
    """Return the bytes of an image; None if the workspace does not have it any more.

    Raises StorageUnavailableError.
    """
    try:
        return versions.image(db, store, workspace, sha256)[1]
    except (ImageNotFoundError, ImageUnreadableError):
        return None

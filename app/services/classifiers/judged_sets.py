"""What is kept of what a version says of its images, to be read for one request."""

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.db.repositories import versions as version_rows
from app.db.tables import Version
from app.errors import ServiceError
from app.services import stored
from app.services.classifiers.goes_by import Use
from app.services.classifiers.version_file import TensorsUnreadableError
from app.services.classifiers.versions import ClassNotFoundError
from app.services.labels import clean_label
from app.storage import TensorStore
from models.judging import HELD_OUT, LEFT_OUT, PARTS, Judged
from models.state import decode

_PARTS: dict[Use, str] = {"held_out": HELD_OUT, "trained": LEFT_OUT}


class NotJudgedError(ServiceError, status=409, code="not-judged"):
    """The version was made by a release that did not keep what it says of its images."""


class JudgedSets(BaseModel):
    """A version's classes by column, and its parts that have judgements, by name."""

    labels: list[str]
    train_images: int
    hashes: dict[str, str]

    @classmethod
    def find(cls, session: Session, version: Version) -> "JudgedSets":
        """Raises NotJudgedError where images were held out and nothing is kept of them."""
        found = cls.kept(session, version)
        if HELD_OUT not in found.hashes and version.memory.get("held_out"):
            raise NotJudgedError(
                "The release that made this version did not keep what it says of single images. "
                "Evaluate it: a job of the kind evaluate, without uploads, lists its held-out "
                "images."
            )
        return found

    @classmethod
    def kept(cls, session: Session, version: Version) -> "JudgedSets":
        """Return what there is, with any release."""
        hashes = version_rows.parts(session, version.id)
        rows = version_rows.classes(session, [version.id])[version.id]
        return cls(
            labels=[row.label for row in rows],
            train_images=sum(row.train_images for row in rows),
            hashes={part: hashes[part] for part in PARTS if part in hashes},
        )

    def column(self, label: str) -> int:
        """Return the column of a class. Raises ClassNotFoundError."""
        try:
            return self.labels.index(clean_label(label))
        except ValueError:  # also where no class can have such a label
            raise ClassNotFoundError("This version does not know that class.") from None

    def read(self, store: TensorStore, use: Use) -> Judged | None:
        """Return what is said of the images of a use, None where nothing is kept of them.

        Raises TensorsUnreadableError and StorageUnavailableError.
        """
        part = _PARTS[use]
        sha256 = self.hashes.get(part)
        if sha256 is None:
            return None
        with stored.reading("tensors", TensorsUnreadableError(), part=part):
            return Judged.load(decode(store.get(sha256)))

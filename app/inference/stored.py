"""A version as it is stored: what a process reads before it can predict with it."""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from pydantic import ValidationError

from app.db.engine import Database
from app.db.repositories import versions as version_rows
from app.inference.errors import VersionUnreadableError
from app.services.classifiers.versions import VersionNotFoundError
from app.storage import BlobCorruptError, BlobMissingError, TensorStore
from models import methods, state
from models.errors import InvalidSpecError
from models.judging import without_judged
from models.spec import Spec

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StoredVersion:
    """The rows of a version. `parts` are the hashes of those that predictions need.

    `part_names` are all that it has, `bytes` those of `parts`.
    """

    id: str
    number: int
    spec: Spec
    labels: tuple[str, ...]
    tasks: tuple[int, ...]
    part_names: frozenset[str]
    parts: Mapping[str, str]
    bytes: int

    @classmethod
    def read(cls, database: Database, version_id: str) -> "StoredVersion":
        """Read a version's rows. Raises VersionNotFoundError and VersionUnreadableError."""
        with database.reading() as session:
            version = version_rows.get(session, version_id)
            if version is None:
                raise VersionNotFoundError("The version was deleted.")
            classes = version_rows.classes(session, [version_id])[version_id]
            parts = version_rows.parts(session, version_id)
            sizes = version_rows.part_sizes(session, [version_id]).get(version_id, {})
        try:
            spec = Spec.stored(version.spec)
            method = methods.get(spec.method)
        except (ValidationError, InvalidSpecError) as error:
            raise VersionUnreadableError(
                f"Version {version.number} was made by a release, or with a method, that is not "
                "installed here. Install the release that made it, or promote another version."
            ) from error
        predicting = without_judged(parts)
        served = {name: sha256 for name, sha256 in predicting.items() if method.serves(name)}
        return cls(
            id=version_id,
            number=version.number,
            spec=spec,
            labels=tuple(each.label for each in classes),
            tasks=tuple(each.task for each in classes),
            part_names=frozenset(parts),
            parts=served,
            bytes=sum(sizes.get(sha256, 0) for sha256 in served.values()),
        )

    def tensors(self, store: TensorStore) -> dict[str, state.Tensors]:
        """Read the parts from storage, which checks their hashes. Raises VersionUnreadableError."""
        name = ""
        try:
            parts = {}
            for name, sha256 in self.parts.items():
                parts[name] = state.decode(store.get(sha256))
            return parts
        except OSError as error:
            log.warning("version_not_read", version=self.id, error=error)
            raise VersionUnreadableError(
                f"The storage that holds version {self.number} does not answer.",
                headers={"Retry-After": "5"},
            ) from error
        except (BlobCorruptError, BlobMissingError, ValueError) as error:
            how = "missing" if isinstance(error, BlobMissingError) else "damaged"
            raise VersionUnreadableError(
                f"Stored bytes of version {self.number} are {how} (part {name}). Restore the "
                "storage from a backup, or promote another version."
            ) from error

"""``/health/live``, ``/health/ready`` and ``/version``."""

from collections.abc import Callable
from importlib.metadata import version

from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.api.access import Router
from app.api.deps import DB, Queue, Store
from app.api.problems import responses
from app.db.engine import Database
from app.errors import FieldError, ServiceError
from app.services.queue.messages import BrokerUnavailableError

VERSION = version("accrue")

router = Router(tags=["health"])


class NotReadyError(ServiceError, status=503, code="not-ready"):
    """Something the service needs does not answer."""


class HealthView(BaseModel):
    """A process that is well."""

    status: str = "ok"


class VersionInfo(BaseModel):
    """What runs here."""

    name: str = "accrue"
    version: str = Field(VERSION, description="Of the software, not of a classifier.")


@router.get("/health/live", responses=responses())
async def live() -> HealthView:
    """Say that the process answers."""
    return HealthView()


@router.get("/health/ready", responses=responses(NotReadyError))
def ready(db: DB, store: Store, queue: Queue) -> HealthView:
    """Say that database, storage and queue answer; if not, which and why."""
    checks: dict[str, Callable[[], None]] = {
        "database": lambda: _check_database(db),
        "storage": store.check,
        "queue": queue.check,
    }
    failures = []
    for name, check in checks.items():
        try:
            check()
        except (SQLAlchemyError, OSError, BrokerUnavailableError) as error:
            # The kind alone: messages of drivers hold addresses and user names.
            failures.append(FieldError(f"/{name}", type(error).__name__))
    if failures:
        names = ", ".join(failure.pointer[1:] for failure in failures)
        raise NotReadyError(
            f"Not answering: {names}.", errors=failures, headers={"Retry-After": "5"}
        )
    return HealthView()


@router.get("/version", responses=responses())
async def software_version() -> VersionInfo:
    """Return the version of the software."""
    return VersionInfo()


def _check_database(db: Database) -> None:
    # A table, not a constant: a database without our schema is not ready either.
    with db.reading() as session:
        session.execute(text("SELECT 1 FROM classifiers LIMIT 1"))

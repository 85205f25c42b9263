"""``/health/live``, ``/health/ready`` and ``/version``."""

from importlib.metadata import version
from typing import Literal

from pydantic import BaseModel

from app.api.access import Router
from app.api.deps import DB, Config, Inspection, Queue, Store
from app.api.problems import responses
from app.errors import FieldError, ServiceError
from app.services.upkeep import health
from app.services.upkeep.inspector import DAMAGED

VERSION = version("accrue")

router = Router(tags=["health"])


class NotReadyError(ServiceError, status=503, code="not-ready"):
    """Something that the service needs does not answer, or is not whole."""


class HealthView(BaseModel):
    """The health check succeeded."""

    status: str = "ok"


class VersionInfo(BaseModel):
    """The software that runs here."""

    name: str = "accrue"
    version: str = VERSION
    keys: Literal["off", "required"]


@router.get("/health/live", responses=responses())
async def live() -> HealthView:
    """Liveness check: the process answers."""
    return HealthView()


@router.get("/health/ready", responses=responses(NotReadyError))
def ready(db: DB, store: Store, queue: Queue, inspector: Inspection) -> HealthView:
    """Readiness check: database, storage and queue answer and are whole."""
    failures = inspector.findings | health.failures(db, store, queue)
    if failures:
        help_ = "`accrue doctor` says more."
        if failures.get("database") == DAMAGED:
            help_ = "`accrue doctor --deep` says more; `accrue restore` puts a backup in place."
        raise NotReadyError(
            f"Not answering, or not whole: {', '.join(failures)}. {help_}",
            errors=[FieldError(f"/{name}", kind) for name, kind in failures.items()],
            headers={"Retry-After": "5"},
        )
    return HealthView()


@router.get("/version", responses=responses())
async def software_version(settings: Config) -> VersionInfo:
    """Return the version of the software, and whether it wants a key."""
    return VersionInfo(keys=settings.keys)

"""The service that the worker's tests speak to."""

import pytest

from app.db.engine import Database
from app.settings import Settings
from tests.worker.harness import Service


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    """A service over each kind of database, without a worker."""
    return Service(database, settings)

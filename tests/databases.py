"""Which kinds of database a test runs on, and what is found in it."""

import time

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.tables import UploadImage

# For tests that hardly concern the database: PostgreSQL only among the slow tests.
ONE_KIND_AT_FIRST = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)


def wait_for_a_lock(db: Database) -> None:
    """Return once some transaction of the PostgreSQL server waits for another's lock."""
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    deadline = time.monotonic() + 30
    while True:
        with db.reading() as session:
            if session.scalar(waiting):
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def images_of_upload(session: Session, upload_id: str) -> list[UploadImage]:
    """Return the labelled images of an upload, in their order."""
    query = select(UploadImage).where(UploadImage.upload_id == upload_id)
    return list(session.scalars(query.order_by(UploadImage.position)))

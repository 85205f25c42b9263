"""Queries about the connections to a PostgreSQL database."""

from sqlalchemy import text
from sqlalchemy.orm import Session

_OTHERS = text(
    "SELECT coalesce(host(client_addr), 'this host') FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND application_name = current_setting('application_name')"
)


def of_others(session: Session) -> list[str]:
    """Return the host of each other connection that has this one's application name."""
    return list(session.scalars(_OTHERS))

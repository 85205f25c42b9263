"""Texts of database errors, which are logged."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ArgumentError, DBAPIError

from app.db.engine import Database, parse_url


def test_errors_name_no_values(database: Database) -> None:
    secret = "whsec_c2VjcmV0IG9mIGEgd2ViaG9vaywgMjQgYnl0ZXM="
    insert = text("INSERT INTO nowhere (webhook) VALUES (:webhook)")
    with pytest.raises(DBAPIError) as raised, database.transaction() as session:
        session.execute(insert, {"webhook": secret})
    assert "nowhere" in str(raised.value)
    assert secret not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "accrue:secret@host",
        "postgresql://accrue:secret@host:port/accrue",
        "postgresql://accrue:secret@[::1/accrue",
        "mysql://accrue:secret@host/accrue",
        "postgresql+psycopg2://accrue:secret@host/accrue",
    ],
)
def test_what_is_no_url_of_ours_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        parse_url(url)
    assert "secret" not in str(raised.value)

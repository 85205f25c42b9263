"""What the database's errors say, which logs repeat."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.db.engine import Database


def test_errors_name_no_values(database: Database) -> None:
    secret = "whsec_c2VjcmV0IG9mIGEgd2ViaG9vaywgMjQgYnl0ZXM="
    insert = text("INSERT INTO nowhere (webhook) VALUES (:webhook)")
    with pytest.raises(DBAPIError) as raised, database.transaction() as session:
        session.execute(insert, {"webhook": secret})
    assert "nowhere" in str(raised.value)
    assert secret not in str(raised.value)

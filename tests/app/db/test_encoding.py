"""PostgreSQL databases without an encoding, as made in the C locale."""

from sqlalchemy import make_url, text

import migrations
from app.db.engine import make_engine
from tests.servers import OwnPostgres


def test_text_is_text_in_a_database_without_an_encoding(own_postgres: OwnPostgres) -> None:
    admin = make_engine(own_postgres.url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0"))
    admin.dispose()
    url = make_url(own_postgres.url).set(database="ascii").render_as_string(hide_password=False)
    migrations.upgrade(url)
    assert migrations.current(url) is not None

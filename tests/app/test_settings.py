"""Where settings come from, and passwords kept apart from URLs."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import make_url

from app.settings import Settings


def test_secrets_are_read_from_files_and_the_environment_goes_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "accrue_database").write_text("postgresql://accrue@db/accrue\n")
    (tmp_path / "accrue_database_password").write_text("from a file\n")
    (tmp_path / "accrue_port").write_text("1")
    monkeypatch.setenv("ACCRUE_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("ACCRUE_PORT", "2")
    settings = Settings()
    assert make_url(settings.database_url).password == "from a file"
    assert settings.port == 2
    assert Settings(port=3).port == 3


def test_a_password_may_hold_any_character() -> None:
    password = "a:b/c@d#e?f%20 é"
    settings = Settings(
        database="postgresql://accrue@db:5433/accrue?sslmode=require",
        database_password=password,
        broker="redis://redis:6379/0",
        broker_password=password,
    )
    url = make_url(settings.database_url)
    assert (url.username, url.password, url.host, url.port) == ("accrue", password, "db", 5433)
    assert (url.database, dict(url.query)) == ("accrue", {"sslmode": "require"})
    broker = make_url(settings.broker_url)
    assert (broker.username or None, broker.password, broker.host) == (None, password, "redis")
    assert password not in repr(settings)


def test_a_password_without_what_it_is_for_is_refused() -> None:
    with pytest.raises(ValidationError, match="no ACCRUE_BROKER"):
        Settings(broker_password="secret")

"""Sources of settings, passwords apart from URLs, and locations of blobs."""

import sys
from pathlib import Path
from typing import Any

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
    with pytest.raises(ValidationError, match="ACCRUE_BROKER is not"):
        Settings(broker_password="secret")


@pytest.mark.parametrize(
    "given",
    [
        {"database": "nonsense"},
        {"database": "mysql://accrue:a-secret@db/accrue"},
        {"database": "postgresql://accrue:a-secret@db:port/accrue"},
        {"broker": "redis://:a-secret@redis:port/0"},
    ],
)
def test_what_is_no_url_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    (error,) = caught.value.errors()
    assert error["loc"] == tuple(given)
    assert "not a URL like" in error["msg"]
    assert "a-secret" not in error["msg"]


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/a/prefix", "s3://bucket/p/", "folder"])
def test_where_blobs_may_be(url: str) -> None:
    assert Settings(storage=url).storage_url == url


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix", "gs://bucket", "s3://bucket/a?b=c"])
def test_where_they_may_not(url: str) -> None:
    with pytest.raises(ValidationError, match="neither a folder nor like s3://bucket/prefix"):
        Settings(storage=url)


def test_a_bucket_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)  # as where it is not installed
    with pytest.raises(ValidationError, match=r"pip install 'accrue\[s3\]'"):
        Settings(storage="s3://bucket")
    assert Settings(storage="folder").storage_url == "folder"


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCRUE_CORS_ORIGINS", "https://example.org, http://[::1]:3000,")
    assert Settings().cors_origins == ("https://example.org", "http://[::1]:3000")
    monkeypatch.setenv("ACCRUE_CORS_ORIGINS", "")
    assert Settings().cors_origins == ()


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "example.org",
        "https://example.org/",
        "https://Example.org",
        "https://example.org:443",
        "http://example.org:80",
        "ftp://example.org",
    ],
)
def test_what_no_browser_sends_is_not_an_origin(origin: str) -> None:
    with pytest.raises(ValidationError, match="not an origin"):
        Settings(cors_origins=origin)  # type: ignore[arg-type]


def test_label_studio() -> None:
    given = {"label_studio_url": "http://label-studio:8080/x", "label_studio_token": "secret"}
    hosts = "Images.example.org, minio:9000, [::1]:80,"
    settings = Settings.model_validate({**given, "label_studio_hosts": hosts})
    assert settings.label_studio_hosts == ("images.example.org", "minio:9000", "[::1]:80")
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"label_studio_url": "http://host"}, "go together"),
        ({"label_studio_token": "secret"}, "go together"),
        ({"label_studio_url": "host:8080", "label_studio_token": "x"}, "not a URL"),
        ({"label_studio_url": "http://user:pass@host", "label_studio_token": "x"}, "not a URL"),
        ({"label_studio_hosts": "https://host"}, "not a host"),
        ({"label_studio_hosts": "host/path"}, "not a host"),
        ({"label_studio_hosts": "*"}, "not a host"),
    ],
)
def test_label_studio_that_cannot_be_asked(given: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Settings.model_validate(given)

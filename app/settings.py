"""Settings of one Accrue process, read once from the environment and passed down."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

# Where containers find their secrets, a file each.
_SECRETS_DIR = "/run/secrets"


class Settings(BaseSettings):
    """Every setting has a default that works on one machine; each is ``ACCRUE_<NAME>`` outside.

    Options of the command line go before the environment, and that before a file ``accrue_<name>``
    in the folder that ``ACCRUE_SECRETS_DIR`` names, ``/run/secrets`` if unset.

    Built once by the entry point (`app.cli`, `worker.celery_app`) and handed to whatever needs it:
    nothing imports an instance.
    """

    model_config = SettingsConfigDict(env_prefix="ACCRUE_", frozen=True, extra="ignore")

    data_dir: Path = Field(Path("accrue-data"), description="Home of database, blobs and queue.")
    database: str | None = Field(None, description="SQLAlchemy URL; SQLite in data_dir if unset.")
    database_password: SecretStr | None = Field(None, description="The one of `database`.")
    broker: str | None = Field(None, description="Celery broker URL; files in data_dir if unset.")
    broker_password: SecretStr | None = Field(None, description="The one of `broker`.")
    storage: str | None = Field(
        None, description="Folder of the blobs or s3://bucket/prefix; data_dir/blobs if unset."
    )
    cache_megabytes: int = Field(
        4096, ge=0, description="Tensors of an s3:// storage kept in data_dir, in 10^6 bytes."
    )
    signed_links: bool = Field(
        False, description="Whether clients fetch images from an s3:// storage themselves."
    )

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    keys: Literal["off", "required"] = Field(
        "off", description="Whether requests need a key; off only where nobody else can reach it."
    )
    key_images_per_second: float | None = Field(
        None, gt=0, description="Predictions a key and process; a key's own limit goes before it."
    )
    key_waiting_jobs: int | None = Field(
        None, ge=1, description="Waiting jobs of a workspace beyond which a key adds none."
    )
    key_stored_megabytes: int | None = Field(
        None, ge=1, description="Bytes of a workspace, in 10^6, beyond which a key adds none."
    )

    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    weights_dir: Path | None = Field(None, description="Folder of backbone weight files.")

    max_body_megabytes: int = Field(2048, ge=1, description="Largest upload body, in 10^6 bytes.")
    max_image_megabytes: int = Field(32, ge=1, description="Largest single image, in 10^6 bytes.")
    max_image_pixels: int = Field(50_000_000, ge=1)
    max_upload_images: int = Field(200_000, ge=1)

    upload_retention_days: float = Field(
        7.0, ge=0, description="After the last job with an upload; 0: once one succeeded."
    )
    sweep_grace_hours: float = Field(
        24.0, gt=0, description="How long unneeded bytes stay: longer than any upload takes."
    )

    inference_threads: int | None = Field(None, ge=1, description="One per core if unset.")
    inference_batch: int = Field(16, ge=1, description="Images taken into one forward at most.")
    inference_queue: int = Field(1024, ge=1, description="Images waiting at most; then 503.")
    loaded_versions: int = Field(8, ge=1, description="Versions kept in memory besides aliases.")

    event_streams: int = Field(256, ge=1, description="Open event streams at most; then 503.")
    webhook_private: bool = Field(
        False, description="Whether webhooks may go to private networks, and by plain http."
    )

    lease_seconds: float = Field(60.0, gt=0)
    max_failures: int = Field(3, ge=1, description="Lost workers or crashes before a job fails.")
    cancel_grace_seconds: float = Field(10.0, ge=0)
    checkpoint_seconds: float = Field(
        60.0, gt=0, description="Training that a lost worker may cost, besides what saving takes."
    )
    train_threads: int | None = Field(None, ge=1, description="Torch threads; all cores if unset.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Say where values come from, the first source that has one before the others."""
        folder = Path(os.environ.get("ACCRUE_SECRETS_DIR", _SECRETS_DIR))
        if not folder.is_dir():  # as on most machines; the source would warn
            return init_settings, env_settings
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, folder)

    @model_validator(mode="after")
    def _passwords_have_urls(self) -> Self:
        for name in ("database", "broker"):
            if getattr(self, f"{name}_password") is not None and getattr(self, name) is None:
                raise ValueError(
                    f"ACCRUE_{name.upper()}_PASSWORD is given, but no ACCRUE_{name.upper()}."
                )
        return self

    @field_validator("database")
    @classmethod
    def _is_database(cls, database: str | None) -> str | None:
        if database is not None:
            from sqlalchemy.exc import ArgumentError  # noqa: PLC0415 - clients do not wait for it

            from app.db.engine import parse_url  # noqa: PLC0415

            try:
                parse_url(database)
            except ArgumentError as error:
                raise ValueError(str(error)) from None
        return database

    @field_validator("broker")
    @classmethod
    def _is_broker(cls, broker: str | None) -> str | None:
        try:
            _ = urlsplit(broker or "").port
        except ValueError:
            raise ValueError("not a URL like redis://host:6379/0") from None
        return broker

    @field_validator("storage")
    @classmethod
    def _offered(cls, storage: str | None) -> str | None:
        parts = urlsplit(storage or "")
        if "://" not in (storage or ""):
            return storage
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
            raise ValueError("either a folder or s3://bucket/prefix")
        if find_spec("boto3") is None:
            raise ValueError("s3:// needs the extra s3: pip install 'accrue[s3]'")
        return storage

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the database."""
        if self.database is None:
            return f"sqlite:///{self.data_dir.absolute() / 'accrue.db'}"
        return _with_password(self.database, self.database_password)

    @property
    def broker_url(self) -> str:
        """Celery's broker URL; ``filesystem://`` keeps its messages in `queue_dir`."""
        return _with_password(self.broker or "filesystem://", self.broker_password)

    @property
    def queue_dir(self) -> Path:
        """Folder of the filesystem broker."""
        return self.data_dir.absolute() / "queue"

    @property
    def storage_url(self) -> str:
        """Where blobs live."""
        return self.storage or str(self.data_dir.absolute() / "blobs")

    @property
    def cache_dir(self) -> Path:
        """Where the processes of this machine keep tensors of a distant storage."""
        return self.data_dir.absolute() / "cache"


def _with_password(url: str, password: SecretStr | None) -> str:
    """Put a password into a URL, so that it need not be written in a URL's own way."""
    if password is None:
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    secret = quote(password.get_secret_value(), safe="")
    return parts._replace(netloc=f"{parts.username or ''}:{secret}@{host}").geturl()

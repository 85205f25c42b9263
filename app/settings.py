"""Settings of one Accrue process, read once from the environment and passed on."""

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

# Where containers have their secrets, each in a file.
_SECRETS_DIR = "/run/secrets"
# Bytes, or units of 1024 bytes as container engines write their limits.
_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[kmgt]?)(i?b)?")
# A scheme, a host and a port that is not the scheme's own.
_ORIGIN = re.compile(r"(http(?!.*:80$)|https(?!.*:443$))://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?")
# A host, and a port if URLs have one.
_HOST = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")
_ADDRESS = re.compile(r"https?://[^/?#@\s]+(/[^?#\s]*)?")


class Settings(BaseSettings):
    """All settings, each with a default that works on one machine.

    A value comes from the command line, else from the environment variable ``ACCRUE_<NAME>``, else
    from a file ``accrue_<name>`` in the folder ``ACCRUE_SECRETS_DIR`` (``/run/secrets`` if unset).

    The entry point (`app.cli`, `worker.celery_app`) builds the one instance and passes it on;
    no module imports an instance.
    """

    model_config = SettingsConfigDict(env_prefix="ACCRUE_", frozen=True, extra="ignore")

    data_dir: Path = Field(Path("accrue-data"), description="Folder of database, blobs and queue.")
    database: str | None = Field(None, description="SQLAlchemy URL; SQLite in data_dir if unset.")
    database_password: SecretStr | None = Field(None, description="Password for `database`.")
    broker: str | None = Field(None, description="Celery broker URL; files in data_dir if unset.")
    broker_password: SecretStr | None = Field(None, description="Password for `broker`.")
    storage: str | None = Field(
        None, description="Folder of the blobs or s3://bucket/prefix; data_dir/blobs if unset."
    )
    cache_megabytes: int = Field(
        4096, ge=0, description="Tensors of an s3:// storage cached in data_dir, in 10^6 bytes."
    )
    signed_links: bool = Field(
        False, description="Whether clients fetch images from an s3:// storage themselves."
    )

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    web: Literal["on", "off"] = Field("on", description="Whether the web page is served at /.")

    keys: Literal["off", "required"] = Field(
        "off", description="Whether requests need a key; off only listens on loopback addresses."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Sites whose pages may use the service, like https://example.org, by comma."
    )
    key_images_per_second: float | None = Field(
        None,
        ge=0.001,
        le=1e6,
        description="Predictions per key and process, unless the key has its own limit.",
    )
    key_waiting_jobs: int | None = Field(
        None, ge=1, description="Queued jobs of a workspace at which its keys cannot add more."
    )
    key_stored_megabytes: int | None = Field(
        None, ge=1, description="Stored 10^6 bytes of a workspace above which keys cannot add more."
    )

    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    weights_dir: Path | None = Field(None, description="Folder of backbone weight files.")

    max_body_megabytes: int = Field(2048, ge=1, description="Largest upload body, in 10^6 bytes.")
    max_image_megabytes: int = Field(32, ge=1, description="Largest single image, in 10^6 bytes.")
    max_image_pixels: int = Field(50_000_000, ge=1)
    max_upload_images: int = Field(200_000, ge=1)

    upload_retention_days: float = Field(
        7.0,
        ge=0,
        description="How long uploads stay after their last job; 0: until a job succeeded.",
    )
    sweep_grace_hours: float = Field(
        24.0, gt=0, description="How long unneeded bytes stay: longer than any upload or job takes."
    )

    api_processes: int = Field(1, ge=1, description="API processes behind one port.")
    inference_threads: int | None = Field(
        None, ge=1, description="For each API process; the cores, divided among them, if unset."
    )
    inference_batch: int = Field(16, ge=1, description="Images in one forward pass at most.")
    inference_queue: int = Field(1024, ge=1, description="Images waiting at most; then 503.")
    model_memory: int | None = Field(
        None,
        ge=1,
        description="Bytes of loaded versions in one API process at most, or like 512m or 2g; a "
        "quarter of the machine's or the container's memory if unset.",
    )

    engine: Literal["auto", "torch", "torchscript", "openvino"] = Field(
        "auto",
        description="What runs the networks of versions on a CPU: the fastest here that says what "
        "PyTorch says, or the one that is named.",
    )
    predict_device: str = Field(
        "cpu",
        pattern=r"^(cpu|cuda(:\d+)?)$",
        description="Where predictions run: cpu, cuda or cuda:N.",
    )

    connections: int = Field(
        1000,
        ge=1,
        description="Open connections at most; then the one longest without a request is closed.",
    )
    idle_seconds: float = Field(
        5.0, gt=0, description="How long a connection stays open between two requests."
    )
    head_seconds: float = Field(
        20.0, gt=0, description="How long a request line and its headers may take; then 408."
    )
    body_seconds: float = Field(
        30.0,
        gt=0,
        description="How long a body or an answer may flow at less than 500 bytes a second.",
    )
    event_streams: int = Field(256, ge=1, description="Open event streams at most; then 503.")
    webhook_private: bool = Field(
        False, description="Whether webhooks may use private addresses and plain http."
    )

    label_studio_url: str | None = Field(
        None, description="Label Studio whose projects are predicted and learnt; none if unset."
    )
    label_studio_token: SecretStr | None = Field(
        None, description="Access token of a user of Label Studio who sees the projects."
    )
    label_studio_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Other hosts of images of tasks, like images.example.org, by comma."
    )
    label_studio_private: bool = Field(
        False, description="Whether these hosts may have private addresses and plain http."
    )

    lease_seconds: float = Field(60.0, gt=0)
    max_failures: int = Field(3, ge=1, description="Lost workers or crashes before a job fails.")
    cancel_grace_seconds: float = Field(10.0, ge=0)
    checkpoint_seconds: float = Field(
        60.0,
        gt=0,
        description="Seconds of training between checkpoints; a lost worker costs about as much.",
    )
    train_threads: int | None = Field(None, ge=1, description="Torch threads; all cores if unset.")
    train_memory: int | None = Field(
        None,
        ge=1,
        description="Bytes of images that a job holds in memory at most, or like 512m or "
        "2g, the others being on disk; a quarter of the machine's or the container's if unset.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of values in the order of their precedence."""
        folder = Path(os.environ.get("ACCRUE_SECRETS_DIR", _SECRETS_DIR))
        if not folder.is_dir():  # the source for files would warn
            return init_settings, env_settings
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, folder)

    @model_validator(mode="after")
    def _passwords_have_urls(self) -> Self:
        for name in ("database", "broker"):
            if getattr(self, f"{name}_password") is not None and getattr(self, name) is None:
                raise ValueError(
                    f"ACCRUE_{name.upper()}_PASSWORD is set, but ACCRUE_{name.upper()} is not."
                )
        return self

    @field_validator("model_memory", "train_memory", mode="before")
    @classmethod
    def _in_bytes(cls, size: object) -> object:
        if not isinstance(size, str):
            return size
        found = _SIZE.fullmatch(size.strip().lower())
        if found is None:
            raise ValueError("not a number of bytes, nor one with a unit like 512m or 2g")
        return int(float(found["number"]) * 1024 ** " kmgt".index(found["unit"] or " "))

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _are_origins(cls, origins: object) -> object:
        if not isinstance(origins, str):
            return origins
        found = tuple(origin for each in origins.split(",") if (origin := each.strip()))
        for origin in found:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin} is not an origin as browsers send it, like https://example.org or "
                    "http://localhost:3000: in small letters, without a path and the usual port"
                )
        return found

    @field_validator("label_studio_url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        if url is not None and not _ADDRESS.fullmatch(url):
            raise ValueError("not a URL like http://label-studio:8080")
        return url

    @model_validator(mode="after")
    def _label_studio_lets_in(self) -> Self:
        if (self.label_studio_url is None) is not (self.label_studio_token is None):
            raise ValueError(
                "ACCRUE_LABEL_STUDIO_URL and ACCRUE_LABEL_STUDIO_TOKEN go together: set both, or "
                "neither."
            )
        return self

    @field_validator("label_studio_hosts", mode="before")
    @classmethod
    def _are_hosts(cls, hosts: object) -> object:
        if not isinstance(hosts, str):
            return hosts
        found = tuple(host.lower() for each in hosts.split(",") if (host := each.strip()))
        for host in found:
            if not _HOST.fullmatch(host):
                raise ValueError(
                    f"{host} is not a host like images.example.org, or images.example.org:8443 "
                    "with a port that is not the scheme's own"
                )
        return found

    @field_validator("database")
    @classmethod
    def _is_database(cls, database: str | None) -> str | None:
        if database is not None:
            from sqlalchemy.exc import ArgumentError  # noqa: PLC0415 - slow; clients do without

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

    @field_validator("engine")
    @classmethod
    def _is_installed(cls, engine: str) -> str:
        if engine == "openvino" and find_spec("openvino") is None:
            raise ValueError("openvino needs the extra fast: pip install 'accrue[fast]'")
        return engine

    @model_validator(mode="after")
    def _engines_are_for_the_cpu(self) -> Self:
        if self.engine not in ("auto", "torch") and self.predict_device != "cpu":
            raise ValueError(
                f"ACCRUE_ENGINE={self.engine} runs on the CPU, but ACCRUE_PREDICT_DEVICE is "
                f"{self.predict_device}: leave one of them out."
            )
        return self

    @field_validator("storage")
    @classmethod
    def _is_storage(cls, storage: str | None) -> str | None:
        parts = urlsplit(storage or "")
        if "://" not in (storage or ""):
            return storage
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
            raise ValueError("neither a folder nor like s3://bucket/prefix")
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
        """Celery's broker URL; ``filesystem://`` stores its messages in `queue_dir`."""
        return _with_password(self.broker or "filesystem://", self.broker_password)

    @property
    def queue_dir(self) -> Path:
        """Folder of the filesystem broker."""
        return self.data_dir.absolute() / "queue"

    @property
    def storage_url(self) -> str:
        """Folder or ``s3://`` URL of the blobs."""
        return self.storage or str(self.data_dir.absolute() / "blobs")

    @property
    def cache_dir(self) -> Path:
        """Folder in which the processes of this machine cache tensors of a remote storage."""
        return self.data_dir.absolute() / "cache"


def _with_password(url: str, password: SecretStr | None) -> str:
    """Put a password into a URL, percent-encoded."""
    if password is None:
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    secret = quote(password.get_secret_value(), safe="")
    return parts._replace(netloc=f"{parts.username or ''}:{secret}@{host}").geturl()

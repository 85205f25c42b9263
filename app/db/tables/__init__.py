"""The tables. One chain of migrations (`migrations/`) makes them on SQLite and PostgreSQL alike.

Words are those of docs/architecture.md. Every owned row names its workspace; rows that hang on a
classifier inherit it from there.
"""

from app.db.tables.base import DEFAULT_WORKSPACE, Base
from app.db.tables.blobs import Blob, Image
from app.db.tables.classifiers import Alias, Classifier
from app.db.tables.jobs import (
    FINAL_STATES,
    HOLDING_STATES,
    JOB_STATES,
    Checkpoint,
    Job,
    JobEvent,
    JobUpload,
)
from app.db.tables.keys import ApiKey
from app.db.tables.service import IdempotencyKey, Installation, Worker
from app.db.tables.uploads import Upload, UploadImage
from app.db.tables.versions import (
    HeldOut,
    Ranking,
    RankingImage,
    Version,
    VersionClass,
    VersionPart,
)
from app.db.tables.webhooks import DELIVERY_STATES, Webhook, WebhookDelivery

__all__ = [
    "DEFAULT_WORKSPACE",
    "DELIVERY_STATES",
    "FINAL_STATES",
    "HOLDING_STATES",
    "JOB_STATES",
    "Alias",
    "ApiKey",
    "Base",
    "Blob",
    "Checkpoint",
    "Classifier",
    "HeldOut",
    "IdempotencyKey",
    "Image",
    "Installation",
    "Job",
    "JobEvent",
    "JobUpload",
    "Ranking",
    "RankingImage",
    "Upload",
    "UploadImage",
    "Version",
    "VersionClass",
    "VersionPart",
    "Webhook",
    "WebhookDelivery",
    "Worker",
]

"""The tables. One chain of migrations (`migrations/`) creates them on SQLite and PostgreSQL.

docs/architecture.md defines the words. Rows that belong to a workspace name it, unless they belong
to a classifier, which names it.
"""

from app.db.tables.base import DEFAULT_WORKSPACE, Base
from app.db.tables.blobs import Blob, Image
from app.db.tables.classifiers import Alias, Classifier, ClassifierChange
from app.db.tables.jobs import (
    FINAL_STATES,
    HOLDING_STATES,
    JOB_STATES,
    EvaluatedImage,
    Job,
    JobCheckpoint,
    JobEvent,
    JobUpload,
)
from app.db.tables.keys import ApiKey
from app.db.tables.service import IdempotencyKey, Installation, Worker
from app.db.tables.uploads import Upload, UploadImage
from app.db.tables.versions import (
    AccuracyRow,
    HeldOut,
    Ranking,
    RankingImage,
    TrainedImage,
    Version,
    VersionClass,
    VersionPart,
)
from app.db.tables.webhooks import DELIVERY_STATES, JobWebhook, WebhookDelivery

__all__ = [
    "DEFAULT_WORKSPACE",
    "DELIVERY_STATES",
    "FINAL_STATES",
    "HOLDING_STATES",
    "JOB_STATES",
    "AccuracyRow",
    "Alias",
    "ApiKey",
    "Base",
    "Blob",
    "Classifier",
    "ClassifierChange",
    "EvaluatedImage",
    "HeldOut",
    "IdempotencyKey",
    "Image",
    "Installation",
    "Job",
    "JobCheckpoint",
    "JobEvent",
    "JobUpload",
    "JobWebhook",
    "Ranking",
    "RankingImage",
    "TrainedImage",
    "Upload",
    "UploadImage",
    "Version",
    "VersionClass",
    "VersionPart",
    "WebhookDelivery",
    "Worker",
]

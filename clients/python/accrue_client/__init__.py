"""Client of Accrue, a service that teaches image classifiers new classes.

from accrue_client import Accrue

accrue = Accrue("http://127.0.0.1:8000")
flowers = accrue.classifiers.create("flowers")
version = flowers.learn("photos/", progress=True).wait(progress=True)
flowers.predict("new.jpg").label
"""

from accrue_client import problems
from accrue_client.awaiting.classifiers import AsyncClassifier
from accrue_client.awaiting.client import AsyncAccrue
from accrue_client.awaiting.jobs import AsyncJob
from accrue_client.awaiting.versions import AsyncEvaluation, AsyncVersion
from accrue_client.blocking.classifiers import Classifier
from accrue_client.blocking.client import Accrue
from accrue_client.blocking.jobs import Job
from accrue_client.blocking.versions import Evaluation, Version
from accrue_client.errors import (
    AccrueError,
    InvalidSourceError,
    JobFailedError,
    NotAccrueError,
    ProblemError,
    ServerUnreachableError,
    SignatureError,
    UploadInterruptedError,
    UploadLeftError,
    WaitTimeoutError,
)
from accrue_client.telling import NotTakenWarning
from accrue_client.views import Prediction, Unreadable, Upload
from accrue_client.webhooks import verify_webhook

__all__ = [
    "Accrue",
    "AccrueError",
    "AsyncAccrue",
    "AsyncClassifier",
    "AsyncEvaluation",
    "AsyncJob",
    "AsyncVersion",
    "Classifier",
    "Evaluation",
    "InvalidSourceError",
    "Job",
    "JobFailedError",
    "NotAccrueError",
    "NotTakenWarning",
    "Prediction",
    "ProblemError",
    "ServerUnreachableError",
    "SignatureError",
    "Unreadable",
    "Upload",
    "UploadInterruptedError",
    "UploadLeftError",
    "Version",
    "WaitTimeoutError",
    "problems",
    "verify_webhook",
]

"""Webhooks: a job notifies a URL that it has ended, signed as Standard Webhooks specifies.

The secret comes with the request for the job and never leaves again: it is in no answer (so answers
stored under an idempotency key do not hold it) and in no log.
"""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import deliveries as delivery_rows
from app.db.tables import JobWebhook
from app.errors import FieldError, ServiceError
from app.security.ssrf import UrlRefusedError, check_url
from app.services.jobs import views
from app.services.requests import RequestBody
from models.json_values import Text

_PREFIX = "whsec_"
_LONGEST_SECRET = 200
_SECRET_BYTES = range(24, 65)


class InvalidWebhookError(ServiceError, status=422, code="invalid-webhook"):
    """The webhook's URL is one to which this server does not send."""


def _check_secret(secret: SecretStr) -> SecretStr:
    try:
        key = _key(secret.get_secret_value())
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _SECRET_BYTES:
        raise ValueError(f"must be {_PREFIX} followed by the base64 of 24 to 64 random bytes")
    return secret


def _key(secret: str) -> bytes:
    """Return the bytes to sign with. Raises ValueError where the secret has another form."""
    if not secret.startswith(_PREFIX):
        raise ValueError("not a secret of Standard Webhooks")
    return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)


Secret = Annotated[
    SecretStr,
    AfterValidator(_check_secret),
    Field(
        max_length=_LONGEST_SECRET,
        description="`whsec_` and the base64 of 24 to 64 random bytes.",
    ),
]


class Webhook(RequestBody):
    """The URL to notify when the job has ended, and the secret to sign the notification with."""

    url: Text = Field(description="Where to POST: https, a public address.")
    secret: Secret


class DeliveryView(BaseModel, from_attributes=True):
    """A delivery to a webhook: the notification that a job has ended."""

    id: str
    type: str
    state: str = Field(description="`pending`, `delivered`, `failed`.")
    attempts: int
    next_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None


def check(webhook: Webhook, *, private: bool) -> None:
    """Raise InvalidWebhookError for a URL to which nothing would ever be sent."""
    try:
        check_url(webhook.url, private=private)
    except UrlRefusedError as error:
        wrong = FieldError("/webhook/url", str(error))
        raise InvalidWebhookError(f"The webhook's URL {error}.", errors=[wrong]) from error


def add(session: Session, job_id: str, webhook: Webhook) -> None:
    """Store the webhook of a new job."""
    secret = webhook.secret.get_secret_value()
    session.add(JobWebhook(job_id=job_id, url=webhook.url, secret=secret))


def list_deliveries(db: Database, workspace: str, job_id: str) -> list[DeliveryView]:
    """Return a job's deliveries, oldest first. Raises JobNotFoundError."""
    with db.reading() as session:
        views.require(session, workspace, job_id)
        return [DeliveryView.model_validate(row) for row in delivery_rows.of_job(session, job_id)]


def signed_headers(secret: str, message_id: str, timestamp: int, payload: bytes) -> dict[str, str]:
    """Return the three headers of Standard Webhooks. `timestamp` is in seconds since 1970."""
    content = f"{message_id}.{timestamp}.".encode() + payload
    signature = base64.b64encode(hmac.digest(_key(secret), content, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }

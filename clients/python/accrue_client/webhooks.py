"""Checks that a webhook comes from the service: Standard Webhooks."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from accrue_client.errors import SignatureError


def verify_webhook(
    secret: str, headers: Mapping[str, str], body: bytes, *, tolerance: float = 300.0
) -> dict[str, Any]:
    """Return the message of a webhook whose signature is right.

    `secret` is the one that the job was queued with, `body` what was received, byte by byte.
    Raises SignatureError for what is not signed with it, or not within `tolerance` seconds.
    """
    if not secret.removeprefix("whsec_"):
        raise SignatureError("The secret is empty: anyone could have signed the webhook.")
    found = {name.lower(): value for name, value in headers.items()}
    try:
        sent, given = found["webhook-timestamp"], found["webhook-signature"].split()
        signed = f"{found['webhook-id']}.{sent}.".encode() + body
        age = abs(time.time() - int(sent))
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (KeyError, ValueError) as error:
        raise SignatureError(f"The webhook is not signed: {error!r}.") from error
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in given):
        raise SignatureError("The webhook is not signed with this secret.")
    if age > tolerance:
        raise SignatureError("The webhook was signed too long ago.")
    message: dict[str, Any] = json.loads(body)
    return message

"""Signatures of webhooks, as the service makes them."""

import base64
import hmac
import json
import time

import pytest
from accrue_client import SignatureError, verify_webhook

from app.services.jobs.webhooks import signed_headers

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
BODY = json.dumps({"type": "job.succeeded", "data": {"version": 2}}).encode()


def headers(at: float) -> dict[str, str]:
    signed = signed_headers(SECRET, "dlv_1", int(at), BODY)
    return {name.title(): value for name, value in signed.items()}


def test_what_the_service_signs_is_taken() -> None:
    assert verify_webhook(SECRET, headers(time.time()), BODY)["data"] == {"version": 2}


def test_anything_else_is_refused() -> None:
    now = headers(time.time())
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    for secret, sent, body in (
        (other, now, BODY),
        (SECRET, now, BODY + b" "),
        (SECRET, {**now, "Webhook-Id": "dlv_2"}, BODY),
        (SECRET, {**now, "Webhook-Timestamp": str(int(time.time()) - 10)}, BODY),
        (SECRET, headers(time.time() - 301), BODY),
        (SECRET, {}, BODY),
    ):
        with pytest.raises(SignatureError):
            verify_webhook(secret, sent, body)


@pytest.mark.parametrize("secret", ["", "whsec_"])
def test_an_empty_secret_is_refused(secret: str) -> None:
    """Anyone can sign with it, and a variable that is not set gives it."""
    sent = str(int(time.time()))
    signed = hmac.digest(b"", f"id.{sent}.".encode() + b"{}", "sha256")
    headers = {
        "webhook-id": "id",
        "webhook-timestamp": sent,
        "webhook-signature": "v1," + base64.b64encode(signed).decode(),
    }
    with pytest.raises(SignatureError, match="secret is empty"):
        verify_webhook(secret, headers, b"{}")

"""Tickets: a key's right to follow one job, for a short time, in an address.

The EventSource of browsers sends no header, and a key must not be in an address: proxies log them.
A ticket is signed with the stored hash of its key (HMAC), which every API process has. So tickets
are stored nowhere, any process takes them, and they end with the key. Who can read the hash can
read the events beside it too.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# EventSource connects again by itself, with the same address.
GOOD_FOR = timedelta(minutes=5)
_TICKET = re.compile(r"tkt_([0-9a-z]{24})_([0-9a-f]{1,12})_([A-Za-z0-9_-]{43})")
_KEY_PREFIX = "key_"


@dataclass(frozen=True)
class Ticket:
    """What a ticket says of itself; `signature` proves it."""

    key_id: str
    # In seconds since 1970.
    expires: int
    signature: str

    def signed(self, digest: str, job_id: str, now: datetime) -> bool:
        """Say whether the key with this hash signed the ticket, for this job, until after `now`."""
        right = _signature(digest, job_id, self.expires)
        return hmac.compare_digest(right, self.signature) and now.timestamp() < self.expires


def issue(key_id: str, digest: str, job_id: str, now: datetime) -> tuple[str, datetime]:
    """Return a ticket for a job, and when it ends."""
    expires = int((now + GOOD_FOR).timestamp())
    signature = _signature(digest, job_id, expires)
    ticket = f"tkt_{key_id.removeprefix(_KEY_PREFIX)}_{expires:x}_{signature}"
    return ticket, datetime.fromtimestamp(expires, UTC)


def read(text: str) -> Ticket | None:
    """Read a ticket, which may be forged; None if the text is not one."""
    found = _TICKET.fullmatch(text)
    return found and Ticket(f"{_KEY_PREFIX}{found[1]}", int(found[2], 16), found[3])


def _signature(digest: str, job_id: str, expires: int) -> str:
    content = f"events of {job_id} until {expires}".encode()
    signed = hmac.digest(digest.encode(), content, hashlib.sha256)
    return base64.urlsafe_b64encode(signed).decode().rstrip("=")

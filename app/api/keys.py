"""``/v1/key``: whose key a request was sent with. ``/v1/keys``: make, list and revoke keys."""

from fastapi import Response

from app.api.access import Router, needs
from app.api.deps import DB, Caller
from app.api.paging import DEFAULT_LIMIT, After, Limit, Page
from app.api.problems import responses
from app.services.access import keys_by_keys, own_key
from app.services.access.keys_by_keys import (
    KeyBeyondMakerError,
    KeyNameTakenError,
    KeyNotFoundError,
    KeysOffError,
    KeySummary,
    MadeKey,
    NewKey,
)
from app.services.access.own_key import KeyView

router = Router(prefix="/v1", tags=["keys"])


@router.get("/key", dependencies=[needs("predict", "train", "metrics")], responses=responses())
def get_key(db: DB, caller: Caller) -> KeyView:
    """Return what the request's key may do, and what is left of its limits."""
    return own_key.view(db, caller)


@router.get("/keys", dependencies=[needs("admin")], responses=responses(KeysOffError))
def list_keys(
    db: DB, caller: Caller, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[KeySummary]:
    """List the workspace's keys, revoked and expired ones too, newest first."""
    found = keys_by_keys.page(db, caller, limit=limit + 1, after=after)
    return Page.of(found, limit, lambda key: key.id)


@router.post(
    "/keys",
    status_code=201,
    dependencies=[needs("admin")],
    responses=responses(KeysOffError, KeyNameTakenError, KeyBeyondMakerError),
)
def create_key(body: NewKey, response: Response, db: DB, caller: Caller) -> MadeKey:
    """Make a key of the workspace. It is in this answer and in no other.

    It has no more than the key that makes it. An `Idempotency-Key` has no effect.
    """
    made = keys_by_keys.create(db, caller, body)
    response.headers["Location"] = f"/v1/keys/{made.id}"
    response.headers["Cache-Control"] = "no-store"
    return made


@router.get(
    "/keys/{key_id}",
    dependencies=[needs("admin")],
    responses=responses(KeysOffError, KeyNotFoundError),
)
def get_named_key(key_id: str, db: DB, caller: Caller) -> KeySummary:
    """Return a key of the workspace, by its id or name."""
    return keys_by_keys.get(db, caller, key_id)


@router.delete(
    "/keys/{key_id}",
    status_code=204,
    dependencies=[needs("admin")],
    response_class=Response,
    responses=responses(KeysOffError, KeyNotFoundError),
)
def revoke_key(key_id: str, db: DB, caller: Caller) -> None:
    """Revoke a key for good, by its id or name."""
    keys_by_keys.revoke(db, caller, key_id)

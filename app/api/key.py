"""``/v1/key``: whose key a request was sent with."""

from app.api.access import Router, needs
from app.api.deps import DB, Caller
from app.api.problems import responses
from app.services.access import own_key
from app.services.access.own_key import KeyView

router = Router(prefix="/v1", tags=["keys"], dependencies=[needs("predict", "train", "metrics")])


@router.get("/key", responses=responses())
def get_key(db: DB, caller: Caller) -> KeyView:
    """Return what the request's key may do, and what is left of its limits."""
    return own_key.view(db, caller)

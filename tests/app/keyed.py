"""Keys for tests."""

from app.db.engine import Database
from app.ids import new_id
from app.security import tokens
from app.services.access import keys
from app.services.access.keys import KeySpec


def new_key(database: Database, *scopes: str, **spec: object) -> str:
    """Make a key."""
    _, token = tokens.new_token()
    given = {"name": new_id("test"), "scopes": scopes, **spec}
    keys.create(database, KeySpec.model_validate(given), token)
    return token


def bearer(token: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {token}"}

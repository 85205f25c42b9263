"""Keys in the database, and the cache of usable ones."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from app.db.engine import Database
from app.db.tables import ApiKey
from app.security import tokens
from app.services.access import keyring, keys
from app.services.access.keyring import Caller, KeyRing, UnauthorizedError
from app.services.access.keys import KeyNameTakenError, KeyNotFoundError, KeySpec
from app.services.access.limits import Quota
from app.settings import Settings
from tests.app.keyed import new_key


def spec(**given: object) -> KeySpec:
    return KeySpec.model_validate({"name": "a", "scopes": ["train"], **given})


def held(database: Database) -> list[ApiKey]:
    return keys.every(database)


def test_only_the_hash_of_a_key_is_stored(database: Database) -> None:
    token = new_key(
        database, "train", "predict", name="ci", workspace="team", expires_days=3, waiting_jobs=2
    )
    (row,) = held(database)
    assert (row.id, row.name, row.workspace) == (tokens.id_of(token), "ci", "team")
    assert row.scopes == ["predict", "train"]
    assert row.expires_at is not None
    assert (row.expires_at - row.created_at).days == 3
    assert (row.waiting_jobs, row.stored_megabytes, row.last_used_at) == (2, None, None)
    secret = token.split("_", 2)[2]
    with database.reading() as session:
        stored = session.execute(text("SELECT * FROM api_keys")).all()
    assert secret not in str(stored)


def test_a_name_is_one_keys_until_it_is_revoked(database: Database) -> None:
    new_key(database, "train", name="ci")
    with pytest.raises(KeyNameTakenError):
        new_key(database, "train", name="ci", workspace="another")
    first = keys.revoke(database, "ci")
    second = new_key(database, "train", name="ci")
    assert keys.revoke(database, "ci").id == tokens.id_of(second)
    # By its id, and once more: nothing changes.
    assert keys.revoke(database, first.id).revoked_at == first.revoked_at
    assert keys.revoke(database, "ci").id == tokens.id_of(second)
    with pytest.raises(KeyNotFoundError):
        keys.revoke(database, "nobody")


def test_a_key_that_could_not_be_handed_over_is_not_there(database: Database) -> None:
    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        keys.create(database, spec(), tokens.new_token()[1], fail)
    assert held(database) == []


def test_a_key_that_may_do_as_much_is_found(database: Database) -> None:
    wanted = spec(scopes=["admin"])
    assert keys.find_usable(database, wanted) is None
    new_key(database, "train", "predict")
    new_key(database, "admin", workspace="another")
    assert keys.find_usable(database, wanted) is None
    new_key(database, "admin", name="boss")
    for scopes in (["admin"], ["train", "metrics"]):
        assert keys.find_usable(database, spec(scopes=scopes)) is not None
    keys.revoke(database, "boss")
    assert keys.find_usable(database, wanted) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "two words"},
        {"name": ""},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"workspace": "../up"},
        {"expires_days": 0},
        {"images_per_second": float("nan")},
        {"images_per_second": 1e-320},
        {"images_per_second": 1e308},
    ],
)
def test_what_no_key_can_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        spec(**wrong)


def ask(ring: KeyRing, token: str) -> Coroutine[Any, Any, Caller]:
    return ring.caller(f"Bearer {token}")


def test_a_ring_knows_whose_key_it_is(database: Database, settings: Settings) -> None:
    mine = new_key(database, "train", workspace="team", stored_megabytes=3)
    plain = new_key(database, "predict")
    defaults = {"key_waiting_jobs": 7, "key_stored_megabytes": 9, "key_images_per_second": 5.0}
    ring = KeyRing(database, settings.model_copy(update=defaults))

    async def run() -> None:
        caller = await ask(ring, mine)
        assert (caller.workspace, caller.scopes) == ("team", {"train"})
        # A key's own limits take precedence over the settings.
        assert caller.quota == Quota(waiting_jobs=7, stored_bytes=3_000_000)
        assert (await ask(ring, plain)).quota == Quota(waiting_jobs=7, stored_bytes=9_000_000)
        assert caller.bucket is not None
        assert mine not in repr(caller)
        assert tokens.digest(mine) not in repr(caller)
        # The scheme is a word, and words have no case.
        assert await ring.caller(f"bearer {mine}") is caller

    asyncio.run(run())


def test_known_keys_need_no_database(database: Database, settings: Settings) -> None:
    known, unknown = new_key(database, "train"), tokens.new_token()[1]
    ring = KeyRing(database, settings)
    reads = count_reads(database)

    async def run() -> None:
        caller = await ask(ring, known)
        assert len(reads) == 1
        for _ in range(100):
            assert await ask(ring, known) is caller
        assert len(reads) == 1
        with database.transaction() as session:
            session.execute(text("ALTER TABLE api_keys RENAME TO away"))
        try:
            await ring._poll()  # fails, and logs it
            assert await ask(ring, known) is caller
            with pytest.raises(DBAPIError):
                await ask(ring, unknown)
        finally:
            with database.transaction() as session:
                session.execute(text("ALTER TABLE away RENAME TO api_keys"))

    asyncio.run(run())


def test_keys_are_not_trusted_for_ever_without_a_database(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = new_key(database, "train")
    ring = KeyRing(database, settings)
    reads = count_reads(database)

    async def run() -> None:
        await ask(ring, known)
        monkeypatch.setattr(keyring, "_TRUSTED_SECONDS", 0.0)
        await ask(ring, known)
        assert len(reads) == 2

    asyncio.run(run())


def test_many_unknown_keys_cost_one_read(database: Database, settings: Settings) -> None:
    ring = KeyRing(database, settings)
    reads = count_reads(database)

    async def run() -> None:
        asked = [ask(ring, tokens.new_token()[1]) for _ in range(50)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(answer, UnauthorizedError) for answer in answers)
        assert len(reads) == 1

    asyncio.run(run())


def test_a_revoked_key_ends_what_it_began(database: Database, settings: Settings) -> None:
    going = new_key(database, "train", name="going")
    staying = new_key(database, "train")
    ring = KeyRing(database, settings)

    async def run() -> None:
        caller, other = await ask(ring, going), await ask(ring, staying)
        keys.revoke(database, "going")
        assert not caller.ended
        await ring._read()
        assert caller.ended
        assert not other.ended
        assert await ask(ring, staying) is other
        with pytest.raises(UnauthorizedError):
            await ask(ring, going)

    asyncio.run(run())


def test_a_key_ends_at_its_time() -> None:
    scopes = frozenset({"train"})
    assert Caller("default", scopes, expires=time.time() - 1).ended
    assert not Caller("default", scopes, expires=time.time() + 1000).ended


def count_reads(database: Database) -> list[str]:
    """A list that grows with every statement about keys."""
    reads: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def count(*arguments: Any) -> None:
        if "api_keys" in arguments[2]:
            reads.append(arguments[2])

    return reads

"""Lists and polls ask the database as often, however many rows it has."""

import pytest

import migrations
from app.db.engine import make_engine
from app.db.repositories import queues
from benchmarks.database.asking import costs, routes
from benchmarks.database.rows import Size, fill
from tests.app.db.test_migrations import NewDatabase, new_url  # noqa: F401 - a fixture

FEW = Size(classifiers=4, versions=8, jobs=40, queued=8, uploads=4, images=1200)
MANY = Size(classifiers=40, versions=160, jobs=400, queued=120, uploads=60, images=2400)
# As docs/performance.md has it.
MOST = 10


def test_no_query_a_row(
    new_url: NewDatabase,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queues, "_SECONDS", 0)  # each request reads them
    counted = []
    for name, size in (("few", FEW), ("many", MANY)):
        url = new_url(name)
        migrations.upgrade(url)
        engine = make_engine(url)
        fill(engine, size)
        engine.dispose()
        found = costs(url, size, rounds=1, repeats=1)
        counted.append({route: found[route].queries for route in routes(size)})
        # All that there is was listed.
        assert found["classifiers"].bytes > 300 * size.classifiers
        assert found["uploads"].bytes > 300 * size.uploads
        assert found["queued jobs"].bytes > 250 * min(size.queued, 100)
    few, many = counted
    assert few == many
    assert max(few.values()) <= MOST

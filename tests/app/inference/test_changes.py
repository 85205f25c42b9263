"""The feed of changes: each is seen once, whatever order transactions end in."""

from app.db.engine import Database
from app.db.repositories import changes as change_rows
from app.db.tables import ClassifierChange
from app.inference.changes import ChangeFeed


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def record(database: Database, *classifiers: str) -> None:
    with database.transaction() as session:
        for classifier in classifiers:
            change_rows.record(session, classifier)


def look(database: Database, feed: ChangeFeed) -> set[str] | None:
    with database.reading() as session:
        return feed.read(session)


def test_each_change_is_seen_once(database: Database) -> None:
    record(database, "old")
    clock = Clock()
    feed = ChangeFeed(clock)
    assert look(database, feed) is None
    assert look(database, feed) == set()
    record(database, "a", "b", "a")
    assert look(database, feed) == {"a", "b"}
    for _ in range(50):
        assert look(database, feed) == set()
        clock.now += 1
    record(database, "a")
    assert look(database, feed) == {"a"}
    clock.now += 10
    assert look(database, feed) is None  # a minute has passed: anything may have changed
    feed.start_over()
    assert look(database, feed) is None


def test_a_transaction_that_ends_after_later_ones(database: Database) -> None:
    record(database, "old")
    clock = Clock()
    feed = ChangeFeed(clock)
    look(database, feed)
    record(database, "slow", "quick")
    with database.transaction() as session:
        slow = session.get_one(ClassifierChange, change_rows.newest(session) - 1)
        number, changed_at = slow.number, slow.changed_at
        session.delete(slow)
    assert look(database, feed) == {"quick"}
    clock.now += 5
    with database.transaction() as session:
        row = ClassifierChange(number=number, classifier_id="slow", changed_at=changed_at)
        session.add(row)
    assert look(database, feed) == {"slow"}
    clock.now += 20
    assert look(database, feed) == set()


def test_old_changes_go_and_numbers_do_not_come_again(database: Database) -> None:
    record(database, "a")
    with database.transaction() as session:
        before = change_rows.newest(session)
        row = session.get_one(ClassifierChange, before)
        row.changed_at = row.changed_at.replace(year=2020)
        session.flush()
        change_rows.delete_old(session, database.now(session))
    record(database, "b")
    with database.reading() as session:
        assert change_rows.after(session, 0) == [(before + 1, "b")]

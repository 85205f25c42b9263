"""Which classifiers have changed: a poll costs what has changed, not what there is."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from app.db.repositories import changes as change_rows

# On PostgreSQL, a change may become visible after one with a higher number. It is looked for until
# its transaction has had this many seconds to commit.
_SETTLED_SECONDS = 10.0
# How often everything is read again: for transactions that took longer, and for a database that
# was restored from a backup.
_ALL_SECONDS = 60.0


class ChangeFeed:
    """Reads the changes of classifiers. For one thread at a time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._settled = 0
        # When each later number was first seen.
        self._seen: dict[int, float] = {}
        self._all_due = clock()

    def read(self, session: Session) -> set[str] | None:
        """Return the classifiers that have changed since the last look; None: any may have."""
        now = self._clock()
        if now >= self._all_due:
            newest = change_rows.newest(session)
            if newest < self._settled or not self._settled:
                self._settled, self._seen = newest, {}
            self._all_due = now + _ALL_SECONDS
            return None
        changed = set()
        for number, classifier_id in change_rows.after(session, self._settled):
            if number not in self._seen:
                self._seen[number] = now
                changed.add(classifier_id)
        settled = [number for number, at in self._seen.items() if now - at >= _SETTLED_SECONDS]
        self._settled = max([self._settled, *settled])
        for number in settled:
            del self._seen[number]
        return changed

    def start_over(self) -> None:
        """Have the next look return None: what the last one returned was not dealt with."""
        self._all_due = self._clock()

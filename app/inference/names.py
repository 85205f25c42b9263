"""What names loaded versions: a classifier's aliases and the numbers of its versions."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.db.repositories.classifiers import Served
from app.services.classifiers.references import LIVE, is_number

_Owner = tuple[str, str]  # workspace and name of a classifier


@dataclass(slots=True)
class _Known:
    owner: _Owner
    pinned: bool
    # The ids of versions by alias or number.
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moved:
    """An alias that names another version now; the one before is served until it is loaded."""

    classifier_id: str
    classifier: str
    alias: str
    version_id: str


class Names:
    """The names that requests have used, and which versions they name.

    Readers need no lock: dictionaries change in single steps.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, _Known] = {}
        self._by_owner: dict[_Owner, _Known] = {}
        # The name of the only classifier of a workspace.
        self._only: dict[str, str] = {}
        # Grows when something has changed: what was read before may be out of date.
        self.generation = 0

    @property
    def classifier_ids(self) -> set[str]:
        """The ids of all classifiers that have a name here."""
        with self._lock:
            return set(self._by_id)

    @property
    def pinned(self) -> set[str]:
        """The ids of the live versions of pinned classifiers."""
        with self._lock:
            found = (known.versions.get(LIVE) for known in self._by_id.values() if known.pinned)
            return {version_id for version_id in found if version_id is not None}

    def find(self, workspace: str, classifier: str, reference: str) -> str | None:
        """Return the id of the version that a reference names, if it is known."""
        known = self._by_owner.get((workspace, classifier))
        return None if known is None else known.versions.get(reference)

    def only(self, workspace: str) -> str | None:
        """Return the name of the workspace's only classifier, if that is known."""
        return self._only.get(workspace)

    def numbered(self, classifier_id: str) -> set[str]:
        """Return the ids of the versions that were asked for by number."""
        with self._lock:
            known = self._by_id.get(classifier_id)
            named = {} if known is None else known.versions
            return {version_id for name, version_id in named.items() if is_number(name)}

    def learn_only(self, workspace: str, name: str, generation: int) -> None:
        """Remember the only classifier of a workspace, unless anything changed meanwhile."""
        with self._lock:
            if generation == self.generation:
                self._only[workspace] = name

    def learn(
        self, classifier_id: str, served: Served, reference: str, version_id: str, generation: int
    ) -> bool:
        """Remember what a reference names; False where anything has changed since `generation`."""
        with self._lock:
            if generation == self.generation:
                self._enter(classifier_id, served).versions[reference] = version_id
            return generation == self.generation

    def point(self, moved: Moved) -> str | None:
        """Let an alias name the version that it moved to; return the one before."""
        with self._lock:
            known = self._by_id.get(moved.classifier_id)
            if known is None:
                return None
            before = known.versions.get(moved.alias)
            known.versions[moved.alias] = moved.version_id
            return before

    def named(self, classifier_id: str) -> set[str]:
        """Return the ids of all versions of a classifier that have a name here."""
        with self._lock:
            known = self._by_id.get(classifier_id)
            return set() if known is None else set(known.versions.values())

    def begin_change(self) -> None:
        """Note that something has changed, before it is read."""
        with self._lock:
            self.generation += 1
            self._only.clear()

    def follow(
        self,
        classifier_id: str,
        served: Served | None,
        existing: set[str],
        is_loaded: Callable[[str], bool],
    ) -> list[Moved]:
        """Take over what a classifier's names are now; `served` is None where it was deleted.

        `existing` are the versions asked for by number that are left. Return the aliases whose new
        version must be loaded before they name it: those whose version is in memory, and those of
        pinned classifiers.
        """
        with self._lock:
            if served is None:
                self._drop(classifier_id)
                return []
            known = self._by_id.get(classifier_id)
            if known is None and not served.pinned:
                return []
            newly_pinned = served.pinned and (known is None or not known.pinned)
            known = self._enter(classifier_id, served)
            versions = _now(known.versions, served.aliases, existing)
            if served.pinned and LIVE in served.aliases:
                versions[LIVE] = served.aliases[LIVE]
            moved = []
            for name, version_id in versions.items():
                before = known.versions.get(name)
                swapped = before is not None and before != version_id and is_loaded(before)
                pinned = served.pinned and name == LIVE and (newly_pinned or before != version_id)
                if swapped or pinned:
                    moved.append(Moved(classifier_id, served.name, name, version_id))
                if swapped and before is not None:
                    versions[name] = before
            known.versions = versions
            return moved

    def _enter(self, classifier_id: str, served: Served) -> _Known:
        owner = (served.workspace, served.name)
        known = self._by_id.get(classifier_id)
        if known is None:
            known = self._by_id[classifier_id] = _Known(owner, served.pinned)
        if known.owner != owner:
            self._forget_owner(known)
            known.owner = owner
        known.pinned = served.pinned
        self._by_owner[owner] = known
        return known

    def _drop(self, classifier_id: str) -> None:
        known = self._by_id.pop(classifier_id, None)
        if known is not None:
            self._forget_owner(known)

    def _forget_owner(self, known: _Known) -> None:
        # Another classifier may have the name by now.
        if self._by_owner.get(known.owner) is known:
            del self._by_owner[known.owner]


def _now(
    versions: Mapping[str, str], aliases: Mapping[str, str], existing: set[str]
) -> dict[str, str]:
    """Return what names that were used name now; those that name nothing any more are left out."""
    found = {}
    for name, version_id in versions.items():
        if is_number(name):
            if version_id in existing:
                found[name] = version_id
        elif name in aliases:
            found[name] = aliases[name]
    return found

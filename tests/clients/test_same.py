"""The client for asyncio offers what the other one does."""

import inspect
from collections.abc import Iterator

import accrue_client
import pytest
from accrue_client import awaiting, blocking  # noqa: F401
from accrue_client.awaiting import classifiers as awaiting_classifiers
from accrue_client.blocking import classifiers as blocking_classifiers

PAIRS = [
    (getattr(accrue_client, name), getattr(accrue_client, f"Async{name}"))
    for name in ("Accrue", "Classifier", "Job", "Version", "Evaluation")
]
PAIRS.append((blocking_classifiers.Classifiers, awaiting_classifiers.AsyncClassifiers))
RENAMED = {"__enter__": "__aenter__", "__exit__": "__aexit__"}


def members(kind: type) -> Iterator[tuple[str, object]]:
    for name, member in vars(kind).items():
        if not name.startswith("_") or name in RENAMED or name in RENAMED.values():
            yield name, member


@pytest.mark.parametrize(("plain", "awaited"), PAIRS, ids=[pair[0].__name__ for pair in PAIRS])
def test_members_parameters_and_texts(plain: type, awaited: type) -> None:
    own, others = dict(members(plain)), dict(members(awaited))
    assert {RENAMED.get(name, name) for name in own} == set(others)
    for name, member in own.items():
        other = others[RENAMED.get(name, name)]
        if not inspect.isfunction(member):
            assert type(member) is type(other), name
            continue
        assert inspect.isfunction(other)
        assert list(inspect.signature(member).parameters) == list(
            inspect.signature(other).parameters
        ), name
        said = (other.__doc__ or "").replace("Async", "").replace("an `", "a `")
        assert " ".join((member.__doc__ or "").split()) == " ".join(said.split()), name
        if name not in ("predict_each",):
            assert inspect.iscoroutinefunction(other), name

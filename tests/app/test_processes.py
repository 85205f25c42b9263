"""The memory of a process."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.processes import spare_imported


@pytest.fixture(autouse=True)
def _collect_all_again() -> Iterator[None]:
    yield
    gc.unfreeze()


def looked_at(wanted: object) -> bool:
    """Say whether garbage collections look at an object."""
    return any(each is wanted for each in gc.get_objects())


def test_what_imports_made_is_left_out_of_collections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "long_lived.py").write_text("things = [[number] for number in range(10)]\n")
    monkeypatch.syspath_prepend(tmp_path)
    spare_imported()
    made_later: list[int] = [1]
    spare_imported()
    assert looked_at(made_later)  # nothing was imported meanwhile
    import long_lived  # type: ignore[import-not-found]

    assert looked_at(long_lived.things)
    spare_imported()
    assert not looked_at(long_lived.things)
    del sys.modules["long_lived"]

"""The memory for loaded versions: by the setting, the machine or the container."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.inference.budget import model_memory
from app.memory import usable_memory
from app.settings import Settings


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000),
        ("512m", 536_870_912),
        ("2g", 2_147_483_648),
        ("1.5GiB", 1_610_612_736),
        ("4k", 4096),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCRUE_MODEL_MEMORY", text)
    assert model_memory(Settings()) == size


@pytest.mark.parametrize("text", ["two", "2x", "-1", "0", "g"])
def test_other_sizes_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCRUE_MODEL_MEMORY", text)
    with pytest.raises(ValidationError, match="model_memory"):
        Settings()


def machine(folder: Path, cgroup: str, limits: dict[str, str]) -> tuple[Path, Path]:
    """Write what Linux shows of a machine with 8,000,000 KiB."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/meminfo").write_text("MemTotal:        8000000 kB\nMemFree: 1 kB\n")
    (folder / "proc/self/cgroup").write_text(cgroup)
    for path, text in limits.items():
        file = folder / "cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "proc", folder / "cgroup"


@pytest.mark.parametrize(
    ("cgroup", "limits", "expected"),
    [
        ("", {}, 8_192_000_000),
        # In a container, the group is the root.
        ("0::/\n", {"memory.max": "2000000000\n"}, 2_000_000_000),
        ("0::/\n", {"memory.max": "max\n"}, 8_192_000_000),
        # A group inherits the limits above it.
        (
            "0::/a/b\n",
            {"a/memory.max": "1000000\n", "a/b/memory.max": "max\n"},
            1_000_000,
        ),
        ("0::/of/the/host\n", {"memory.max": "3000000\n"}, 3_000_000),
        # Version 1 has an immense number where there is no limit.
        (
            "5:cpu:/x\n4:memory:/x\n",
            {"memory/x/memory.limit_in_bytes": "9223372036854771712\n"},
            8_192_000_000,
        ),
        ("4:memory:/x\n", {"memory/x/memory.limit_in_bytes": "7000\n"}, 7000),
    ],
)
def test_the_lowest_limit_counts(
    tmp_path: Path, cgroup: str, limits: dict[str, str], expected: int
) -> None:
    assert usable_memory(*machine(tmp_path, cgroup, limits)) == expected

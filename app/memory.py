"""How much memory this process may use, by the machine and by the container that it is in."""

from pathlib import Path


def usable_memory(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes of the machine's memory, or of a container's where its limit is lower."""
    limits = [_total(proc), *_limits(proc, groups)]
    return min(limits)


def _total(proc: Path) -> int:
    for line in (proc / "meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * 1024
    raise OSError(f"{proc}/meminfo has no MemTotal")


def _limits(proc: Path, groups: Path) -> list[int]:
    """Return the limits of this process's control group and of those above it, of both versions."""
    found = []
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        folder = root / path.lstrip("/")
        # In a container, the path may be the host's, and only the root is there.
        while True:
            found += [int(text) for text in _lines(folder / name) if text.isdigit()]
            if folder == root or root not in folder.parents:
                break
            folder = folder.parent
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []

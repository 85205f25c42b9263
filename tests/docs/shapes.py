"""How an answer that a page shows differs in form from a real one."""

from collections.abc import Iterator
from typing import Any

# Objects whose keys are labels, names of options, or what a client chose.
_BY_NAME = ("classes", "metadata", "options", "per_class", "refused")
CUT = "…"


def differences(shown: Any, real: Any, at: str = "") -> Iterator[str]:
    """Yield where fields or types differ. Null is like anything, and "…" is what is left out."""
    if shown is None or real is None:
        return
    if isinstance(shown, dict) and isinstance(real, dict):
        if at.rpartition("/")[2].startswith(_BY_NAME):
            return
        for name in sorted(shown.keys() ^ real.keys()):
            if name in shown and name != CUT:
                yield f"{at}/{name} is not in real answers"
            elif name in real and CUT not in shown:
                yield f"{at}/{name} is not shown"
        for name in shown.keys() & real.keys():
            yield from differences(shown[name], real[name], f"{at}/{name}")
    elif isinstance(shown, list) and isinstance(real, list):
        for one, other in zip((each for each in shown if each != CUT), real, strict=False):
            yield from differences(one, other, f"{at}/0")
    elif _kind(shown) != _kind(real):
        yield f"{at} is {_kind(shown)}, in real answers {_kind(real)}"


def _kind(value: Any) -> str:
    """The type of a value in JSON, where 1 and 1.0 are alike."""
    if isinstance(value, bool):
        return "true or false"
    kinds = {int: "a number", float: "a number", str: "text", dict: "an object", list: "an array"}
    return kinds[type(value)]

"""What a service says about an upload, in lines for the terminal."""

from collections.abc import Mapping
from typing import Any


def rejected_lines(upload: Mapping[str, Any]) -> list[str]:
    """Return a line for each reason for which files were rejected, and for each empty class."""
    reasons = [
        f"  rejected {group['count']}: {group['reason']} ({_names(group)})"
        for group in upload["rejected_reasons"]
    ]
    empty = [
        f"  class {label!r} is left out: not one of its files was accepted"
        for label in upload["empty_classes"]
    ]
    return reasons + empty


def _names(group: Mapping[str, Any]) -> str:
    more = group["count"] - len(group["examples"])
    names = ", ".join(group["examples"])
    return f"{names} and {more} more" if more else names

"""What was not taken of labelled images, in a few words: reasons, and classes that came to nothing.

An upload lists each rejected file, up to a limit. This is what is shown of all of them.
"""

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, Field

from app.db.repositories.events import Event
from app.services.labels import named
from app.services.uploads.sources import Rejection

_EXAMPLES = 3


class RejectedReason(BaseModel):
    """Files that were rejected for the same reason."""

    reason: str
    count: int
    examples: list[str] = Field(description=f"Up to {_EXAMPLES} names.")


class RejectedView(BaseModel):
    """What was rejected, summed up."""

    rejected_count: int
    rejected_reasons: list[RejectedReason]
    empty_classes: list[str]


def grouped(
    rejected: Iterable[Rejection], known: Iterable[RejectedReason] = ()
) -> list[RejectedReason]:
    """Group rejections by reason, together with those that are grouped already."""
    by_reason = {group.reason: group.model_copy(deep=True) for group in known}
    for rejection in rejected:
        reason = rejection.reason.partition(" (")[0]
        group = by_reason.setdefault(reason, RejectedReason(reason=reason, count=0, examples=[]))
        group.count += 1
        if len(group.examples) < _EXAMPLES:
            group.examples.append(rejection.name)
    return sorted(by_reason.values(), key=lambda group: -group.count)


def in_words(reasons: Sequence[RejectedReason]) -> str:
    """Return the reasons as one text: ``2 the file is empty (a.png, b.png)``."""
    return "; ".join(f"{group.count} {group.reason} ({_names(group)})" for group in reasons)


def _names(group: RejectedReason) -> str:
    names = ", ".join(group.examples)
    more = group.count - len(group.examples)
    return f"{names} and {more} more" if more else names


def warning(upload_id: str, view: RejectedView, taken: int) -> Event:
    """Return what to tell of an upload beside its job. `taken` counts the files not rejected."""
    message = (
        f"{view.rejected_count} of {view.rejected_count + taken} files of the upload {upload_id} "
        f"were rejected: {in_words(view.rejected_reasons)}."
    )
    if view.empty_classes:
        message += f" Not one image was accepted of {named(view.empty_classes)}."
    data = {"upload": upload_id, **view.model_dump(include=set(RejectedView.model_fields))}
    return Event("warning", message, "warning", data)

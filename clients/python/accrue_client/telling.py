"""Warns of what an upload left out: nothing is left out in silence."""

import warnings

from accrue_client.views import Upload

_NAMED = 3


class NotTakenWarning(UserWarning):
    """Files were not sent or not accepted, or an upload is suspicious."""


def tell_of_upload(upload: Upload) -> None:
    """Warn of what was not taken, with a few names, and of what the service warns of."""
    if upload.skipped:
        first = ", ".join(f"{each.name} ({each.reason})" for each in upload.skipped[:_NAMED])
        _warn(f"Not sent: {first}{_more(len(upload.skipped) - _NAMED)}")
    for group in upload.rejected_reasons:
        names = ", ".join(group.examples)
        _warn(f"Rejected: {names}{_more(group.count - len(group.examples))}: {group.reason}")
    for folder in upload.emptied_folders:
        _warn(f"Nothing of the folder {folder} was sent.")
    for label in upload.empty_classes:
        _warn(f"The class {label!r} is left out: not one of its files was accepted.")
    for text in upload.warnings:
        _warn(text)


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _warn(text: str) -> None:
    warnings.warn(text, NotTakenWarning, stacklevel=4)

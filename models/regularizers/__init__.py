"""The registry of regularizers: losses that the trainer adds to a method's own."""

from typing import Any

from pydantic import ValidationError

from models.errors import InvalidSpecError
from models.regularizers.cs_kd import CSKDOptions, CSKDRegularizer

__all__ = ["CSKDOptions", "CSKDRegularizer", "build", "validate"]

_OWN = {CSKDRegularizer.name: CSKDRegularizer}


def validate(given: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a spec's regularizer with its option defaults filled in.

    `given` has the regularizer's `name` beside its options. Raises InvalidSpecError for the first
    field that is wrong.
    """
    if given is None:
        return None
    options = dict(given)
    name = options.pop("name", None)
    if not isinstance(name, str) or name not in _OWN:
        raise InvalidSpecError(
            "/regularizer/name", f"no regularizer {name!r}; there is {', '.join(_OWN)}"
        )
    try:
        validated = _OWN[name].Options.model_validate(options)
    except ValidationError as error:
        fields = _OWN[name].Options.model_fields
        raise InvalidSpecError.first_of(error, "/regularizer", fields) from error
    return {"name": name, **validated.model_dump(mode="json")}


def build(given: dict[str, Any] | None) -> CSKDRegularizer | None:
    """Return the regularizer of a validated spec, None where it has none."""
    if given is None:
        return None
    options = dict(given)
    kind = _OWN[options.pop("name")]
    return kind(kind.Options.model_validate(options))

"""The registry of methods: ours, and those that other packages offer by entry point."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from models import networks, regularizers
from models.errors import InvalidSpecError
from models.methods.analytic import Analytic
from models.methods.base import Method, Needs, Phase, Setup
from models.methods.cs_kd import CSKDMethod
from models.methods.finetune import Finetune
from models.methods.icarl import ICaRL
from models.methods.joint import Joint
from models.methods.lwf import LwF
from models.methods.lwm import LwM
from models.methods.mas import MAS
from models.methods.packnet import PackNet
from models.methods.piggyback import Piggyback
from models.methods.replay import Replay
from models.spec import Spec

__all__ = [
    "Method",
    "MethodInfo",
    "Needs",
    "Phase",
    "Setup",
    "check_correct",
    "complete",
    "describe_methods",
    "get",
    "going_on",
    "needs",
    "validate",
]

AnyMethod = type[Method[Any]]

# Other packages offer a Method subclass under this group, by its `name`.
ENTRY_POINTS = "accrue.methods"

_OWN: list[AnyMethod] = [
    ICaRL,
    Replay,
    LwF,
    LwM,
    MAS,
    Piggyback,
    PackNet,
    CSKDMethod,
    Analytic,
    Finetune,
    Joint,
]


@dataclass(frozen=True)
class MethodInfo:
    """What a client needs to know of a method to choose it."""

    name: str
    summary: str
    paper: str
    needs: Needs
    classify: tuple[str, ...]
    options: dict[str, Any]  # their JSON schema
    fixed: tuple[str, ...]  # options that no later step can change


@cache
def _registry() -> dict[str, AnyMethod]:
    found = {method.name: method for method in _OWN}
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name in found:
            raise ValueError(f"two methods are named {entry.name!r}: {entry.value} is the second")
        found[entry.name] = entry.load()
    return found


def get(name: str) -> AnyMethod:
    """Return a method's class. Raises InvalidSpecError for an unknown name."""
    try:
        return _registry()[name]
    except KeyError:
        known = ", ".join(_registry())
        raise InvalidSpecError("/method", f"no method {name!r}; there are {known}") from None


def needs(name: str) -> Needs:
    """Return what a method needs. Raises InvalidSpecError for an unknown name."""
    return get(name).needs


def describe_methods() -> list[MethodInfo]:
    """Return all methods, ours first."""
    return [
        MethodInfo(
            name=name,
            summary=method.summary,
            paper=method.paper,
            needs=method.needs,
            classify=method.classify,
            options=method.Options.model_json_schema(),
            fixed=method.fixed,
        )
        for name, method in _registry().items()
    ]


def complete(spec: Spec) -> Spec:
    """Return the spec with the defaults of its method's and its regularizer's options filled in.

    Raises InvalidSpecError for the first option that is wrong.
    """
    method = get(spec.method)
    try:
        options = method.Options.model_validate(spec.options)
    except ValidationError as error:
        raise InvalidSpecError.first_of(error, "/options", method.Options.model_fields) from error
    regularizer = regularizers.validate(spec.regularizer)
    return spec.model_copy(
        update={"options": options.model_dump(mode="json"), "regularizer": regularizer}
    )


def going_on(spec: Spec, base: Mapping[str, Any]) -> Spec:
    """Return the spec with the options that the version it goes on from has and cannot change.

    `base` are all options of that version. A default that another release has changed stays as it
    was. Raises InvalidSpecError for an option that is given and differs.
    """
    kept = {name: base[name] for name in get(spec.method).fixed if name in base}
    completed = complete(spec).options
    for name, value in kept.items():
        if name in spec.options and completed[name] != value:
            raise InvalidSpecError(
                f"/options/{name}",
                f"what this classifier has learnt rests on {name} {value}, which cannot change: "
                "leave the option out of the job, set it to null in the classifier (PATCH), or "
                "make another classifier",
            )
    return spec.model_copy(update={"options": {**spec.options, **kept}})


def validate(spec: Spec) -> Spec:
    """Return the completed spec, after checking that backbone and method accept it.

    Raises InvalidSpecError for the first field that is wrong.
    """
    completed = complete(spec)
    _validate_backbone(spec)
    method = get(spec.method)
    method.check(spec, method.Options.model_validate(completed.options))
    return completed


def check_correct(spec: Spec) -> None:
    """Check that labels of images that a version was trained on can be corrected.

    `spec` is the version's. Raises LearningError.
    """
    method = get(spec.method)
    method.check_correct(method.Options.model_validate(spec.options))


def _validate_backbone(spec: Spec) -> None:
    if not networks.is_backbone(spec.backbone):
        raise InvalidSpecError(
            "/backbone", f"no backbone {spec.backbone!r}: GET /v1/backbones lists them"
        )
    if spec.weights is not None:
        try:
            networks.check_weights(spec.backbone, spec.weights)
        except ValueError as error:
            raise InvalidSpecError("/weights", str(error)) from error
    if not networks.accepts(spec.backbone, spec.image_size):
        raise InvalidSpecError(
            "/image_size",
            f"{spec.backbone} does not take images of {spec.image_size} pixels",
        )

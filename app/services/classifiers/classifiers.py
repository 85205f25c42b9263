"""Classifiers: what they are, how one is made, changed and deleted."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import (
    aliases as alias_rows,
    classifiers as classifier_rows,
    versions as version_rows,
)
from app.db.tables import Classifier
from app.errors import FieldError, ServiceError
from app.ids import new_id
from app.services.classifiers.references import LIVE
from app.services.requests import GivenOptions, RequestBody, Text
from models import methods
from models.errors import InvalidSpecError
from models.spec import Augment, Budget, Spec

Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100),
    Field(description="Letters, digits, dot, underscore and hyphen: it is part of URLs."),
]


class ClassifierNotFoundError(ServiceError, status=404, code="classifier-not-found"):
    """No classifier has that name."""


class ClassifierExistsError(ServiceError, status=409, code="classifier-exists"):
    """Another classifier has that name."""


class ClassifierInUseError(ServiceError, status=409, code="classifier-in-use"):
    """A job of the classifier has not ended."""


class InvalidOptionsError(ServiceError, status=422, code="invalid-options"):
    """The method, its options or the backbone do not fit together."""


class Promotion(RequestBody):
    """When a new version becomes `live` by itself."""

    policy: Literal["always", "guarded", "manual"] = "always"
    max_accuracy_drop: float | None = Field(
        None, ge=0, le=1, description="For `guarded`: on the classes that were known before."
    )

    @model_validator(mode="after")
    def _drop_goes_with_guarded(self) -> Self:
        if (self.policy == "guarded") != (self.max_accuracy_drop is not None):
            raise ValueError("max_accuracy_drop goes with the policy guarded, and only with it")
        return self


class Retention(RequestBody):
    """Which versions are kept."""

    keep_last: int | None = Field(
        None,
        ge=1,
        description="The newest so many, and those that an alias names or a job starts from; null "
        "keeps all.",
    )


class ClassifierSpec(RequestBody):
    """What a classifier is: the body of ``POST /v1/classifiers``."""

    name: Name
    method: Text = Field("icarl", description="One of GET /v1/methods.")
    options: GivenOptions = Field(
        default_factory=dict, description="The method's options; each has a default."
    )
    backbone: Text = Field("resnet32", description="One of GET /v1/backbones.")
    weights: Text | None = Field(
        None, description="Pretrained weights: DEFAULT, a name, or a .safetensors file."
    )
    image_size: int = Field(32, ge=8, le=1024, description="Images are resized to this square.")
    memory: Budget = Budget(exemplars=2000)
    regularizer: GivenOptions | None = None
    augment: Augment = Augment()
    validation_fraction: float = Field(
        0.1, ge=0, lt=1, description="Part of each upload that is held out and measured on."
    )
    keep_images: bool = Field(
        False, description="Keep every image that was learnt from: uploads stay until deleted."
    )
    hardware: Literal["any", "gpu"] = "any"
    promotion: Promotion = Promotion()
    retention: Retention = Retention()
    seed: int = Field(1993, ge=0, lt=2**63)


class ClassifierPatch(RequestBody):
    """What may change: it holds for the jobs that start after the change."""

    options: GivenOptions | None = Field(
        None,
        description="Options to change; null takes one back to its default, and those not named "
        "stay as they are.",
    )
    memory: Budget | None = None
    validation_fraction: float | None = Field(None, ge=0, lt=1)
    keep_images: bool | None = None
    hardware: Literal["any", "gpu"] | None = None
    promotion: Promotion | None = None
    retention: Retention | None = None


class ClassifierView(ClassifierSpec):
    """A classifier as clients see it."""

    live: int | None = Field(description="Number of the version that `live` names.")
    created_at: datetime


def to_model_spec(
    classifier_spec: Mapping[str, Any], option_overrides: Mapping[str, Any] | None = None
) -> Spec:
    """Return what the learning core needs of a stored classifier, a job's options on top.

    Raises InvalidOptionsError with a pointer to what is wrong.
    """
    known = {name: classifier_spec[name] for name in Spec.model_fields}
    known["options"] = {**known["options"], **(option_overrides or {})}
    try:
        return methods.validate(Spec.model_validate(known))
    except InvalidSpecError as error:
        raise InvalidOptionsError(
            error.detail, errors=[FieldError(error.pointer, error.detail)]
        ) from error


def require(session: Session, workspace: str, name: str, *, lock: bool = False) -> Classifier:
    """Return the classifier of that name. Raises ClassifierNotFoundError."""
    found = classifier_rows.find(session, workspace, name, lock=lock)
    if found is None:
        raise ClassifierNotFoundError("There is no classifier of that name.")
    return found


def hold(session: Session, row: Classifier) -> None:
    """Keep a classifier from being deleted until the commit. Raises ClassifierNotFoundError."""
    if not classifier_rows.hold(session, row.id):
        raise ClassifierNotFoundError("The classifier has just been deleted.")


def create(
    db: Database,
    workspace: str,
    spec: ClassifierSpec,
    *,
    on_created: Callable[[Session, ClassifierView], None],
) -> ClassifierView:
    """Make a classifier; `on_created` acts in the same transaction.

    Raises ClassifierExistsError and InvalidOptionsError.
    """
    stored = _checked(spec.model_dump(mode="json"))
    row = Classifier(
        id=new_id("cls"),
        workspace=workspace,
        name=spec.name,
        spec=stored,
        last_version=0,
        created_at=datetime.now(UTC),
    )
    view = _view(row, None)
    try:
        with db.transaction() as session:
            session.add(row)
            session.flush()
            on_created(session, view)
    except IntegrityError:
        raise ClassifierExistsError("A classifier of that name exists already.") from None
    return view


def get(db: Database, workspace: str, name: str) -> ClassifierView:
    """Return one classifier. Raises ClassifierNotFoundError."""
    with db.reading() as session:
        return _with_live(session, require(session, workspace, name))


def page(db: Database, workspace: str, *, limit: int, after: str | None) -> list[ClassifierView]:
    """Return up to `limit` classifiers by name, those after the one named."""
    with db.reading() as session:
        found = classifier_rows.page(session, workspace, limit=limit, after=after)
        return [_with_live(session, row) for row in found]


def change(db: Database, workspace: str, name: str, patch: ClassifierPatch) -> ClassifierView:
    """Change a classifier for the jobs to come.

    Raises ClassifierNotFoundError and InvalidOptionsError.
    """
    with db.reading() as session:
        before = require(session, workspace, name).spec
    # Checking may take long, so it is done outside the transaction, which holds up every writer.
    after = _changed(before, patch)
    with db.transaction() as session:
        row = require(session, workspace, name, lock=True)
        row.spec = after if row.spec == before else _changed(row.spec, patch)
        session.flush()
        classifier_rows.note_change(session, row.id)
        return _with_live(session, row)


def delete(db: Database, workspace: str, name: str) -> None:
    """Delete a classifier with its versions, aliases and jobs.

    Raises ClassifierNotFoundError, and ClassifierInUseError while a job waits or runs.
    """
    with db.transaction() as session:
        row = require(session, workspace, name, lock=True)
        if classifier_rows.has_unfinished_job(session, row.id):
            raise ClassifierInUseError("A job of this classifier has not ended: cancel it first.")
        classifier_rows.remove(session, row)


def _checked(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the spec as it is stored: with the crop of the image size, and options as given.

    Options' defaults are filled in where they are shown and used, for one may depend on another.
    """
    checked = to_model_spec(spec)
    return {**spec, "augment": {**spec["augment"], "crop": checked.crop}}


def _changed(spec: dict[str, Any], patch: ClassifierPatch) -> dict[str, Any]:
    changes = patch.model_dump(mode="json", exclude_none=True, exclude={"options"})
    options = {**spec["options"], **(patch.options or {})}
    for name, value in (patch.options or {}).items():
        if value is None:
            del options[name]
    return _checked({**spec, **changes, "options": options})


def _all_options(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the options given and the defaults of the others."""
    try:
        options = methods.get(spec["method"]).Options.model_validate(spec["options"])
    except (InvalidSpecError, ValidationError):
        # A method of another package, gone or changed since: what was given is all there is.
        given: dict[str, Any] = spec["options"]
        return given
    return options.model_dump(mode="json")


def _with_live(session: Session, row: Classifier) -> ClassifierView:
    alias = alias_rows.get(session, row.id, LIVE)
    version = version_rows.get(session, alias.version_id) if alias else None
    return _view(row, version.number if version else None)


def _view(row: Classifier, live: int | None) -> ClassifierView:
    shown = {**row.spec, "options": _all_options(row.spec)}
    return ClassifierView(**shown, live=live, created_at=row.created_at)

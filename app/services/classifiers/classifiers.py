"""Classifiers: how they are made, shown, changed and deleted."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import Field, ValidationError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import (
    aliases as alias_rows,
    changes as change_rows,
    classifiers as classifier_rows,
    versions as version_rows,
)
from app.db.rows import columns_of, insert, insert_missing
from app.db.tables import Classifier, Version
from app.errors import UNTIL_A_JOB_ENDS, FieldError, ServiceError
from app.ids import new_id
from app.services.classifiers.annotations import AnnotationsPatch
from app.services.classifiers.choices import possible_sizes
from app.services.classifiers.references import LIVE
from app.services.classifiers.spec import (
    ClassifierSpec,
    Hardware,
    Name,
    Promotion,
    Retention,
    ValidationFraction,
    sized,
    spec_of,
)
from models import methods
from models.errors import InvalidSpecError
from models.json_values import GivenOptions
from models.spec import Budget, FalseAlarms, Spec

_TAKEN = "A classifier of that name exists already. Use it, or choose another name."


class ClassifierNotFoundError(ServiceError, status=404, code="classifier-not-found"):
    """No classifier has that name."""


class ClassifierExistsError(ServiceError, status=409, code="classifier-exists"):
    """Another classifier has that name."""


class ClassifierInUseError(ServiceError, status=409, code="classifier-in-use"):
    """A job of the classifier has not ended."""


class ConfirmationRequiredError(ServiceError, status=409, code="confirmation-required"):
    """The classifier has versions, and the request does not confirm that they go with it."""


class InvalidOptionsError(ServiceError, status=422, code="invalid-options"):
    """The method, its options or the backbone do not fit together."""


class ClassifierPatch(AnnotationsPatch):
    """The fields that can change, for jobs that start after the change."""

    name: Name | None = Field(None, description="The one before leads nowhere then.")
    options: GivenOptions | None = Field(
        None,
        description="Null: back to the default; others stay.",
    )
    memory: Budget | None = None
    validation_fraction: ValidationFraction | None = None
    false_alarms: FalseAlarms | None = None
    keep_images: bool | None = None
    pinned: bool | None = None
    hardware: Hardware | None = None
    promotion: Promotion | None = None
    retention: Retention | None = None


class ClassifierView(ClassifierSpec):
    """A classifier as clients see it."""

    live: int | None = Field(description="Number of the live version.")
    created_at: datetime


def check_spec(spec: ClassifierSpec, options: Mapping[str, Any] | None = None) -> Spec:
    """Return what the learning core needs, completed, with a job's options over the spec's own.

    Where the image size is still open, all that it may become are checked, and it is the last.
    Raises InvalidOptionsError with a pointer to what is wrong.
    """
    try:
        *_, checked = [
            methods.validate(sized(spec, size).for_training(options))
            for size in possible_sizes(spec)
        ]
        return checked
    except InvalidSpecError as error:
        raise _invalid(error) from error


def check_going_on(spec: Spec, base: Version) -> None:
    """Refuse options that a version to go on from cannot change. Raises InvalidOptionsError.

    `spec` has options as they were given.
    """
    try:
        methods.going_on(spec, base.spec["options"])
    except InvalidSpecError as error:
        raise _invalid(error) from error


def _invalid(error: InvalidSpecError) -> InvalidOptionsError:
    return InvalidOptionsError(error.detail, errors=[FieldError(error.pointer, error.detail)])


def require(session: Session, workspace: str, name: str, *, for_update: bool = False) -> Classifier:
    """Return the classifier of that name; `for_update` locks its row until the commit.

    Raises ClassifierNotFoundError.
    """
    found = classifier_rows.find(session, workspace, name, for_update=for_update)
    if found is None:
        raise not_found()
    return found


def not_found() -> ClassifierNotFoundError:
    """Return the error that says so."""
    return ClassifierNotFoundError("There is no classifier of that name.")


def lock_for_share(session: Session, row: Classifier) -> None:
    """Prevent that a classifier is deleted before the commit. Raises ClassifierNotFoundError."""
    if not classifier_rows.lock_for_share(session, row.id):
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
    check_spec(spec)
    row = _row(workspace, spec)
    view = _view(row, None)
    try:
        with db.transaction() as session:
            insert(session, row)
            change_rows.record(session, row.id)
            on_created(session, view)
    except IntegrityError:
        raise ClassifierExistsError(_TAKEN) from None
    return view


def ensure(session: Session, workspace: str, spec: ClassifierSpec) -> Classifier:
    """Return the classifier of a checked spec's name; where there is none, it makes one."""
    if (found := classifier_rows.find(session, workspace, spec.name)) is not None:
        return found
    row = _row(workspace, spec)
    # Another transaction may make one meanwhile.
    insert_missing(session, Classifier, [columns_of(row)])
    found = require(session, workspace, spec.name)
    change_rows.record(session, found.id)
    return found


def get(db: Database, workspace: str, name: str) -> ClassifierView:
    """Return one classifier. Raises ClassifierNotFoundError."""
    with db.reading() as session:
        return _with_live(session, require(session, workspace, name))


def page(
    db: Database, workspace: str, *, prefix: str, limit: int, after: str | None
) -> list[ClassifierView]:
    """Return up to `limit` classifiers by name, those after `after` that begin with `prefix`."""
    with db.reading() as session:
        found = classifier_rows.page(session, workspace, prefix=prefix, limit=limit, after=after)
        live = alias_rows.numbers(session, [row.id for row in found], LIVE)
        return [_view(row, live.get(row.id)) for row in found]


def change(db: Database, workspace: str, name: str, patch: ClassifierPatch) -> ClassifierView:
    """Change a classifier, for jobs that start after the change.

    Raises ClassifierNotFoundError, InvalidOptionsError, and ClassifierExistsError for a name that
    is taken.
    """
    with db.reading() as session:
        before = spec_of(require(session, workspace, name))
    # Checking may take long, so it comes before the transaction, which blocks other writers.
    after = _changed(before, patch)
    try:
        with db.transaction() as session:
            row = require(session, workspace, name, for_update=True)
            current = spec_of(row)
            changed = after if current == before else _changed(current, patch)
            if patch.options and (live := version_rows.by_alias(session, row.id, LIVE)):
                check_going_on(changed.for_training(), live)
            row.name, row.spec = changed.name, changed.model_dump(mode="json")
            session.flush()
            classifier_rows.bump_revision(session, row.id)
            return _with_live(session, row)
    except IntegrityError:
        raise ClassifierExistsError(_TAKEN) from None


def delete(db: Database, workspace: str, name: str, *, confirm: str | None = None) -> None:
    """Delete a classifier with its versions, aliases and jobs; with versions, `confirm` names it.

    Raises ClassifierNotFoundError, ConfirmationRequiredError, and ClassifierInUseError where a job
    has not ended.
    """
    with db.transaction() as session:
        row = require(session, workspace, name, for_update=True)
        if confirm != name and (confirm or classifier_rows.has_version(session, row.id)):
            raise ConfirmationRequiredError(
                "This deletes the classifier's versions for good. To do so, repeat the request "
                "with the parameter confirm, and the classifier's name as its value."
            )
        if classifier_rows.has_unfinished_job(session, row.id):
            raise ClassifierInUseError(
                "A job of this classifier has not ended. Cancel it, or wait for its end.",
                headers=UNTIL_A_JOB_ENDS,
            )
        classifier_rows.remove(session, row)


def _row(workspace: str, spec: ClassifierSpec) -> Classifier:
    return Classifier(
        id=new_id("cls"),
        workspace=workspace,
        name=spec.name,
        spec=_with_crop(spec).model_dump(mode="json"),
        last_version=0,
        revision=1,
        kept_revision=0,
        created_at=datetime.now(UTC),
    )


def _with_crop(spec: ClassifierSpec) -> ClassifierSpec:
    """Return a checked spec with the crop of its image size, and its options as they were given.

    The crop stays open as long as the image size does.

    Options' defaults are filled in where they are shown and used, for one may depend on another.
    """
    return spec if spec.image_size is None else sized(spec, spec.image_size)


def _changed(spec: ClassifierSpec, patch: ClassifierPatch) -> ClassifierSpec:
    """Return the spec with the fields that the patch names. Raises InvalidOptionsError."""
    changes = {name: value for name, value in patch if value is not None}
    if patch.memory is not None:  # another limit does not change the form of what is kept
        form = spec.memory.model_dump(include={"format", "quality"})
        changes["memory"] = Budget(**form | patch.memory.model_dump(exclude_unset=True))
    options = {**spec.options, **(patch.options or {})}
    for name, value in (patch.options or {}).items():
        if value is None:
            del options[name]
    changed = spec.model_copy(update={**changes, "options": options})
    check_spec(changed)
    return _with_crop(changed)


def _all_options(spec: ClassifierSpec) -> dict[str, Any]:
    """Return the options given and the defaults of the others."""
    try:
        options = methods.get(spec.method).Options.model_validate(spec.options)
    except (InvalidSpecError, ValidationError):
        # The method is another package's, and has gone or changed: only what was given is known.
        return spec.options
    return options.model_dump(mode="json")


def _with_live(session: Session, row: Classifier) -> ClassifierView:
    return _view(row, alias_rows.numbers(session, [row.id], LIVE).get(row.id))


def _view(row: Classifier, live: int | None) -> ClassifierView:
    spec = spec_of(row)
    shown = {**dict(spec), "options": _all_options(spec)}
    return ClassifierView(**shown, live=live, created_at=row.created_at)

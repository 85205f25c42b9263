"""Accuracies are stored once: of classes in their rows, rows of matrices not in later versions.

Lists of versions show how many classes and bytes each has, which is counted here.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations import accuracies_0019 as accuracies
from migrations.accuracies_0019 import MeasuredRow

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_OF_CLASSES = (("measured_on", integer), ("accuracy", sa.Float()), ("standard_error", sa.Float()))
_OF_VERSIONS = ("class_count", "size_bytes")

_versions = sa.table(
    "versions",
    sa.column("id", sa.String()),
    sa.column("classifier_id", sa.String()),
    sa.column("number", integer),
    sa.column("parent_id", sa.String()),
    sa.column("metrics", sa.JSON()),
)
_classes = sa.table(
    "version_classes",
    sa.column("version_id", sa.String()),
    sa.column("index", integer),
    sa.column("label", sa.Text()),
    sa.column("task", integer),
    *(sa.column(name, kind) for name, kind in _OF_CLASSES),
)
_rows = sa.table(
    "accuracy_rows",
    sa.column("version_id", sa.String()),
    sa.column("number", integer),
    sa.column("accuracy", sa.Float()),
    *(sa.column(name, sa.JSON()) for name in ("tasks", "accuracies", "task_aware", "remeasured")),
)

_COUNTS = """
UPDATE versions SET class_count = (
    SELECT count(*) FROM version_classes WHERE version_classes.version_id = versions.id
), size_bytes = (
    SELECT coalesce(sum(parts.size), 0) FROM (
        SELECT DISTINCT version_parts.version_id, blobs.sha256, blobs.size
        FROM version_parts JOIN blobs ON blobs.sha256 = version_parts.sha256
    ) AS parts WHERE parts.version_id = versions.id
)
"""


def upgrade() -> None:
    """Apply, and move what versions have."""
    for name in _OF_VERSIONS:
        op.add_column("versions", sa.Column(name, integer, nullable=False, server_default="0"))
    for name, kind in _OF_CLASSES:
        op.add_column("version_classes", sa.Column(name, kind, nullable=True))
    op.create_table(
        "accuracy_rows",
        sa.Column("version_id", sa.String(64), nullable=False),
        sa.Column("number", integer, autoincrement=False, nullable=False),
        sa.Column("accuracy", sa.Float(), nullable=True),
        sa.Column("tasks", sa.JSON(), nullable=False),
        sa.Column("accuracies", sa.JSON(), nullable=False),
        sa.Column("task_aware", sa.JSON(), nullable=False),
        sa.Column("remeasured", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["versions.id"],
            name="fk_accuracy_rows_version_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("version_id", "number", name="pk_accuracy_rows"),
    )
    op.execute(_COUNTS)
    connection = op.get_bind()
    own: dict[str, list[MeasuredRow]] = {}
    parents: dict[str, str | None] = {}
    numbers: dict[str, set[int]] = {}
    for owner, number in connection.execute(
        sa.select(_versions.c.classifier_id, _versions.c.number)
    ):
        numbers.setdefault(owner, set()).add(number)
    for version, classes in _each(connection):
        parents[version.id] = version.parent_id
        before = _chain(version.parent_id, parents, own)
        tasks = [row.task for row in classes]
        existing = numbers[version.classifier_id]
        rows = accuracies.own_rows(version.metrics, version.number, tasks, before, existing)
        own[version.id] = rows
        _insert(connection, _rows, [{"version_id": version.id, **row._asdict()} for row in rows])
        measured = [
            {"row": row.index, **_prefixed(accuracies.class_columns(version.metrics, row.label))}
            for row in classes
        ]
        _update_classes(connection, version.id, measured)
        _set_metrics(connection, version.id, accuracies.without_rows(version.metrics))


def downgrade() -> None:
    """Undo."""
    connection = op.get_bind()
    parents: dict[str, str | None] = {}
    own: dict[str, list[MeasuredRow]] = {}
    for version, classes in _each(connection):
        parents[version.id] = version.parent_id
        query = sa.select(_rows).where(_rows.c.version_id == version.id).order_by(_rows.c.number)
        own[version.id] = [MeasuredRow(*row[1:]) for row in connection.execute(query)]
        chain = _chain(version.id, parents, own)
        made = accuracies.matrices(chain, [row.task for row in classes]) if chain else {}
        metrics = {**version.metrics, **made, **accuracies.of_classes(classes)}
        _set_metrics(connection, version.id, metrics)
    op.drop_table("accuracy_rows")
    for name, _ in _OF_CLASSES:
        op.drop_column("version_classes", name)
    for name in _OF_VERSIONS:
        op.drop_column("versions", name)


def _each(connection: sa.Connection) -> Iterator[tuple[Any, list[Any]]]:
    """Yield each version with its classes, parents first, one at a time: metrics may be large."""
    order = (_versions.c.classifier_id, _versions.c.number)
    for version_id in connection.scalars(sa.select(_versions.c.id).order_by(*order)).all():
        version = connection.execute(sa.select(_versions).where(_versions.c.id == version_id)).one()
        query = sa.select(_classes).where(_classes.c.version_id == version_id)
        yield version, list(connection.execute(query.order_by(_classes.c.index)).all())


def _chain(
    version_id: str | None, parents: dict[str, str | None], own: dict[str, list[MeasuredRow]]
) -> list[MeasuredRow]:
    """Return the rows of a version and its ancestors, oldest first."""
    found: list[MeasuredRow] = []
    while version_id is not None:
        found += reversed(own[version_id])
        version_id = parents[version_id]
    return found[::-1]


def _insert(connection: sa.Connection, table: sa.TableClause, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)


def _prefixed(columns: dict[str, Any]) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in columns.items()}


def _update_classes(connection: sa.Connection, version_id: str, rows: list[dict[str, Any]]) -> None:
    values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name, _ in _OF_CLASSES}
    where = (_classes.c.version_id == version_id, _classes.c.index == sa.bindparam("row"))
    if rows:
        connection.execute(sa.update(_classes).where(*where).values(values), rows)


def _set_metrics(connection: sa.Connection, version_id: str, metrics: dict[str, Any]) -> None:
    statement = sa.update(_versions).where(_versions.c.id == version_id)
    connection.execute(statement.values(metrics=metrics))

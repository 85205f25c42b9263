"""Taking a version out of the tree: its children take over what they need of it."""

from sqlalchemy import ColumnElement, and_, delete, select
from sqlalchemy.orm import Session

from app.db.repositories import (
    accuracies as accuracy_rows,
    groups as group_rows,
    trained as trained_rows,
    versions as version_rows,
)
from app.db.rows import group
from app.db.tables import HeldOut, Version, VersionClass


def splice_out(session: Session, version: Version) -> None:
    """Delete a version and join its children to its parent.

    They take over its held-out images of the classes they know, what it was trained on, and its
    rows of the matrices.
    """
    for child in version_rows.children(session, version.id):
        _take_over_held_out(session, version.id, child.id)
        trained_rows.take_over_trained(session, version.id, child.id)
        accuracy_rows.take_over(session, version.id, child.id)
        child.parent_id = version.parent_id
    session.flush()
    version_rows.remove(session, version)


def _take_over_held_out(session: Session, parent: str, child: str) -> None:
    """Put the parent's held-out images before the child's own, as `learning.held_out` does.

    Those are left out that the child takes the label from.
    """
    known = select(VersionClass.index).where(VersionClass.version_id == child)
    taken_out = trained_rows.own_taken_out(session, child)
    of_parent = _held_out_of(session, HeldOut.version_id == parent, HeldOut.index.in_(known))
    inherited = {
        index: [sha256 for sha256 in hashes if (index, sha256) not in taken_out]
        for index, hashes in of_parent.items()
    }
    if not inherited:
        return
    groups = group_rows.own_held_out(session, parent) | group_rows.own_held_out(session, child)
    own = and_(HeldOut.version_id == child, HeldOut.index.in_(inherited))
    for index, hashes in _held_out_of(session, own).items():
        inherited[index] += hashes
    session.execute(delete(HeldOut).where(own))
    version_rows.add_held_out(session, child, inherited, groups)


def _held_out_of(session: Session, *where: ColumnElement[bool]) -> dict[int, list[str]]:
    query = select(HeldOut.index, HeldOut.sha256).where(*where)
    return group(session.execute(query.order_by(HeldOut.index, HeldOut.position)))

"""Inserts that restore rows from manifests."""

from collections.abc import Mapping, Sequence

from sqlalchemy import exists, insert, select
from sqlalchemy.orm import Session

from app.db.rows import insert as insert_row
from app.db.tables import Classifier, Ranking, RankingImage


def is_empty(session: Session) -> bool:
    """Say whether the database knows no classifier."""
    return not session.scalar(select(exists().where(Classifier.id.is_not(None))))


def add_rankings(
    session: Session, classifier_id: str, rankings: Mapping[str, Sequence[str]]
) -> None:
    """Insert rankings under their former ids. The caller has recorded their images."""
    for ranking_id, images in rankings.items():
        insert_row(session, Ranking(id=ranking_id, classifier_id=classifier_id))
        rows = [
            {"ranking_id": ranking_id, "rank": rank, "sha256": sha256}
            for rank, sha256 in enumerate(images)
        ]
        if rows:
            session.execute(insert(RankingImage), rows)

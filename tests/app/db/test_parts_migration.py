"""Uploads of an older release know their contradictions."""

from datetime import UTC, datetime

from sqlalchemy import select, text

import migrations
from app.db.engine import Database, make_engine
from app.db.tables import Upload
from tests.app.db.test_migrations import NewDatabase, new_url  # noqa: F401 - a fixture

# Of two uploads: file, its pixels and its label. The older rows do not know any pixels.
IMAGES = {
    "upl_1": [
        ("a", "p", "cat"),
        ("b", "p", "dog"),
        ("a", "p", "dog"),
        ("c", "q", "cat"),
        ("d", None, "cat"),
        ("d", None, "dog"),
        ("b", "p", "cat"),
    ],
    "upl_2": [("a", "p", "dog"), ("c", "q", "dog")],
}


def test_contradictions_are_counted(new_url: NewDatabase) -> None:  # noqa: F811 - the fixture
    url = new_url("older")
    migrations.upgrade(url)
    migrations.downgrade(url, "0024")
    engine = make_engine(url)
    now = datetime.now(UTC)
    with engine.begin() as connection:
        pixels = {sha256: its for rows in IMAGES.values() for sha256, its, _ in rows}
        for sha256, its in pixels.items():
            row = {"sha256": sha256, "pixels": its, "now": now}
            connection.execute(text("INSERT INTO blobs VALUES (:sha256, 1, :now, NULL)"), row)
            image = "(sha256, media_type, width, height, pixels_sha256)"
            values = "(:sha256, 'image/png', 1, 1, :pixels)"
            connection.execute(text(f"INSERT INTO images {image} VALUES {values}"), row)
        for upload_id, rows in IMAGES.items():
            upload = "(id, workspace, duplicates, rejected, created_at)"
            connection.execute(
                text(f"INSERT INTO uploads {upload} VALUES (:id, 'default', 0, '[]', :now)"),
                {"id": upload_id, "now": now},
            )
            for position, (sha256, _, label) in enumerate(rows):
                columns = "(upload_id, position, sha256, label, split, name)"
                connection.execute(
                    text(
                        f"INSERT INTO upload_images {columns} "
                        "VALUES (:id, :position, :sha256, :label, 'train', 'x')"
                    ),
                    {"id": upload_id, "position": position, "sha256": sha256, "label": label},
                )
    engine.dispose()
    migrations.upgrade(url)
    db = Database(url)
    with db.reading() as session:
        found = {row.id: row.contradictions for row in session.scalars(select(Upload))}
    db.close()
    # Two dogs of the picture that was a cat first, and the file that is both.
    assert found == {"upl_1": 3, "upl_2": 0}

"""Positions in the queue are those of ranking all jobs."""

import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import positions, queues
from app.db.repositories.queues import Queues
from app.db.tables import Classifier, Job

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def made(session: Session, draw: random.Random) -> list[Job]:
    """Queued and ended jobs of a few classifiers, and of none, in two workspaces."""
    owners: list[tuple[str, str | None, str]] = []
    for number in range(8):
        hardware = draw.choice(["any", "gpu"])
        key = f"cls_{number}"
        session.add(Classifier(id=key, name=key, spec={"hardware": hardware}, created_at=NOW))
        owners.append(("default", key, hardware))
    session.flush()
    owners += [(space, None, kind) for space in ("default", "team") for kind in ("any", "gpu")]
    jobs = []
    for number in range(60):
        workspace, owner, hardware = draw.choice(owners)
        queued = draw.random() < 0.7
        # Some were worked on at the same time, and some never.
        at = draw.choice([None, NOW, NOW + timedelta(seconds=draw.randrange(50))])
        jobs.append(
            Job(
                id=f"job_{number:03}",
                workspace=workspace,
                classifier_id=owner,
                kind="learn" if owner else "advise",
                request={"hardware": hardware},
                state="queued" if queued else "succeeded",
                heartbeat_at=at,
                created_at=NOW,
            )
        )
    session.add_all(jobs)
    session.flush()
    return jobs


def ranked(session: Session, jobs: list[Job]) -> dict[str, int]:
    """The positions, job by job."""
    hardware = {row.id: row.spec["hardware"] for row in session.query(Classifier)}
    queues: dict[str, list[Job]] = {}
    worked: dict[str, datetime] = {}
    for job in jobs:
        key = job.classifier_id or job.workspace
        if job.state == "queued":
            queues.setdefault(key, []).append(job)
        if job.heartbeat_at:
            worked[key] = max(job.heartbeat_at, worked.get(key, job.heartbeat_at))
    never = NOW - timedelta(days=1)
    order = sorted(
        (turn, worked.get(key, never), job.id, hardware.get(key, job.request["hardware"]))
        for key, queue in queues.items()
        for turn, job in enumerate(queue)
    )
    found: dict[str, int] = {}
    for kind in ("any", "gpu"):
        own = [job_id for _, _, job_id, needs in order if needs == kind]
        found |= {job_id: place for place, job_id in enumerate(own, 1)}
    return found


@pytest.mark.parametrize("seed", range(10))
def test_positions_are_those_of_ranking_all_jobs(database: Database, seed: int) -> None:
    with database.transaction() as session:
        jobs = made(session, random.Random(seed))
        expected = ranked(session, jobs)
        assert positions.positions(session, list(expected)) == expected
        for job_id, place in expected.items():
            assert positions.positions(session, [job_id]) == {job_id: place}


def test_a_job_that_is_queued_again_in_between_has_no_position_yet(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction() as session:
        session.add(Classifier(id="cls", name="toy", spec={}, created_at=NOW))
        session.flush()
        session.add(
            Job(
                id="job",
                workspace="default",
                classifier_id="cls",
                kind="learn",
                request={},
                state="queued",
                created_at=NOW,
            )
        )
        session.flush()
        assert positions.positions(session, ["job"]) == {"job": 1}
        # As PostgreSQL shows it to the first query, while a worker holds the job.
        monkeypatch.setattr(positions, "queues", lambda _session: Queues([], []))
        assert positions.positions(session, ["job"]) == {}


def queue(database: Database, *job_ids: str) -> None:
    """Queue jobs of a classifier that is made where there is none."""
    with database.transaction() as session:
        if session.get(Classifier, "cls") is None:
            session.add(Classifier(id="cls", name="toy", spec={}, created_at=NOW))
            session.flush()
        made = {"workspace": "default", "classifier_id": "cls", "kind": "learn", "request": {}}
        session.add_all(
            Job(id=job_id, state="queued", created_at=NOW, **made) for job_id in job_ids
        )


def test_queues_are_remembered_until_a_job_joins(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Session] = []
    read = queues._read

    def counted(session: Session) -> Queues:
        reads.append(session)
        return read(session)

    monkeypatch.setattr(queues, "_read", counted)
    monkeypatch.setattr(queues, "_SECONDS", 60)

    def told(*job_ids: str) -> dict[str, int]:
        with database.reading() as session:
            return positions.positions(session, job_ids)

    queue(database, "job_1", "job_2")
    assert told("job_1", "job_2") == told("job_1", "job_2") == {"job_1": 1, "job_2": 2}
    assert len(reads) == 1
    queue(database, "job_3")
    assert told("job_3") == {"job_3": 3}
    with database.transaction() as session:
        session.get_one(Job, "job_1").state = "cancelled"
    assert told("job_3") == {"job_3": 2}
    assert len(reads) == 3
    monkeypatch.setattr(queues, "_SECONDS", 0)
    queue(database, "job_4")
    assert told("job_4") == told("job_4") == {"job_4": 3}
    assert len(reads) == 5


def test_what_a_transaction_sees_is_not_remembered(database: Database) -> None:
    queue(database, "job_1")
    with suppress(ZeroDivisionError), database.transaction() as session:
        session.get_one(Job, "job_1").state = "cancelled"
        session.flush()
        assert positions.positions(session, ["job_1"]) == {}
        raise ZeroDivisionError
    with database.reading() as session:
        assert positions.positions(session, ["job_1"]) == {"job_1": 1}

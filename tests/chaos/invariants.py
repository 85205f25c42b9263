"""Invariants that must hold at the end of any run. Each yields its violations."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator

from sqlalchemy import select, text

from app.db.engine import Database
from app.db.repositories import blobs as blob_rows
from app.db.tables import (
    FINAL_STATES,
    Alias,
    Blob,
    Classifier,
    Job,
    JobEvent,
    Upload,
    Version,
    VersionClass,
    Worker,
)
from app.storage import BlobStore
from tests.chaos import story
from tests.chaos.clients import Tally

# Why a job may fail in a run: its workers were killed, others were quicker, PackNet is full.
_EXCUSES = {
    "worker-lost",
    "unknown-class",
    "cannot-forget",
    "cannot-purge",
    "storage-changed",
    "capacity-exhausted",
}


def jobs(db: Database, tally: Tally) -> Iterator[str]:
    """Every accepted job exists once, has ended, and its events agree with that."""
    with db.reading() as session:
        rows = list(session.execute(select(Job, Classifier.name).join(Classifier)))
        events = defaultdict(list)
        for event in session.scalars(select(JobEvent).order_by(JobEvent.job_id, JobEvent.seq)):
            events[event.job_id].append(event)
        made = dict(session.execute(select(Version.job_id, Version.number)).all())
        uploads = set(session.scalars(select(Upload.id)))
    found = {job.id: name for job, name in rows}
    if found != tally.jobs:
        yield f"accepted were {sorted(tally.jobs.items())}, there are {sorted(found.items())}"
    if strange := uploads - tally.uploads:
        yield f"nobody was told of the uploads {sorted(strange)}"
    published: dict[str, list[tuple[object, int]]] = defaultdict(list)
    for job, name in rows:
        told = story.read(events[job.id])
        yield from (f"{job.id} ({name}): {wrong}" for wrong in told.wrong)
        if job.state not in FINAL_STATES or job.state != told.state:
            yield f"{job.id} is {job.state}, its events say {told.state}"
        if job.attempt != told.attempt:
            yield f"{job.id} is at attempt {job.attempt}, its events say {told.attempt}"
        if job.state == "failed" and job.error["code"] not in _EXCUSES:
            yield f"{job.id} ({name}) failed: {job.error}"
        if len(told.published) != (job.state == "succeeded"):
            yield f"{job.id} {job.state} and published {told.published}"
        # A purge may have deleted it since.
        if made.get(job.id) not in (None, *told.published):
            yield f"{job.id} published {told.published}, its version is {made[job.id]}"
        at = [event.at for event in events[job.id] if event.type == "published"]
        published[name] += zip(at, told.published, strict=True)
        tally.count(f"jobs {job.state}" + (f": {job.error['code']}" if job.error else ""))
        tally.count("attempts", job.attempt)
    for name, numbers in published.items():
        in_order = [number for _, number in sorted(numbers)]
        if in_order != list(range(1, len(in_order) + 1)):
            yield f"{name} published the versions {in_order}, in this order"


def publishers(db: Database, text_: str) -> Iterator[str]:
    """Only the newest attempt of a job logs that it published; others have no lease."""
    with db.reading() as session:
        newest = dict(session.execute(select(Job.id, Job.attempt)).all())
    for job_id, attempt in re.findall(r"event=job_published job=(\S+) attempt=(\d+)", text_):
        if newest.get(job_id) != int(attempt):
            yield f"attempt {attempt} of {job_id} published, of {newest.get(job_id)}"


def versions(db: Database, answered: dict[tuple[str, int], set[str]]) -> Iterator[str]:
    """Every version that answered existed; live is the newest; every version can be served."""
    with db.reading() as session:
        published = {
            (name, int(event.data["version"]))
            for event, name in session.execute(
                select(JobEvent, Classifier.name)
                .join(Job, Job.id == JobEvent.job_id)
                .join(Classifier)
                .where(JobEvent.type == "published")
            )
        }
        known = defaultdict(set)
        for name, number, label in session.execute(
            select(Classifier.name, Version.number, VersionClass.label)
            .join(Version, Version.classifier_id == Classifier.id)
            .join(VersionClass, VersionClass.version_id == Version.id)
        ):
            known[name, number].add(label)
        live = dict(
            session.execute(
                select(Classifier.name, Version.number)
                .join(Alias, Alias.classifier_id == Classifier.id)
                .join(Version, Version.id == Alias.version_id)
            ).all()
        )
    for (name, number), labels in answered.items():
        if (name, number) not in published:
            yield f"version {number} of {name} has answered and was never published"
        elif (name, number) in known and not labels <= known[name, number]:
            yield f"version {number} of {name} has answered {labels}, which it does not know"
    newest = dict(sorted(published))  # the last of each wins
    if live != newest:
        yield f"live are {live}, the newest are {newest}"


def workers(db: Database, pids: Collection[int]) -> Iterator[str]:
    """Every registered worker is alive."""
    with db.reading() as session:
        registered = sorted(session.scalars(select(Worker.pid)))
    if registered != sorted(pids):
        yield f"registered are the workers {registered}, alive are {sorted(pids)}"


def storage(db: Database, store: BlobStore) -> Iterator[str]:
    """After a sweep: bytes, rows and what refers to them are the same set; nothing half-written."""
    with db.reading() as session:
        rows = dict(session.execute(select(Blob.sha256, Blob.size)).all())
        needed = blob_rows.needed(session, list(rows))
    stored = {blob.sha256: blob.size for blob in store.stored()}
    if lost := rows.keys() - stored.keys():
        yield f"{len(lost)} blobs have a row and no bytes: {sorted(lost)}"
    if orphans := stored.keys() - needed:
        yield f"{len(orphans)} blobs are needed by nobody: {sorted(orphans)}"
    if unneeded := rows.keys() - needed:
        yield f"{len(unneeded)} rows of blobs are needed by nobody: {sorted(unneeded)}"
    if wrong := [sha256 for sha256, size in rows.items() if stored.get(sha256, size) != size]:
        yield f"blobs have another size than their rows say: {wrong}"
    for sha256 in stored:
        store.get(sha256)  # raises where the bytes are not those of the name


def database(db: Database) -> Iterator[str]:
    """The integrity check of SQLite passes."""
    if db.engine.dialect.name == "sqlite":
        with db.reading() as session:
            found = session.scalars(text("PRAGMA integrity_check")).all()
            broken = session.execute(text("PRAGMA foreign_key_check")).all()
        if found != ["ok"] or broken:
            yield f"SQLite: {found} {broken}"


def logs(text_: str) -> Counter[str]:
    """How often log events occurred."""
    sought = {
        "publications refused by the fence": "event=publish_refused",
        "attempts that found their job lost": "how=lost",
        "leases that ran out": "event=lease_expired",
        "claims and attempts given up without a database": "event=job_abandoned",
        "workers that ended because they heard nothing": "event=worker_deaf",
        "tracebacks": "Traceback (most recent call last)",
    }
    return Counter({name: text_.count(words) for name, words in sought.items()})

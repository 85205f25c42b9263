"""Real versions for tests of the service: a tiny network, really trained, published by the test."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import numpy as np
import torch

from app.db.engine import Database
from app.db.repositories import (
    aliases as alias_rows,
    blobs as blob_rows,
    classifiers as classifier_rows,
    versions as version_rows,
)
from app.db.repositories.blobs import ImageRow
from app.db.tables import Ranking, RankingImage, Version, VersionClass
from app.ids import new_id
from app.services.classifiers import accuracies
from app.storage import BlobStore
from models import methods
from models.learner import learn
from models.spec import Resize, Spec
from models.state import encode
from models.step import StepData, StepResult
from tests.pictures import pixels, png as picture

SIZE = 16
LABELS = ("stop", "yield", "a class, with ünïcode / slashes")
TASKS = ((0, 0), (0, 0, 1))
BODY = {
    "method": "icarl",
    "options": {"epochs": 1},
    "backbone": "convnet",
    "image_size": SIZE,
    "memory": {"exemplars": 6},
}


def png(seed: int = 0) -> bytes:
    """A picture of the tests' classifiers' image size."""
    return picture(seed, SIZE, SIZE)


@cache
def step(number: int, method: str = "icarl", held_out: int = 0) -> tuple[Spec, StepResult]:
    """Learn two classes (step 0), then a third (step 1), and measure on `held_out` of each."""
    spec = methods.validate(Spec.model_validate({**BODY, "method": method, "seed": 7}))
    base = step(number - 1, method, held_out)[1].state if number else None
    tasks = TASKS[number]
    columns = torch.arange(len(tasks)).repeat_interleave(4)
    images = np.stack([pixels(SIZE, SIZE, seed) for seed in range(len(columns))])
    measured_on = torch.arange(len(tasks)).repeat_interleave(held_out)
    others = [pixels(SIZE, SIZE, 100 + seed) for seed in range(len(measured_on))]
    empty = torch.empty(0, SIZE, SIZE, 3, dtype=torch.uint8)
    shown = torch.from_numpy(np.stack(others)) if others else empty
    data = StepData(
        images=torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        columns=columns,
        sizes=torch.full((len(columns),), 500),
        fresh=columns >= (0 if base is None else len(TASKS[number - 1])),
        held_out=shown.permute(0, 3, 1, 2).contiguous(),
        held_out_columns=measured_on,
        tasks=tasks,
    )
    return spec, learn(spec, base, data, device="cpu")


@dataclass(frozen=True)
class Published:
    """A version that a test has published."""

    id: str
    number: int
    parts: dict[str, str]


def publish(
    database: Database,
    store: BlobStore,
    classifier: str,
    number: int = 0,
    *,
    parent: str | None = None,
    alias: str | None = "live",
    method: str = "icarl",
    exemplars: Sequence[bytes] = (),
    lacks: Collection[str] = (),
    held_out: int = 0,
    resize: Resize = "squash",
) -> Published:
    """Publish a step's version as its job would; each class gets these `exemplars`.

    `lacks` are parts that the release that made it did not have.
    """
    spec, result = step(number, method, held_out)
    spec = spec.model_copy(update={"resize": resize})
    data = {name: encode(part) for name, part in result.state.parts.items() if name not in lacks}
    parts = {name: store.put(content) for name, content in data.items()}
    images = [store.put(image) for image in exemplars]
    now = datetime.now(UTC)
    with database.transaction() as session:
        owner = classifier_rows.find(session, "default", classifier, for_update=True)
        assert owner is not None
        owner.last_version += 1
        sizes = {parts[name]: len(content) for name, content in data.items()}
        sizes |= {key: len(image) for key, image in zip(images, exemplars, strict=True)}
        blob_rows.record(session, sizes, now)
        blob_rows.record_images(
            session,
            [ImageRow(key, sizes[key], "image/png", SIZE, SIZE) for key in images],
        )
        ranking = Ranking(id=new_id("rnk"), classifier_id=owner.id)
        session.add(ranking)
        session.flush()
        session.add_all(
            RankingImage(ranking_id=ranking.id, rank=rank, sha256=key)
            for rank, key in enumerate(images)
        )
        version = Version(
            id=new_id("ver"),
            classifier_id=owner.id,
            number=owner.last_version,
            parent_id=parent,
            method=spec.method,
            spec=spec.model_dump(mode="json"),
            metrics=accuracies.without_rows(result.metrics),
            memory={"exemplars": len(images), "bytes": 0, "held_out": 0},
            created_at=now,
        )
        classes = [
            VersionClass(
                version_id=version.id,
                index=index,
                label=LABELS[index],
                task=task,
                train_images=4,
                ranking_id=ranking.id,
                kept=len(images),
                **accuracies.class_columns(result.metrics, index),
            )
            for index, task in enumerate(result.state.tasks)
        ]
        measured = accuracies.own_row(version.number, result.metrics, result.state.tasks, ())
        version_rows.add(
            session, version, parts=parts, classes=classes, held_out={}, measured=[measured]
        )
        if alias is not None:
            alias_rows.point(session, owner.id, alias, version.id, now=now)
    return Published(version.id, version.number, parts)

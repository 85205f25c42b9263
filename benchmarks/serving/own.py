"""Accrue's own server, with one classifier that a workload asks."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

import migrations
from app.db.engine import Database
from app.db.repositories import aliases as alias_rows, blobs as blob_rows, versions as version_rows
from app.db.tables import Classifier, Version, VersionClass
from app.ids import new_id
from app.services.classifiers.classifiers import check_spec, create
from app.services.classifiers.spec import ClassifierSpec
from app.settings import Settings
from app.storage import open_store
from benchmarks.serving.load import Cost, Request
from benchmarks.serving.network import answer
from benchmarks.serving.servers import Command, cost, free_port
from benchmarks.serving.workloads import CLASSES, Workload
from models import methods, networks
from models.preprocess import Preprocess
from models.spec import Spec
from models.state import State, encode


@dataclass(frozen=True)
class Published:
    """A live version of random weights, in a data folder of its own."""

    workload: Workload
    settings: Settings
    spec: Spec
    state: State
    image: bytes
    # What the network says of the image.
    column: int

    def cost(self, requests: int, *, cores: set[int] | None = None) -> Cost:
        """Start the server, keep it busy, and return what it cost."""
        port = free_port()
        arguments = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
        environment = {
            "ACCRUE_DATA_DIR": str(self.settings.data_dir),
            "ACCRUE_LOG_LEVEL": "warning",
        }
        best = f'"results":[{{"label":"class {self.column}"'
        request = Request("/predict", self.workload.media_type, self.image, best)
        command = Command(arguments, environment)
        return cost(command, port, request, requests, self.workload.clients, cores=cores)


@contextmanager
def published(workload: Workload) -> Iterator[Published]:
    """Publish the workload's network with random weights: speed does not depend on them."""
    body = {
        "name": "bench",
        "method": "finetune",
        "backbone": workload.backbone,
        "image_size": workload.size,
    }
    image = workload.image()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), log_level="warning")
        spec, state = _publish(settings, ClassifierSpec.model_validate(body))
        yield Published(workload, settings, spec, state, image, answer(spec, state, image))


def _publish(settings: Settings, wanted: ClassifierSpec) -> tuple[Spec, State]:
    """Make a classifier with one live version of random weights: speed does not depend on them."""
    migrations.upgrade(settings.database_url)
    database, store = Database(settings.database_url), open_store(settings.storage_url)
    create(database, "default", wanted, on_created=lambda _session, _view: None)
    spec = check_spec(wanted)
    network = networks.build(spec.backbone, spec.seed)
    network.head.grow(0, CLASSES, spec.seed)
    kind = methods.get(spec.method)
    method = kind(
        kind.Options.model_validate(spec.options),
        network,
        Preprocess(torch.full((3,), 0.5), torch.full((3,), 0.25)),
    )
    state = State(method.state(), (0,) * CLASSES)
    data = {name: encode(part) for name, part in state.parts.items()}
    parts = {name: store.put(content) for name, content in data.items()}
    now = datetime.now(UTC)
    with database.transaction() as session:
        owner = session.query(Classifier).one()
        sizes = {parts[name]: len(content) for name, content in data.items()}
        blob_rows.record(session, sizes, now)
        version = Version(
            id=new_id("ver"),
            classifier_id=owner.id,
            number=1,
            method=spec.method,
            spec=spec.model_dump(mode="json"),
            metrics={},
            memory={},
            created_at=now,
        )
        classes = [
            VersionClass(
                version_id=version.id, index=index, label=f"class {index}", task=0, train_images=0
            )
            for index in range(CLASSES)
        ]
        version_rows.add(session, version, parts=parts, classes=classes, held_out={})
        alias_rows.point(session, owner.id, "live", version.id, now=now)
    database.close()
    return spec, state

"""Training: a classifier learns what people have annotated in a project of Label Studio.

Nothing is remembered between two trainings: Label Studio has the annotations, and versions say
which images they know.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import structlog
from pydantic import BaseModel, Field

from app.db.engine import Database
from app.db.repositories import classifiers as classifier_rows
from app.errors import UNTIL_A_JOB_ENDS, ServiceError
from app.services.access.limits import Quota, require_room
from app.services.classifiers import classifiers
from app.services.classifiers.classifiers import ClassifierInUseError
from app.services.label_studio import sorting
from app.services.label_studio.annotated_source import AnnotatedSource
from app.services.label_studio.annotations import AnnotatedTask
from app.services.label_studio.labelling_config import LabellingConfig
from app.services.label_studio.server import LabelStudio, NotFetchedError
from app.services.steps import creation
from app.services.steps.creation import LearnView
from app.services.steps.requests import Correction, CorrectRequest, LearnFields
from app.services.uploads.collecting import Collected, PreparedImage, collect
from app.services.uploads.sources import UploadLimits
from app.settings import Settings
from app.storage import BlobStore

# Projects that are fetched side by side.
_AT_ONCE = 2

log = structlog.get_logger(__name__)


class LabelStudioStoppedError(ServiceError, status=503, code="label-studio-stopped"):
    """The service stops before it has fetched all images of a project."""


class TrainingView(BaseModel):
    """What becomes of a project's annotations."""

    status: Literal["queued", "nothing_new", "collecting"] = Field(
        description="`queued`: jobs will learn or correct. `nothing_new`: the classifier knows "
        "all. `collecting`: images are still being fetched, which goes on."
    )
    job: str | None = Field(None, description="The job that learns the new images.")
    corrects: str | None = Field(
        None, description="The job that gives known images the labels that they have now."
    )
    annotated: int = Field(0, description="Tasks whose annotations name a class.")
    known: int = Field(0, description="Images that the classifier knows under their labels.")
    rejected: int = Field(0, description="Tasks that cannot be learnt from: see warnings.")
    warnings: list[str] = []


@dataclass(frozen=True)
class Asked:
    """Whose classifier is to learn which project."""

    workspace: str
    classifier: str
    project: int


class Training:
    """Trains in threads of its own: once for each project, however many ask meanwhile."""

    def __init__(
        self, db: Database, store: BlobStore, settings: Settings, on_queued: Callable[[], None]
    ) -> None:
        """Call `on_queued` when there are new jobs."""
        self._db, self._store, self._settings = db, store, settings
        self._on_queued = on_queued
        self._threads = ThreadPoolExecutor(_AT_ONCE, "label-studio")
        self._lock = threading.Lock()
        self._running: dict[Asked, Future[TrainingView]] = {}
        self._stopped = threading.Event()

    def start(self, asked: Asked, quota: Quota) -> "Future[TrainingView]":
        """Return the future of a training, which goes on if nobody waits for it.

        It raises ClassifierNotFoundError, ClassifierInUseError, LabelStudioFailedError,
        LabelStudioStoppedError, InvalidLabellingConfigError, and what collecting images and making
        jobs raise.
        """
        with self._lock:
            if (running := self._running.get(asked)) is not None:
                return running
            future = self._threads.submit(self._run, asked, quota)
            self._running[asked] = future
        future.add_done_callback(partial(self._ended, asked))
        return future

    def stop(self) -> None:
        """End what is being fetched. Blocks."""
        self._stopped.set()
        self._threads.shutdown(cancel_futures=True)

    def _ended(self, asked: Asked, future: "Future[TrainingView]") -> None:
        with self._lock:
            del self._running[asked]
        about = {"classifier": asked.classifier, "project": asked.project}
        if future.cancelled() or (error := future.exception()) is None:
            log.info("label_studio_trained", **about)
        elif isinstance(error, ServiceError):
            log.warning("label_studio_not_trained", **about, code=error.code, reason=error.detail)
        else:
            log.error("label_studio_not_trained", **about, error=error)

    def _run(self, asked: Asked, quota: Quota) -> TrainingView:
        self._require_idle(asked)
        require_room(self._db, asked.workspace, quota)
        collected, annotated = self._collected(asked.project)
        if collected is None:
            return TrainingView(status="nothing_new")
        with self._db.reading() as session:
            owner = classifiers.require(session, asked.workspace, asked.classifier)
            found = sorting.sort(session, owner, collected)
        view = TrainingView(
            status="nothing_new",
            annotated=annotated,
            known=found.known,
            rejected=len(collected.rejected),
            warnings=[f"{each.name}: {each.reason}" for each in collected.rejected[:100]],
        )
        if found.relabelled:
            self._correct(asked, quota, found.relabelled, view)
        if found.new:
            job = self._learn(asked, quota, replace(collected, images=tuple(found.new)))
            view.job, view.warnings = job.id, [*view.warnings, *job.warnings]
        if view.job or view.corrects:
            view.status = "queued"
            self._on_queued()
        return view

    def _require_idle(self, asked: Asked) -> None:
        """Only what jobs have ended with tells which images are new."""
        with self._db.reading() as session:
            owner = classifiers.require(session, asked.workspace, asked.classifier)
            if classifier_rows.has_unfinished_job(session, owner.id):
                raise ClassifierInUseError(
                    "A job of this classifier has not ended. Train again when it has.",
                    headers=UNTIL_A_JOB_ENDS,
                )

    def _collected(self, project: int) -> tuple[Collected | None, int]:
        """Return a project's images, None if it has no annotation, and the number of these."""
        with asyncio.Runner() as runner:
            label_studio = LabelStudio(self._settings)
            try:
                config = runner.run(label_studio.labelling_config(project))
                tasks = runner.run(label_studio.annotated(project))

                def fetch(some: Sequence[AnnotatedTask]) -> list[bytes | NotFetchedError]:
                    if self._stopped.is_set():
                        raise LabelStudioStoppedError(
                            "The service is being stopped. Train again later."
                        )
                    return runner.run(_images(label_studio, some, config))

                source = AnnotatedSource(tasks, config, fetch)
                if not source.annotated:
                    return None, 0
                limits = UploadLimits.of(self._settings)
                return collect(self._store, source, limits=limits), source.annotated
            finally:
                runner.run(label_studio.aclose())

    def _learn(self, asked: Asked, quota: Quota, collected: Collected) -> LearnView:
        return creation.create_with_upload(
            self._db,
            asked.workspace,
            asked.classifier,
            collected,
            LearnFields(on_existing="extend"),
            on_created=lambda _session, _view: None,
            quota=quota,
        )

    def _correct(
        self, asked: Asked, quota: Quota, images: Sequence[PreparedImage], view: TrainingView
    ) -> None:
        """Queue a job that corrects labels; where that cannot be done, say so in the view."""
        corrections = [Correction(sha256=image.row.picture, label=image.label) for image in images]
        try:
            job = creation.create(
                self._db,
                asked.workspace,
                asked.classifier,
                CorrectRequest(kind="correct", images=corrections),
                on_created=lambda _session, _view: None,
                quota=quota,
            )
        except creation.CORRECT_ERRORS as error:
            view.warnings.append(
                f"{len(images)} images have another label than when they were learnt, and keep "
                f"it: {error.detail}"
            )
        else:
            view.corrects = job.id


async def _images(
    label_studio: LabelStudio, tasks: Sequence[AnnotatedTask], config: LabellingConfig
) -> list[bytes | NotFetchedError]:
    """Return the files of tasks, or why there is none, in their order."""

    async def one(task: AnnotatedTask) -> bytes | NotFetchedError:
        try:
            return await label_studio.image(task.id, task.data, config.field)
        except NotFetchedError as error:
            return error

    return await asyncio.gather(*map(one, tasks))

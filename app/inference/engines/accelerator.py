"""Gives versions a faster engine while they serve: in the background, one at a time."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from weakref import ref

import structlog
import torch

from app.db.engine import Database
from app.inference.engines.evidence import Evidence
from app.inference.engines.judging import difference, relative_time
from app.inference.lru import LruCache
from app.inference.predictor import Module, ServablePredictor
from app.processes import return_freed_memory
from app.services.classifiers.version_views import EngineView
from app.storage import BlobStore
from models.classify import Servable
from models.engines.engine import Engine, Kind
from models.engines.names import PLAIN
from models.serving import size_of, why
from models.trunks import trunks, with_runners

# An engine that takes more than this of PyTorch's time is not taken. It is measured alone: with all
# threads at work, one that took 0.87 of it for ResNet-18 at 224 cost 1.6 times PyTorch's CPU time.
_WORTH = 0.75
# A storage that hangs must not keep the process from ending.
_STOP_SECONDS = 10.0
# Of how many kinds of network it is known how long each engine takes.
_KINDS = 1000

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Job:
    """A predictor to make faster, and its version's id.

    Networks of one `kind` take as long: they have the same backbone, image size and method. The
    predictor may be evicted meanwhile. `done` is called after it has another engine.
    """

    predictor: "ref[ServablePredictor]"
    version_id: str
    kind: Kind
    done: Callable[[], None]


@dataclass(frozen=True)
class _Built:
    servable: Servable
    bytes: int
    engine: Engine
    time: float


class _RefusedError(Exception):
    """Why an engine does not run a network."""


class Accelerator:
    """A thread that builds, checks and measures the engines of predictors, and swaps them in."""

    def __init__(
        self,
        engines: Sequence[Engine],
        database: Database,
        images: BlobStore,
        *,
        batch: int,
        most: int,
        demanded: bool = False,
        on_build: Callable[[str, bool], None] = lambda _engine, _taken: None,
    ) -> None:
        """Try `engines` with batches of up to `batch` images; the fastest is taken.

        One that would hold more than `most` bytes is not. Where `demanded`, one is taken however
        long it takes and whatever it holds. `on_build` is called with the name of
        each engine that was built, and whether it was taken.
        """
        self._engines = engines
        self._database = database
        self._images = images
        self._batch = batch
        self._worth = float("inf") if demanded else _WORTH
        self._most = float("inf") if demanded else most
        self._on_build = on_build
        self._times: LruCache[Kind, dict[str, float]] = LruCache(_KINDS)
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="engines", daemon=True)
        if engines:
            self._thread.start()

    def submit(self, job: Job) -> None:
        """Have a predictor made faster. Returns at once; not for a predictor twice."""
        if self._engines:
            self._jobs.put(job)

    def stop(self) -> None:
        """Begin nothing any more. Blocks until the engine in progress is built, or for a while."""
        self._stopped = True
        self._jobs.put(None)
        if self._engines:
            self._thread.join(_STOP_SECONDS)

    def _work(self) -> None:
        # As the threads that predict.
        torch.set_num_threads(1)
        while not self._stopped and (job := self._jobs.get()) is not None:
            try:
                self._run(job)
            except Exception:  # such as a database that does not answer
                log.exception("engine_not_chosen", version=job.version_id)
            job = None
            return_freed_memory()

    def _run(self, job: Job) -> None:
        predictor = job.predictor()
        # Two threads that ran its batches at once may both have called it busy.
        if predictor is None or predictor.engine != EngineView(name=PLAIN):
            return
        plain, to_pixels, size = predictor.module, predictor.to_pixels, predictor.image_size
        # From here on it may be evicted, and what evicts it does not wait for this.
        del predictor
        evidence = Evidence.read(self._database, self._images, job.version_id, to_pixels, size)
        refused: dict[str, str] = {}
        best = self._fastest(job, plain.servable, evidence, refused)
        module, view = plain, EngineView(name=PLAIN, refused=refused)
        if best is not None:
            module = Module(best.servable, best.bytes)
            view = EngineView(
                name=best.engine.name,
                precision=best.engine.precision,
                relative_time=round(best.time, 3),
                checked_on=evidence.source,
                checked_images=len(evidence.images),
                refused=refused,
            )
        for name in (*refused, view.name):
            self._on_build(name, name == view.name)
        log.info("engine_chosen", version=job.version_id, **view.model_dump())
        predictor = job.predictor()
        if predictor is not None:
            predictor.swap(module, view)
            job.done()

    def _fastest(
        self, job: Job, servable: Servable, evidence: Evidence, refused: dict[str, str]
    ) -> _Built | None:
        """Return the fastest engine that says what PyTorch says; fill in why others are not it."""
        times = self._times.get(job.kind) or {}
        best: _Built | None = None
        # Where all were measured on a network of that kind, the fastest is the only one to build.
        for engine in sorted(self._engines, key=lambda each: times.get(each.name, 0.0)):
            if self._stopped or job.predictor() is None:
                return None
            try:
                built = self._built(job, engine, servable, evidence, times, best)
            except _RefusedError as error:
                refused[engine.name] = str(error)
                continue
            if best is not None:
                refused[best.engine.name] = f"{engine.name} is faster on this machine"
            best = built
        self._times.put(job.kind, times)
        return best

    def _built(
        self,
        job: Job,
        engine: Engine,
        servable: Servable,
        evidence: Evidence,
        times: dict[str, float],
        best: _Built | None,
    ) -> _Built:
        """Build, check and measure an engine; `times` are those known of this kind of network.

        Raises _RefusedError.
        """
        if engine.name in times:
            self._compare(times[engine.name], best)
        try:
            parts = trunks(servable)
            runners = [engine.compile(trunk, job.kind) for trunk in parts]
            fast = with_runners(servable, parts, runners)
            differs = difference(servable, fast, evidence.images, self._batch)
            if differs is None and engine.name not in times:
                times[engine.name] = relative_time(servable, fast, evidence.images)
        except Exception as error:  # whatever a network makes an engine raise
            raise _RefusedError(f"it cannot run this network ({why(error)})") from error
        if differs is not None:
            raise _RefusedError(differs)
        self._compare(times[engine.name], best)
        held = size_of(fast) + sum(runner.bytes for runner in runners)
        if held > self._most:
            raise _RefusedError(
                f"it would take {held:,} bytes, more than an eighth of the model memory"
            )
        return _Built(fast, held, engine, times[engine.name])

    def _compare(self, time: float, best: _Built | None) -> None:
        if time > self._worth:
            raise _RefusedError(f"it takes {time:.2f} of PyTorch's time on this machine")
        if best is not None and time >= best.time:
            raise _RefusedError(f"{best.engine.name} is faster on this machine")

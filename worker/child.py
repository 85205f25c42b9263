"""The training process: reads images, learns or forgets, stores tensors; no database.

One pipe brings reports and the result up; the other brings the word to stop down. When that one
ends, so does this process: it cannot outlive its worker, whatever happened to it.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

# Imported here, not at first use, so that the fork server has it ready: PyTorch's optimisers ask
# for it, and it takes longer than everything else before the first training step.
import torch._dynamo
from setproctitle import setproctitle

from app.db.repositories.learning import SizedImage
from app.imaging.reading import UnreadableImageError
from app.services.jobs.checkpoints import SavedCheckpoint
from app.services.steps.plans import ForgetPlan, LearnPlan, Plan
from app.services.steps.publication import Outcome
from app.storage import (
    BlobCorruptError,
    BlobMissingError,
    BlobStore,
    is_full,
    open_store,
    with_cache,
)
from models import methods
from models.learner import (
    Cancelled,
    Checkpoint,
    CheckpointMismatchError,
    InvalidSpecError,
    LearningError,
    Remaining,
    StepResult,
    forget,
    learn,
)
from models.spec import Spec
from models.state import encode
from worker import preflight, reading, resuming
from worker.protocol import Failure, Message, Resources, Send, Stopped
from worker.reporter import PART_SECONDS, Reporter
from worker.saving import Saver, StopOrder

# How long the main thread may be silent (`Quiet`) from the last image to the first training step
# or, where nothing is trained, to measuring; and the same with a download of weights in it.
_START_SECONDS = 300.0
_DOWNLOAD_SECONDS = 1800.0

# What somebody can change so that the same job succeeds, and how.
_HELP = {
    "memory-too-small": "change it by PATCH of the classifier, then retry the job",
    "weights-unavailable": "put it there, then retry the job",
    "weights-unfit": "put another file in its place, then retry the job",
}

# The first that fits: its code, and whether the same step may succeed another time.
_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, bool], ...] = (
    ((BlobMissingError, BlobCorruptError, UnreadableImageError), "data-missing", False),
    (InvalidSpecError, "training-failed", False),
    ((MemoryError, torch.OutOfMemoryError), "out-of-memory", True),
    (OSError, "storage-failed", True),
    (Exception, "training-failed", True),
)


def probe(up: Connection) -> None:
    """Say which device ``auto`` means here. Answered only once the fork server is ready."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):  # the worker has ended meanwhile
        up.send("cuda" if torch.cuda.is_available() else "cpu")


def main(
    plan: Plan,
    resources: Resources,
    checkpoint: SavedCheckpoint | None,
    up: Connection,
    down: Connection,
) -> None:
    """Entry of the process: send reports, then an Outcome, a Failure or Stopped."""
    setproctitle(f"accrue job {plan.job_id}")
    # Ctrl-C reaches every process of the terminal; the worker alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    stop = StopOrder()
    threading.Thread(target=_listen, args=(down, stop), daemon=True).start()
    up.send(_attempt(plan, resources, up.send, stop, checkpoint))


def _die_with_parent() -> None:
    """Have Linux kill this process with the fork server, which ends with its worker."""
    # It ends once nobody holds its pipe's other end. Each child is given one, to fork by: a child
    # that is stopped, or stuck, would keep the server alive, and so itself.
    server: Any = forkserver._forkserver
    os.close(server._forkserver_alive_fd)
    server._forkserver_alive_fd = None
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _listen(down: Connection, stop: StopOrder) -> None:
    try:
        while True:
            stop.give(saving=down.recv())
    except (EOFError, OSError):
        os._exit(1)  # the worker has no more use for this process, or is no more


def _attempt(
    plan: Plan,
    resources: Resources,
    send: Send,
    stop: StopOrder,
    checkpoint: SavedCheckpoint | None = None,
) -> Message:
    torch.set_num_threads(resources.threads)
    reporter = Reporter(send)
    try:
        store = open_store(resources.storage_url)
        if isinstance(plan, ForgetPlan):
            return _forget(plan, resources, store, reporter, stop)
        assert isinstance(plan, LearnPlan)  # noqa: S101 - there are two kinds
        return _learn(plan, resources, store, reporter, send, stop, checkpoint)
    except Cancelled:
        return Stopped()
    except LearningError as error:
        return _refusal(error)
    except Exception as error:  # whatever a method raises is its job's failure, not the worker's
        sys.excepthook(type(error), error, error.__traceback__)
        return _failure(error)


def _refusal(error: LearningError) -> Failure:
    help_ = _HELP.get(error.code)
    detail = f"{error.detail}; {help_}" if help_ else error.detail
    return Failure(error.code, detail, again=False, retryable=help_ is not None)


def _failure(error: Exception) -> Failure:
    code, again = next(
        (code, again) for kinds, code, again in _FAILURES if isinstance(error, kinds)
    )
    if isinstance(error, OSError) and is_full(error):
        # Somebody has to make room first: trained again at once, it would fail again.
        return Failure("storage-full", f"The storage is full: {error}", again=False, retryable=True)
    if "can't allocate memory" in str(error):  # the CPU's allocator has no class of its own
        code = "out-of-memory"
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, (BlobMissingError, BlobCorruptError)):
        detail = f"{error}; send that image again or restore the storage, then make the job anew"
    return Failure(code, detail, again=again, retryable=again)


def _learn(
    plan: LearnPlan,
    resources: Resources,
    store: BlobStore,
    reporter: Reporter,
    send: Send,
    stop: StopOrder,
    saved: SavedCheckpoint | None,
) -> Outcome:
    # Defaults are filled in once: the version keeps those that it was trained with.
    spec = methods.complete(plan.spec)
    preflight.check_memory(plan, spec)
    own = resuming.fingerprint(plan, spec)
    checkpoint = resuming.read(saved, own, resources, store, reporter) if saved else None
    reporter.warn(preflight.warnings(plan))
    data = reading.read(plan, store, spec.image_size, resources.threads, reporter, stop)
    tasks = tuple(planned.task for planned in plan.classes if planned.known)
    tensors = with_cache(store, resources.cache)
    base = reading.base(plan, tasks, tensors, reporter, stop) if plan.parts else None
    saver = Saver(store, resources, own, reporter, send, stop)

    def train(resume: Checkpoint | None) -> StepResult:
        reporter.quiet(_START_SECONDS if spec.weights is None else _DOWNLOAD_SECONDS)
        return learn(
            spec,
            base,
            data,
            device=resources.device,
            history=plan.history,
            weights_dir=resources.weights_dir,
            report=reporter.learning,
            should_stop=stop.is_set,
            save=saver.save,
            save_due=saver.due,
            resume=resume,
        )

    try:
        result = train(checkpoint)
    except CheckpointMismatchError as error:  # of another release, say, whose tensors were others
        reporter.not_resumed(str(error))
        result = train(None)
    trained_on = [image.sha256 for planned in plan.classes for image in planned.exemplars]
    trained_on += [image.sha256 for image in plan.fresh]
    return _stored(spec, result, trained_on, tensors, reporter, stop)


def _forget(
    plan: ForgetPlan,
    resources: Resources,
    store: BlobStore,
    reporter: Reporter,
    stop: StopOrder,
) -> Outcome:
    spec = methods.complete(plan.spec)
    hashes, columns = reading.held_out_of(plan)
    data = Remaining(
        held_out=reading.decode_all(
            hashes, store, spec.image_size, resources.threads, reporter, stop
        ),
        held_out_columns=columns,
        kept=tuple(len(planned.exemplars) for planned in plan.classes),
    )
    tensors = with_cache(store, resources.cache)
    base = reading.base(plan, plan.base_tasks, tensors, reporter, stop)
    reporter.quiet(_START_SECONDS)
    result = forget(
        spec,
        base,
        plan.columns,
        data,
        device=resources.device,
        history=plan.history,
        report=reporter.learning,
        should_stop=stop.is_set,
    )
    return _stored(spec, result, (), tensors, reporter, stop)


def _stored(
    spec: Spec,
    result: StepResult,
    train: Sequence[str],
    store: BlobStore,
    reporter: Reporter,
    stop: StopOrder,
) -> Outcome:
    """Write the tensors into the store and return what the version's rows need.

    `train` are the images that were trained on, in the order of `StepData.images`.
    """
    parts = {}
    for done, (name, tensors) in enumerate(result.state.parts.items()):
        if stop.cancels:  # a worker that stops is better served by the result
            raise Cancelled
        reporter.phase("publishing", done / len(result.state.parts))
        reporter.quiet(PART_SECONDS)
        data = encode(tensors)
        parts[name] = SizedImage(store.put(data), len(data))
    return Outcome(
        spec=spec,
        parts=parts,
        rankings={
            column: [train[position] for position in ranking[: result.kept[column]]]
            for column, ranking in result.rankings.items()
        },
        kept=result.kept,
        metrics=result.metrics,
        warnings=result.warnings,
        residual=result.residual,
    )

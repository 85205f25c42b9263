"""The training process: reads images, learns or forgets, stores tensors; no database.

One pipe brings reports and the result up; the other brings the word to stop down. When that one
ends, so does this process: it cannot outlive its worker, whatever happened to it.
"""

import contextlib
import ctypes
import errno
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

# Imported here, not at first use, so that the fork server has it ready: PyTorch's optimisers ask
# for it, and it takes longer than everything else before the first training step.
import torch._dynamo
from setproctitle import setproctitle
from torch import Tensor

from app.db.repositories.learning import SizedImage
from app.imaging.decode import decode
from app.imaging.reading import UnreadableImageError
from app.services.plans import ForgetPlan, LearnPlan, Plan
from app.services.publication import Outcome
from app.storage import BlobCorruptError, BlobMissingError, BlobStore, open_store
from models import methods
from models.learner import (
    Cancelled,
    InvalidSpecError,
    LearningError,
    Remaining,
    StepData,
    StepResult,
    forget,
    learn,
)
from models.spec import Spec
from models.state import State, encode
from models.state import decode as decode_part
from worker import foresight
from worker.protocol import Failure, Message, Resources, Send, Stopped
from worker.reporter import Reporter

# How long the main thread may be silent (`Quiet`) while one call runs: reading or writing a part of
# up to some gigabytes on a slow disk; from the last image to the first training step or, where
# nothing is trained, to measuring; and the same with a download of weights in it.
_PART_SECONDS = 600.0
_START_SECONDS = 300.0
_DOWNLOAD_SECONDS = 1800.0

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

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


def main(plan: Plan, resources: Resources, up: Connection, down: Connection) -> None:
    """Entry of the process: send reports, then an Outcome, a Failure or Stopped."""
    setproctitle(f"accrue job {plan.job_id}")
    # Ctrl-C reaches every process of the terminal; the worker alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    stop = threading.Event()
    threading.Thread(target=_listen, args=(down, stop), daemon=True).start()
    up.send(_attempt(plan, resources, up.send, stop))


def _die_with_parent() -> None:
    """Have Linux kill this process with the fork server, which ends with its worker."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _listen(down: Connection, stop: threading.Event) -> None:
    try:
        while True:
            down.recv()
            stop.set()
    except (EOFError, OSError):
        os._exit(1)  # the worker has no more use for this process, or is no more


def _attempt(plan: Plan, resources: Resources, send: Send, stop: threading.Event) -> Message:
    torch.set_num_threads(resources.threads)
    reporter = Reporter(send)
    try:
        store = open_store(resources.storage_url)
        if isinstance(plan, ForgetPlan):
            return _forget(plan, resources, store, reporter, stop)
        assert isinstance(plan, LearnPlan)  # noqa: S101 - there are two kinds
        return _learn(plan, resources, store, reporter, stop)
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
    if isinstance(error, OSError) and error.errno in _FULL:
        # Somebody has to make room first: trained again at once, it would fail again.
        return Failure("storage-full", f"The storage is full: {error}", again=False, retryable=True)
    if "can't allocate memory" in str(error):  # the CPU's allocator has no class of its own
        code = "out-of-memory"
    detail = f"{type(error).__name__}: {error}"
    return Failure(code, detail, again=again, retryable=again)


def _learn(
    plan: LearnPlan,
    resources: Resources,
    store: BlobStore,
    reporter: Reporter,
    stop: threading.Event,
) -> Outcome:
    # Defaults are filled in once: the version keeps those that it was trained with.
    spec = methods.complete(Spec.model_validate(plan.spec))
    foresight.check_memory(plan, spec)
    reporter.warn(foresight.warnings(plan))
    data = _read(plan, store, spec.image_size, resources.threads, reporter, stop)
    tasks = tuple(planned.task for planned in plan.classes if planned.known)
    base = _base(plan, tasks, store, reporter) if plan.parts else None
    reporter.quiet(_START_SECONDS if spec.weights is None else _DOWNLOAD_SECONDS)
    result = learn(
        spec,
        base,
        data,
        device=resources.device,
        history=plan.history,
        weights_dir=resources.weights_dir,
        report=reporter.learning,
        should_stop=stop.is_set,
    )
    train = [image.sha256 for planned in plan.classes for image in planned.exemplars]
    train += [image.sha256 for image in plan.fresh]
    return _stored(spec, result, train, store, reporter)


def _forget(
    plan: ForgetPlan,
    resources: Resources,
    store: BlobStore,
    reporter: Reporter,
    stop: threading.Event,
) -> Outcome:
    spec = methods.complete(Spec.model_validate(plan.spec))
    hashes, columns = _held_out(plan)
    data = Remaining(
        held_out=_decode_all(hashes, store, spec.image_size, resources.threads, reporter, stop),
        held_out_columns=columns,
        kept=tuple(len(planned.exemplars) for planned in plan.classes),
    )
    base = _base(plan, plan.base_tasks, store, reporter)
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
    return _stored(spec, result, (), store, reporter)


def _held_out(plan: Plan) -> tuple[list[str], Tensor]:
    """Return the images to measure on and their columns."""
    held_out = [
        (sha256, column)
        for column, planned in enumerate(plan.classes)
        for sha256 in (*planned.held_out, *planned.new_held_out)
    ]
    columns = torch.tensor([column for _, column in held_out], dtype=torch.int64)
    return [sha256 for sha256, _ in held_out], columns


def _read(
    plan: LearnPlan,
    store: BlobStore,
    image_size: int,
    threads: int,
    reporter: Reporter,
    stop: threading.Event,
) -> StepData:
    """Decode every image of the plan, once, into the order that `StepData` asks for."""
    exemplars = [
        (image.sha256, image.size, column)
        for column, planned in enumerate(plan.classes)
        for image in planned.exemplars
    ]
    train = [*exemplars, *plan.fresh]
    held_out, held_out_columns = _held_out(plan)
    hashes = [sha256 for sha256, *_ in train] + held_out
    pixels = _decode_all(hashes, store, image_size, threads, reporter, stop)
    return StepData(
        images=pixels[: len(train)],
        columns=torch.tensor([column for *_, column in train]),
        sizes=torch.tensor([size for _, size, _ in train]),
        fresh=torch.arange(len(train)) >= len(exemplars),
        held_out=pixels[len(train) :],
        held_out_columns=held_out_columns,
        tasks=tuple(planned.task for planned in plan.classes),
    )


def _decode_all(
    hashes: Sequence[str],
    store: BlobStore,
    image_size: int,
    threads: int,
    reporter: Reporter,
    stop: threading.Event,
) -> Tensor:
    """Return the images as uint8 [N, 3, S, S]."""
    pixels = torch.empty((len(hashes), 3, image_size, image_size), dtype=torch.uint8)
    rows = pixels.numpy()

    def read(position: int) -> None:
        if not stop.is_set():
            image = decode(store.get(hashes[position]), image_size)
            rows[position] = image.transpose(2, 0, 1)

    reporter.phase("preparing", 0.0)
    with ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(read, range(len(hashes))), start=1):
            reporter.phase("preparing", done / len(hashes))
    if stop.is_set():
        raise Cancelled
    return pixels


def _base(plan: Plan, tasks: tuple[int, ...], store: BlobStore, reporter: Reporter) -> State:
    """Read the tensors of the version that the step starts from; `tasks` are of its columns."""
    parts = {}
    for name, sha256 in plan.parts.items():
        reporter.phase("preparing", 1.0)
        reporter.quiet(_PART_SECONDS)
        parts[name] = decode_part(store.get(sha256))
    return State(parts, tasks)


def _stored(
    spec: Spec, result: StepResult, train: Sequence[str], store: BlobStore, reporter: Reporter
) -> Outcome:
    """Write the tensors into the store and return what the version's rows need.

    `train` are the images that were trained on, in the order of `StepData.images`.
    """
    parts = {}
    for done, (name, tensors) in enumerate(result.state.parts.items()):
        reporter.phase("publishing", done / len(result.state.parts))
        reporter.quiet(_PART_SECONDS)
        data = encode(tensors)
        parts[name] = SizedImage(store.put(data), len(data))
    return Outcome(
        spec=spec.model_dump(mode="json"),
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

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
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

# Imported here, not at first use, so that the fork server has it ready: PyTorch's optimisers ask
# for it, and it takes longer than everything else before the first training step.
import torch._dynamo
from torch import Tensor

from app.db.repositories.jobs import Event
from app.db.repositories.learning import SizedImage
from app.imaging.decode import decode
from app.imaging.reading import UnreadableImageError
from app.services.plans import ForgetPlan, LearnPlan, Plan
from app.services.publication import Outcome
from app.storage import BlobCorruptError, BlobMissingError, BlobStore, open_store
from models.learner import (
    Cancelled,
    InvalidSpecError,
    LearningError,
    Progress,
    Remaining,
    StepData,
    StepResult,
    forget,
    learn,
)
from models.spec import Spec
from models.state import State, encode
from models.state import decode as decode_part
from worker.protocol import Failure, Message, Report, Resources, Stopped

_REPORT_SECONDS = 0.2
# Where each phase begins and ends in the job's fraction: most of the time is training.
_SPANS = {
    "preparing": (0.0, 0.05),
    "training": (0.05, 0.9),
    "selecting_exemplars": (0.9, 0.95),
    "evaluating": (0.95, 0.98),
    "publishing": (0.98, 1.0),
}

# The first that fits: its code, and whether the same step may succeed another time.
_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, bool], ...] = (
    ((BlobMissingError, BlobCorruptError, UnreadableImageError), "data-missing", False),
    (InvalidSpecError, "training-failed", False),
    ((MemoryError, torch.OutOfMemoryError), "out-of-memory", True),
    (OSError, "storage-failed", True),
    (Exception, "training-failed", True),
)

Send = Callable[[Message], None]


def probe(up: Connection) -> None:
    """Say which device ``auto`` means here. Answered only once the fork server is ready."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):  # the worker has ended meanwhile
        up.send("cuda" if torch.cuda.is_available() else "cpu")


def main(plan: Plan, resources: Resources, up: Connection, down: Connection) -> None:
    """Entry of the process: send reports, then an Outcome, a Failure or Stopped."""
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
    reporter = _Reporter(send)
    store = open_store(resources.storage_url)
    try:
        if isinstance(plan, ForgetPlan):
            return _forget(plan, resources, store, reporter, stop)
        assert isinstance(plan, LearnPlan)  # noqa: S101 - there are two kinds
        return _learn(plan, resources, store, reporter, stop)
    except Cancelled:
        return Stopped()
    except LearningError as error:
        return Failure(error.code, error.detail, again=False, retryable=False)
    except Exception as error:  # whatever a method raises is its job's failure, not the worker's
        sys.excepthook(type(error), error, error.__traceback__)
        return _failure(error)


def _failure(error: Exception) -> Failure:
    code, again = next(
        (code, again) for kinds, code, again in _FAILURES if isinstance(error, kinds)
    )
    if "can't allocate memory" in str(error):  # the CPU's allocator has no class of its own
        code = "out-of-memory"
    detail = f"{type(error).__name__}: {error}"
    return Failure(code, detail, again=again, retryable=again)


def _learn(
    plan: LearnPlan,
    resources: Resources,
    store: BlobStore,
    reporter: "_Reporter",
    stop: threading.Event,
) -> Outcome:
    spec = Spec.model_validate(plan.spec)
    data = _read(plan, store, spec.image_size, resources.threads, reporter, stop)
    tasks = tuple(planned.task for planned in plan.classes)
    known = sum(1 for planned in plan.classes if planned.known)
    base = _base(plan, tasks[:known], store) if plan.parts else None
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
    reporter.phase("publishing", 0.0)
    train = [image.sha256 for planned in plan.classes for image in planned.exemplars]
    train += [image.sha256 for image in plan.fresh]
    return _stored(result, train, store)


def _forget(
    plan: ForgetPlan,
    resources: Resources,
    store: BlobStore,
    reporter: "_Reporter",
    stop: threading.Event,
) -> Outcome:
    spec = Spec.model_validate(plan.spec)
    hashes, columns = _held_out(plan)
    data = Remaining(
        held_out=_decode_all(hashes, store, spec.image_size, resources.threads, reporter, stop),
        held_out_columns=columns,
        kept=tuple(len(planned.exemplars) for planned in plan.classes),
    )
    result = forget(
        spec,
        _base(plan, plan.base_tasks, store),
        plan.columns,
        data,
        device=resources.device,
        history=plan.history,
        report=reporter.learning,
    )
    reporter.phase("publishing", 0.0)
    return _stored(result, (), store)


def _base(plan: Plan, tasks: tuple[int, ...], store: BlobStore) -> State:
    parts = {name: decode_part(store.get(sha256)) for name, sha256 in plan.parts.items()}
    return State(parts, tasks)


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
    reporter: "_Reporter",
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
    reporter: "_Reporter",
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


def _stored(result: StepResult, train: Sequence[str], store: BlobStore) -> Outcome:
    """Write the tensors into the store and return what the version's rows need.

    `train` are the images that were trained on, in the order of `StepData.images`.
    """
    parts = {}
    for name, tensors in result.state.parts.items():
        data = encode(tensors)
        parts[name] = SizedImage(store.put(data), len(data))
    return Outcome(
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


class _Reporter:
    """Turns what happens into reports, few enough not to be felt."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sent = float("-inf")
        self._phase: str | None = None
        self._progress: dict[str, Any] = dict.fromkeys(
            name for name in Progress.__dataclass_fields__ if name != "phase"
        )

    def phase(self, phase: str, fraction: float) -> None:
        """Report a phase that has no epochs."""
        self._report(phase, {"fraction": fraction}, ())

    def learning(self, progress: Progress) -> None:
        """Report what the learner says."""
        fields = asdict(progress)
        events: tuple[Event, ...] = ()
        if progress.step is not None and progress.step == progress.steps:
            data = {name: fields[name] for name in ("epoch", "epochs", "loss")}
            message = f"Epoch {progress.epoch} of {progress.epochs}: loss {progress.loss:.4f}."
            events = (Event("epoch", message, data=data),)
        self._report(fields.pop("phase"), fields, events)

    def _report(self, phase: str, fields: dict[str, Any], events: tuple[Event, ...]) -> None:
        now = time.monotonic()
        if phase == self._phase and not events and now - self._sent < _REPORT_SECONDS:
            return
        self._phase, self._sent = phase, now
        start, end = _SPANS[phase]
        # What is known of training stays in sight while the phases after it run.
        self._progress |= {name: value for name, value in fields.items() if value is not None}
        self._progress["fraction"] = round(start + (end - start) * fields["fraction"], 4)
        self._send(Report(phase, dict(self._progress), events))

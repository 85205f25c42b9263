"""The training process: reads images, does the job and stores tensors; no database.

One pipe takes reports and the result to the worker; the other brings its order to stop. When the
second one closes, this process ends: it cannot outlive its worker, whatever happened to that.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

import structlog

# Imported here, not at first use, so that the fork server has it ready: PyTorch's optimisers and
# torchvision ask for it, and it takes longer than everything else before the first optimizer step.
import torch._dynamo
import torchvision  # noqa: F401
from setproctitle import setproctitle

from app import logs
from app.db.repositories.learning import SizedImage
from app.imaging.reading import UnreadableImageError
from app.logs import described
from app.processes import die_with_parent
from app.services.advice.planning import AdvicePlan
from app.services.jobs.checkpoints import SavedCheckpoint
from app.services.steps.plans import CorrectPlan, EvaluatePlan, ForgetPlan, JobPlan, LearnPlan
from app.services.steps.publication import Outcome
from app.storage import BlobCorruptError, BlobMissingError, is_full
from models.checkpoint import Checkpoint, CheckpointMismatchError
from models.compute import is_out_of_memory
from models.edits import correct, forget
from models.errors import Cancelled, InvalidSpecError, LearningError
from models.learner import learn
from models.serving import check_read_back, read_back_failed, why
from models.state import State, decode, encode
from models.step import Remaining, Sample, StepResult
from worker import compiling, preflight, reading, resuming
from worker.advising import advise
from worker.attempt import Attempt, StopOrder
from worker.evaluating import evaluate, judged_parts
from worker.protocol import Failure, Message, Resources, Result, Stopped
from worker.reencoding import Reencoder
from worker.reporter import PART_SECONDS
from worker.saving import Saver

log = structlog.get_logger(__name__)

# How long the main thread may be silent (`Quiet`) from the last image to the first optimizer step
# or, where nothing is trained, to measuring; and the same with a download of weights in it.
_START_SECONDS = 300.0
_DOWNLOAD_SECONDS = 1800.0

# What somebody can change so that the same job succeeds, and how.
_HELP = {
    "memory-too-small": "change it by PATCH of the classifier, then retry the job",
    "scratch-full": "free space there or raise ACCRUE_TRAIN_MEMORY, then retry the job",
    "weights-unavailable": "put it there, then retry the job",
    "weights-unfit": "put another file in its place, then retry the job",
}

# The first row that fits gives the error code, and whether another attempt may succeed by itself.
_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, bool], ...] = (
    ((BlobMissingError, BlobCorruptError, UnreadableImageError), "data-missing", False),
    (InvalidSpecError, "training-failed", False),
    (OSError, "storage-failed", True),
    (Exception, "training-failed", True),
)


def probe(up: Connection) -> None:
    """Send which device ``auto`` means here. This runs only once the fork server is ready."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):  # the worker has ended meanwhile
        up.send("cuda" if torch.cuda.is_available() else "cpu")


def main(
    plan: JobPlan,
    resources: Resources,
    checkpoint: SavedCheckpoint | None,
    up: Connection,
    down: Connection,
) -> None:
    """Entry of the process: send reports, then an Outcome, a Failure or Stopped."""
    setproctitle(f"accrue job {plan.job_id}")
    # Ctrl-C reaches every process of the terminal; the worker alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Each child inherits an end of the pipe that keeps the fork server alive. Close it: a stuck
    # child would keep the server, and so itself, alive.
    server: Any = forkserver._forkserver
    os.close(server._forkserver_alive_fd)
    server._forkserver_alive_fd = None
    die_with_parent(os.getppid(), signal.SIGKILL)
    logs.configure(resources.log_level)  # the fork server has configured nothing
    attempt = Attempt(plan, resources, up.send, checkpoint=checkpoint)
    threading.Thread(target=_listen, args=(down, attempt.stop), daemon=True).start()
    up.send(run(attempt))


def _listen(down: Connection, stop: StopOrder) -> None:
    try:
        while True:
            stop.give(saving=down.recv())
    except (EOFError, OSError):
        os._exit(1)  # the worker has closed the pipe or has died


def run(attempt: Attempt) -> Message:
    """Do what the plan says and return what came of it. Whatever is raised is the job's Failure."""
    torch.set_num_threads(attempt.resources.threads)
    try:
        return _result(attempt)
    except Cancelled:
        return Stopped()
    except LearningError as error:
        return _refusal(error)
    except Exception as error:  # whatever a method raises is its job's failure, not the worker's
        log.exception("job_failed", job=attempt.plan.job_id)
        return _failure(error)


def _result(attempt: Attempt) -> Result:
    match attempt.plan:
        case LearnPlan() as plan:
            return _learn(attempt, plan)
        case ForgetPlan() as plan:
            return _forget(attempt, plan)
        case CorrectPlan() as plan:
            return _correct(attempt, plan)
        case EvaluatePlan() as plan:
            return evaluate(attempt, plan)
        case AdvicePlan() as plan:
            return advise(attempt, plan)
    raise TypeError(f"no job has a plan like {type(attempt.plan).__name__}")


def _refusal(error: LearningError) -> Failure:
    help_ = _HELP.get(error.code)
    detail = f"{error.detail}; {help_}" if help_ else error.detail
    return Failure(error.code, detail, again=False, retryable=help_ is not None)


def _failure(error: Exception) -> Failure:
    code, again = next(
        (code, again) for kinds, code, again in _FAILURES if isinstance(error, kinds)
    )
    if isinstance(error, OSError) and is_full(error):
        # Somebody has to free space first: an attempt made at once would fail again.
        return Failure(
            "storage-full", f"The storage is full: {described(error)}", again=False, retryable=True
        )
    if is_out_of_memory(error):
        code, again = "out-of-memory", True
    detail = described(error)
    if isinstance(error, (BlobMissingError, BlobCorruptError)):
        detail = f"{error}; send that image again or restore the storage, then create a new job"
    return Failure(code, detail, again=again, retryable=again)


def _learn(attempt: Attempt, plan: LearnPlan) -> Outcome:
    spec, resources = attempt.spec, attempt.resources
    plan = preflight.without_learnt(plan, spec)
    on_disk = reading.is_on_disk(attempt, plan)
    reencoder = Reencoder.of(spec, resources.room, len(plan.fresh), on_disk=on_disk)
    if reencoder is None:
        preflight.check_memory(plan, spec, [image.size for image in plan.fresh])
    fingerprint = resuming.fingerprint(plan, spec, reading.rules_of(attempt), reencoder)
    checkpoint = resuming.read(attempt, fingerprint)
    attempt.reporter.warn(preflight.warnings(plan))
    data = reading.read(attempt, plan, reencoder, on_disk=on_disk)
    if reencoder is not None:
        preflight.check_memory(plan, spec, reencoder.sizes)
    tasks = tuple(planned.task for planned in plan.classes if planned.known)
    base = reading.base(attempt, tasks) if plan.parts else None
    saver = Saver(attempt, fingerprint)
    compile_trunk = compiling.of(attempt, spec, len(data.images) + len(data.held_out))

    def train(resume: Checkpoint | None) -> StepResult:
        attempt.reporter.quiet(_START_SECONDS if spec.weights is None else _DOWNLOAD_SECONDS)
        return learn(
            spec,
            base,
            data,
            device=resources.device,
            history=plan.history,
            weights_dir=resources.weights_dir,
            report=attempt.reporter.learning,
            warn=lambda warning: attempt.reporter.warn([warning]),
            should_stop=attempt.stop.is_set,
            save=saver.save,
            save_due=saver.due,
            resume=resume,
            compile_trunk=compile_trunk,
        )

    try:
        result = train(checkpoint)
    except CheckpointMismatchError as error:  # e.g. a release with other tensors wrote it
        attempt.reporter.not_resumed(str(error))
        result = train(None)
    trained_on = [image.sha256 for planned in plan.classes for image in planned.exemplars]
    trained_on += [image.sha256 for image in plan.fresh]
    if reencoder is None:
        return _stored(attempt, result, trained_on)
    trained_on, reencoded = reencoder.store(attempt, result, trained_on)
    return replace(_stored(attempt, result, trained_on), reencoded=reencoded)


def _forget(attempt: Attempt, plan: ForgetPlan) -> Outcome:
    hashes, columns = reading.held_out_of(plan)
    data = Remaining(
        held_out=reading.decode_all(attempt, hashes),
        held_out_columns=columns,
        kept=tuple(len(planned.exemplars) for planned in plan.classes),
        held_out_groups=reading.groups_of(plan),
        grouped=plan.grouped,
    )
    base = reading.base(attempt, plan.base_tasks)
    attempt.reporter.quiet(_START_SECONDS)
    result = forget(attempt.spec, base, plan.columns, data, **_edited(attempt, plan, len(hashes)))
    return _stored(attempt, result, ())


def _correct(attempt: Attempt, plan: CorrectPlan) -> Outcome:
    corrected = reading.corrected(attempt, plan)
    base = reading.base(attempt, tuple(planned.task for planned in plan.classes))
    attempt.reporter.quiet(_START_SECONDS)
    measured = len(corrected.data.held_out)
    result = correct(attempt.spec, base, corrected, **_edited(attempt, plan, measured))
    exemplars = [image.sha256 for planned in plan.classes for image in planned.exemplars]
    return _stored(attempt, result, exemplars)


def _edited(attempt: Attempt, plan: ForgetPlan | CorrectPlan, measured: int) -> dict[str, Any]:
    """Return what both edits are given of the attempt; `measured` images are held out."""
    return {
        "device": attempt.resources.device,
        "history": plan.history,
        "report": attempt.reporter.learning,
        "should_stop": attempt.stop.is_set,
        "compile_trunk": compiling.of(attempt, attempt.spec, measured),
    }


def _stored(attempt: Attempt, result: StepResult, trained_on: Sequence[str]) -> Outcome:
    """Write the tensors to storage and return what the version's rows need.

    `trained_on` are the hashes of the images in the order of `StepData.images`.
    """
    all_parts = {**result.state.parts, **judged_parts(attempt, result)}
    parts, stored = {}, {}
    for done, (name, tensors) in enumerate(all_parts.items()):
        # Only a cancel stops here: for a worker that stops, the result is worth more than a
        # checkpoint.
        if attempt.stop.cancels:
            raise Cancelled
        attempt.reporter.phase("publishing", done / len(all_parts))
        attempt.reporter.quiet(PART_SECONDS)
        data = encode(tensors)
        parts[name] = SizedImage(attempt.tensors.put(data), len(data))
        stored[name] = decode(data)
    _read_back(attempt, State(stored, result.state.tasks), result.sample)
    return Outcome(
        # With the defaults that the version was trained with.
        spec=attempt.spec,
        parts=parts,
        rankings={
            column: [trained_on[position] for position in ranking[: result.kept[column]]]
            for column, ranking in result.rankings.items()
        },
        kept=result.kept,
        metrics=result.metrics,
        warnings=result.warnings,
        residual=result.residual,
    )


def _read_back(attempt: Attempt, stored: State, sample: Sample) -> None:
    """Check, before it is published, that the version can be loaded and predicts what it learnt.

    Raises LearningError where it cannot; too little memory is raised as it is.
    """
    if attempt.stop.cancels:
        raise Cancelled
    attempt.reporter.phase("publishing", 1.0)
    attempt.reporter.quiet(_START_SECONDS)
    try:
        check_read_back(attempt.spec, stored, sample)
    except LearningError:
        raise
    except Exception as error:  # whatever a method or backbone raises
        if is_out_of_memory(error):
            raise
        log.exception("version_not_read_back", job=attempt.plan.job_id)
        raise read_back_failed(attempt.spec, f"it cannot be loaded ({why(error)})") from error

"""What a step starts from, read from storage: images, decoded once, and the base's tensors."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.imaging import rules
from app.imaging.decode import decode
from app.imaging.reading import STORED
from app.services.steps.plans import ClassifierPlan, CorrectPlan, LearnPlan, Plan
from models.errors import Cancelled
from models.judging import without_judged
from models.preprocess import pixel_rules
from models.state import State, decode as decode_part
from models.step import Corrected, Correction, StepData
from worker.attempt import Attempt
from worker.pixels import images
from worker.reencoding import Reencoder, is_needed
from worker.reporter import PART_SECONDS

# Reads that wait for a thread at once; each takes about a kilobyte.
_AT_ONCE = 10_000


def held_out_of(plan: ClassifierPlan) -> tuple[list[str], Tensor]:
    """Return the hashes of the images to measure on, and their columns [H]."""
    held_out = [
        (sha256, column)
        for column, planned in enumerate(plan.classes)
        for sha256 in (*planned.held_out, *planned.new_held_out)
    ]
    columns = torch.tensor([column for _, column in held_out], dtype=torch.int64)
    return [sha256 for sha256, _ in held_out], columns


def groups_of(plan: Plan) -> Tensor | None:
    """Return numbers [H] of the groups of the images to measure on, None where none has one.

    An image without a group has a number of its own.
    """
    return numbered(
        plan.groups.get((planned.label, sha256))
        for planned in plan.classes
        for sha256 in (*planned.held_out, *planned.new_held_out)
    )


def numbered(groups: Iterable[str | None]) -> Tensor | None:
    """Return a number for each group, and one of its own for each None; None without a group."""
    numbers: dict[str, int] = {}
    found: list[int] = []
    for group in groups:
        found.append(-len(found) - 1 if group is None else numbers.setdefault(group, len(numbers)))
    return torch.tensor(found) if numbers else None


def is_on_disk(attempt: Attempt, plan: LearnPlan) -> bool:
    """Say whether the images of a step are too many for memory, in all the forms it has them."""
    held_out, _ = held_out_of(plan)
    count = sum(len(planned.exemplars) for planned in plan.classes) + len(held_out)
    files = len(plan.fresh) if is_needed(attempt.spec) else 0
    count += len(plan.fresh) + files
    return attempt.resources.room.is_too_small(count, attempt.spec.image_size, files=files)


def read(
    attempt: Attempt,
    plan: LearnPlan,
    reencoder: Reencoder | None = None,
    *,
    on_disk: bool = False,
) -> StepData:
    """Decode every image of the plan once, in the order that `StepData` asks for.

    The new images go through the `reencoder`. With `on_disk` the images are there, not in memory.
    """
    exemplars = [
        (image.sha256, image.size, column)
        for column, planned in enumerate(plan.classes)
        for image in planned.exemplars
    ]
    train = [*exemplars, *((image.sha256, image.size, image.column) for image in plan.fresh)]
    held_out, held_out_columns = held_out_of(plan)
    hashes = [sha256 for sha256, *_ in train] + held_out
    sizes = [size for _, size, _ in train]
    if reencoder is None:
        pixels = decode_all(attempt, hashes, on_disk=on_disk)
    else:
        take, new = reencoder.take, range(len(exemplars), len(train))

        def also(position: int, image: NDArray[np.uint8]) -> None:
            if position in new:
                take(position - new.start, image)

        pixels = decode_all(attempt, hashes, also, on_disk=on_disk)
        sizes[new.start :] = reencoder.sizes
    return StepData(
        images=pixels[: len(train)],
        columns=torch.tensor([column for *_, column in train]),
        sizes=torch.tensor(sizes),
        fresh=torch.arange(len(train)) >= len(exemplars),
        held_out=pixels[len(train) :],
        held_out_columns=held_out_columns,
        tasks=tuple(planned.task for planned in plan.classes),
        pixel_rules=rules_of(attempt),
        digests=digests([sha256 for sha256, *_ in train]),
        held_out_groups=groups_of(plan),
        grouped=plan.grouped,
        reencoded=None if reencoder is None else reencoder.images,
        on_disk=on_disk,
    )


def corrected(attempt: Attempt, plan: CorrectPlan) -> Corrected:
    """Return what is corrected, with the exemplars decoded if any of them changes."""
    changed = {
        (image.label, sha256)
        for image in plan.images
        if image.exemplar and image.label not in image.before
        for sha256 in image.files
    }
    exemplars = [
        (image.sha256, image.size, column, (planned.label, image.sha256) in changed)
        for column, planned in enumerate(plan.classes)
        for image in planned.exemplars
        if plan.edited
    ]
    held_out, held_out_columns = held_out_of(plan)
    count, size = len(exemplars) + len(held_out), attempt.spec.image_size
    on_disk = attempt.resources.room.is_too_small(count, size)
    hashes = [sha256 for sha256, *_ in exemplars] + held_out
    pixels = decode_all(attempt, hashes, on_disk=on_disk)
    data = StepData(
        images=pixels[: len(exemplars)],
        columns=torch.tensor([column for _, _, column, _ in exemplars], dtype=torch.int64),
        sizes=torch.tensor([size for _, size, *_ in exemplars], dtype=torch.int64),
        fresh=torch.tensor([fresh for *_, fresh in exemplars], dtype=torch.bool),
        held_out=pixels[len(exemplars) :],
        held_out_columns=held_out_columns,
        tasks=tuple(planned.task for planned in plan.classes),
        pixel_rules=rules_of(attempt),
        held_out_groups=groups_of(plan),
        grouped=plan.grouped,
        on_disk=on_disk,
    )
    column_of = {planned.label: column for column, planned in enumerate(plan.classes)}
    images = tuple(
        Correction(
            tuple(map(bytes.fromhex, image.files)),
            tuple(column_of[label] for label in image.before),
            None if image.label is None else column_of[image.label],
        )
        for image in plan.images
        if not image.held_out
    )
    kept = tuple(len(planned.exemplars) for planned in plan.classes)
    return Corrected(data, images, plan.edited, kept, plan.remeasured)


def digests(hashes: Sequence[str]) -> Tensor:
    """Return hexadecimal SHA-256 hashes as bytes, uint8 [N, 32]."""
    raw = bytearray().join(map(bytes.fromhex, hashes))
    return torch.frombuffer(raw, dtype=torch.uint8).view(-1, 32)


def rules_of(attempt: Attempt) -> int:
    """Return the rules by which the step's files become pixels: those of its base version."""
    part = attempt.version_plan.parts.get("preprocess")
    return rules.CURRENT if part is None else pixel_rules(decode_part(attempt.tensors.get(part)))


def decode_all(
    attempt: Attempt,
    hashes: Sequence[str],
    also: Callable[[int, NDArray[np.uint8]], None] = lambda _position, _image: None,
    *,
    on_disk: bool | None = None,
) -> Tensor:
    """Return the images as uint8 [N, 3, S, S], memory-mapped where they are `on_disk`.

    That is where they are too many for memory, unless it is said. `also` is called with the
    position of each and the image uint8 [S, S, 3], in any order. Raises Cancelled, LearningError
    where the disk has no room, and what reading a blob does.
    """
    size, room = attempt.spec.image_size, attempt.resources.room
    if on_disk is None:
        on_disk = room.is_too_small(len(hashes), size)
    found = images(room, len(hashes), size, on_disk=on_disk)
    to_pixels = partial(decode, limits=STORED, resize=attempt.spec.resize, rules=rules_of(attempt))

    def take(position: int, image: NDArray[np.uint8]) -> None:
        found.write(position, image)
        also(position, image)

    reported = partial(attempt.reporter.phase, "preparing")
    decode_each(attempt, hashes, partial(to_pixels, size=size), take, reported)
    return found.tensor


def decode_each(
    attempt: Attempt,
    hashes: Sequence[str],
    to_pixels: Callable[[bytes], NDArray[np.uint8]],
    take: Callable[[int, NDArray[np.uint8]], None],
    report: Callable[[float], None],
) -> None:
    """Call `take` with the position of each image and what `to_pixels` makes of its bytes.

    That is in any order, in threads. `report` takes the fraction done. Raises Cancelled, and what
    `take` or reading a blob does.
    """
    store, stop = attempt.store, attempt.stop
    threads = attempt.resources.threads
    # A store in the network is worth more readers than there are cores to decode.
    decoding = threading.BoundedSemaphore(threads)

    def read_one(position: int) -> None:
        if not stop.is_set():
            data = store.get(hashes[position])
            with decoding:
                take(position, to_pixels(data))

    report(0.0)
    with ThreadPoolExecutor(max(threads, store.parallel)) as pool:
        for start in range(0, len(hashes), _AT_ONCE):
            positions = range(start, min(start + _AT_ONCE, len(hashes)))
            for done, _ in enumerate(pool.map(read_one, positions), start=start + 1):
                report(done / len(hashes))
    if stop.is_set():
        raise Cancelled


def base(attempt: Attempt, tasks: tuple[int, ...]) -> State:
    """Read the tensors of the version that the step starts from; `tasks` are its columns'.

    Raises Cancelled, and what reading a blob does.
    """
    parts = {}
    for name, sha256 in without_judged(attempt.version_plan.parts).items():
        if attempt.stop.is_set():
            raise Cancelled
        attempt.reporter.phase("preparing", 1.0)
        attempt.reporter.quiet(PART_SECONDS)
        parts[name] = decode_part(attempt.tensors.get(sha256))
    return State(parts, tasks)

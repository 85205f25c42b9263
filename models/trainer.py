"""The one training loop: the training phases of a method, over batches on the device."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models import working_state
from models.batches import Batch, EpochPlan, steps_per_epoch
from models.checkpoint import (
    Checkpoint,
    CheckpointMismatchError,
    load_optimizer_tensors,
    optimizer_tensors,
)
from models.compute import sent_to, to_device
from models.early_stopping import Plateaus
from models.errors import Cancelled, diverged
from models.feeding import Feed
from models.methods.base import Method, Phase
from models.networks import Activations
from models.optimizing import gradients_of, in_float32, set_rates, trained
from models.progress import Progress
from models.seeds import derive
from models.step import Step
from models.watching import Watch
from models.working_state import Parts

# Reading the loss waits for the device, so it is read only this often.
REPORT_SECONDS = 0.2


class Position(NamedTuple):
    """An optimizer step, by its numbers from 0: training phase, epoch in it, step in that."""

    phase: int
    epoch: int
    step: int


@dataclass
class _Epoch:
    """What is counted in an epoch that begins at `start` and has `steps` optimizer steps.

    `done` of `total` are the optimizer steps of earlier epochs and of the whole training; `summed`
    is the loss over the epoch's steps so far; `started` is the time at `start`, and `images` are
    those trained on since then.
    """

    start: Position
    steps: int
    done: int
    total: int
    summed: Tensor
    started: float
    images: int = 0


def at_epoch_ends(epoch_end: bool) -> bool:
    """Make a checkpoint due after every epoch and at no other time."""
    return epoch_end


class Trainer:
    """Trains one step of one method."""

    def __init__(
        self,
        method: Method[Any],
        step: Step,
        *,
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
        save: Callable[[Checkpoint], None] | None = None,
        save_due: Callable[[bool], bool] = at_epoch_ends,
        rate: float = 1.0,
    ) -> None:
        """Take the method before its `begin`, when its network is still the teacher.

        All learning rates are multiplied by `rate`.

        `should_stop` is called before every optimizer step. `save_due` is called after each one,
        with whether the epoch ends there, and before a stop; where it returns True, `save` is
        called with a checkpoint.
        """
        self.method = method
        self.step = step
        self.report = report
        self.should_stop = should_stop
        self.save = save
        self.save_due = save_due
        self.rate = rate
        self.plateaus: dict[int, Plateaus] = {}  # of the training phases that may stop early
        self.best: Parts | None = None  # working state after the best epoch of such a phase
        self.watch = Watch(method, step, self.show_life)
        self.told: Progress | None = None
        self.unsaved = False
        self.summed = 0.0  # the loss over steps of the first epoch that a checkpoint contains
        self.teacher: nn.Module | None = None
        if method.needs.teacher and step.known:
            self.teacher = copy.deepcopy(method.network).eval().requires_grad_(False)
        regularizer = method.regularizer(step.spec)
        # At weight 0 even its forward is left out: batch norm would see the images.
        self.regularizer = regularizer if regularizer and regularizer.options.weight else None
        self.feed = Feed(step, method.preprocess, paired=self.regularizer is not None)
        self.reported = 0.0

    def run(self, resume: Checkpoint | None = None) -> int:
        """Run all training phases, or resume them from a checkpoint.

        Return the number of optimizer steps, those before the checkpoint included. Raises Cancelled
        when `should_stop` returns True, CheckpointMismatchError where the checkpoint does not fit.
        """
        phases = self._begin()
        per_epoch = [steps_per_epoch(len(phase.images), phase.batch_size) for phase in phases]
        work = [phase.epochs * steps for phase, steps in zip(phases, per_epoch, strict=True)]
        first = Position(0, 0, 0) if resume is None else self._restore(phases, per_epoch, resume)
        for index, phase in enumerate(phases[first.phase :], start=first.phase):
            done, total = sum(work[:index]), sum(work)
            with gradients_of(phase, self.method.network):
                for epoch in range(first.epoch, phase.epochs):
                    if self._is_over(phase, index):
                        break
                    start = Position(index, epoch, first.step)
                    self._epoch(phase, start, done + epoch * per_epoch[index], total)
                    first = Position(index, epoch + 1, 0)
            if self.best is not None:
                working_state.load(self.method, self.best, self.step.compute.device)
                self.best = None
            self.method.end_phase(self.step, phase)
            first = Position(index + 1, 0, 0)
        return self._taken(phases)

    def restore_ended(self, parts: Parts, plateaus: dict[int, Plateaus]) -> int:
        """Bring the method into the working state at the end of an earlier training.

        Return the number of that training's optimizer steps.
        """
        phases = self._begin()
        working_state.load(self.method, parts, self.step.compute.device)
        self.plateaus = plateaus
        return self._taken(phases)

    def show_life(self, done: float = 0.0) -> None:
        """Report once more how far training is: a `Pause` within it."""
        if self.told is not None:
            self.report(replace(self.told, step=None))

    def _begin(self) -> list[Phase]:
        self.method.begin(self.step)
        to_device(self.step.network, self.step.compute.device)
        return list(self.method.phases(self.step))

    def _is_over(self, phase: Phase, index: int) -> bool:
        """Say whether the training phase, number `index`, has stopped early."""
        seen = self.plateaus.get(index)
        return phase.stopping is not None and seen is not None and seen.over(phase.stopping)

    def _taken(self, phases: Sequence[Phase]) -> int:
        """Return how many optimizer steps the training phases have taken in all."""
        return sum(
            (self.plateaus[index].epochs if index in self.plateaus else phase.epochs)
            * steps_per_epoch(len(phase.images), phase.batch_size)
            for index, phase in enumerate(phases)
        )

    def _epoch(self, phase: Phase, start: Position, done: int, total: int) -> None:
        """Train an epoch from `start` on; `done` of `total` optimizer steps are of earlier ones."""
        step = self.step
        batches = self.feed.epoch(phase.images, phase.batch_size, start.phase, start.epoch)
        self.method.network.train()
        for module in phase.frozen:
            module.eval()
        summed = torch.full((), self.summed, device=step.compute.device)
        self.summed = 0.0
        epoch = _Epoch(start, len(batches), done, total, summed, time.monotonic())
        left = self.feed.ahead(phase.images, batches[start.step :])
        for index, (chosen, pairs) in enumerate(left, start=start.step):
            position = start._replace(step=index)
            if self.should_stop():
                self._save_if_due(phase, position, summed, epoch_end=False)
                raise Cancelled
            fraction = (start.epoch * epoch.steps + index) / (phase.epochs * epoch.steps)
            set_rates(phase, fraction, self._scale(phase, start.phase))
            # Dropout draws from the global generator; its draws too depend on the position alone.
            torch.manual_seed(derive(step.seed, "step", *position))
            summed += self._train_on(phase, chosen, pairs)
            self.unsaved = True
            epoch.images += len(chosen.order)
            last = index == epoch.steps - 1
            if last:
                self._measure(phase, epoch)
            if last or time.monotonic() - self.reported >= REPORT_SECONDS:
                self._report(phase, epoch, index + 1)
            following = Position(start.phase, start.epoch + 1, 0)
            if not last:
                following = position._replace(step=index + 1)
            self._save_if_due(phase, following, summed, epoch_end=last)

    def _scale(self, phase: Phase, index: int) -> float:
        """Return what the schedule's rate is multiplied by in training phase number `index`."""
        seen = self.plateaus.get(index)
        if phase.stopping is None or seen is None:
            return self.rate
        return self.rate * phase.stopping.decay**seen.fallen

    def _measure(self, phase: Phase, epoch: _Epoch) -> None:
        """Measure the held-out accuracy after an epoch, and keep the best epoch's state."""
        float(epoch.summed)  # waits for the device: what it has yet to do is training
        seconds = time.monotonic() - epoch.started
        rule = phase.stopping if len(self.step.held_out) else None
        accuracy = self.watch.after_epoch(seconds, epoch.images, always=rule is not None)
        if rule is None or accuracy is None:
            return
        seen = self.plateaus.setdefault(epoch.start.phase, Plateaus())
        if seen.add(accuracy, rule):
            self.best = working_state.copied(self.method)

    def _report(self, phase: Phase, epoch: _Epoch, steps: int) -> None:
        """Report progress after `steps` of the epoch. Raises LearningError for an infinite loss."""
        self.reported = time.monotonic()
        elapsed = max(self.reported - epoch.started, 1e-9)
        loss = float(epoch.summed) / steps
        number = epoch.start.epoch + 1
        if not math.isfinite(loss):
            raise diverged(f"its loss is {loss} in epoch {number}")
        left = epoch.total - epoch.done - steps
        self.told = Progress(
            phase="training",
            fraction=(epoch.done + steps) / epoch.total,
            epoch=number,
            epochs=phase.epochs,
            step=steps,
            steps=epoch.steps,
            loss=loss,
            images_per_second=epoch.images / elapsed,
            eta_seconds=elapsed / (steps - epoch.start.step) * left,
            held_out_accuracy=self.watch.last,
            best_held_out_accuracy=self.watch.best,
        )
        self.report(self.told)

    def _train_on(self, phase: Phase, chosen: EpochPlan, pairs: EpochPlan | None) -> Tensor:
        """Take one optimizer step and return the loss, still on the device."""
        step, method = self.step, self.method
        order = sent_to(chosen.order, step.compute.device)
        batch = Batch(
            images=self.feed.images(phase.images, chosen),
            columns=phase.images.columns[order],
            fresh=phase.images.fresh[order],
            ask_teacher=self._ask_teacher,
        )
        with step.compute.autocast():
            outputs = in_float32(method.forward(batch.images))
        loss = method.loss(step, batch, outputs)
        if pairs is not None:
            loss = loss + self._regularize(batch, outputs, self.feed.images(phase.images, pairs))
        phase.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if phase.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(trained(phase), phase.max_grad_norm)
        phase.optimizer.step()
        method.after_optimizer_step(step, phase)
        return loss.detach()

    def _regularize(self, batch: Batch, outputs: Activations, pairs: Tensor) -> Tensor:
        """Return the regularizer's loss of a batch and its pairs [B, 3, S, S].

        The pairs take a forward of their own in the same mode, so batch norm sees them separately.
        """
        assert self.regularizer is not None  # noqa: S101 - else there are no pairs
        step, method = self.step, self.method
        with torch.no_grad(), step.compute.autocast():
            others = in_float32(method.forward(pairs))
        own, pair = (method.view(step, of.logits, batch.columns) for of in (outputs, others))
        return self.regularizer.loss(own, pair)

    def _ask_teacher(self, images: Tensor) -> Activations:
        """Return the activations of the network before the step, differentiable by the images."""
        if self.teacher is None:
            raise RuntimeError(
                f"{self.method.name} asks for a teacher that its `needs` do not declare"
            )
        with torch.set_grad_enabled(images.requires_grad), self.step.compute.autocast():
            outputs: Activations = self.teacher(images)
        return in_float32(outputs)

    def _save_if_due(
        self, phase: Phase, position: Position, summed: Tensor, *, epoch_end: bool
    ) -> None:
        """Save the training state before the step at `position`, if it has changed and is due."""
        if self.save is None or not self.unsaved or not self.save_due(epoch_end):
            return
        loss = float(summed) if position.step else 0.0
        optimizer = optimizer_tensors(phase.optimizer)
        plateaus = {index: replace(seen) for index, seen in self.plateaus.items()}
        state = working_state.copied(self.method)
        self.save(Checkpoint(*position, loss, state, optimizer, plateaus, self.best))
        self.unsaved = False

    def _restore(
        self, phases: Sequence[Phase], per_epoch: Sequence[int], checkpoint: Checkpoint
    ) -> Position:
        """Restore method and optimiser from a checkpoint. Raises CheckpointMismatchError."""
        position = Position(checkpoint.phase, checkpoint.epoch, checkpoint.step)
        try:
            phase = phases[position.phase]
            if position.epoch > phase.epochs or position.step >= per_epoch[position.phase]:
                raise CheckpointMismatchError(f"{position} is beyond the end of training")
            working_state.load(self.method, checkpoint.parts, self.step.compute.device)
            load_optimizer_tensors(phase.optimizer, checkpoint.optimizer)
        except (LookupError, RuntimeError, ValueError) as error:  # what loading raises
            raise CheckpointMismatchError(f"the checkpoint does not fit: {error}") from error
        self.summed = checkpoint.loss
        self.plateaus = {index: replace(seen) for index, seen in checkpoint.plateaus.items()}
        self.best = checkpoint.best
        return position

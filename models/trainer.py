"""The one training loop: the training phases of a method, over batches on the device."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.augment.auto import auto_augment
from models.batches import Batch, EpochPlan, crop_and_flip, steps_per_epoch
from models.checkpoint import (
    Checkpoint,
    CheckpointMismatchError,
    load_optimizer_tensors,
    optimizer_tensors,
)
from models.compute import to_device
from models.errors import Cancelled, diverged
from models.methods.base import Method, Phase
from models.networks import Activations
from models.seeds import derive
from models.state import clone, load_into, on_device
from models.step import Step

# Reading the loss waits for the device, so it is read only this often.
REPORT_SECONDS = 0.2


@dataclass(frozen=True)
class Progress:
    """How far a learning step is. `phase` is a job phase: ``training``, ``evaluating`` and so on.

    `fraction` is the part of it that is done. `epoch` and `step`, an optimizer step of the epoch,
    count from 1; `loss` is the mean of the epoch so far.
    """

    phase: str
    fraction: float = 0.0
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    images_per_second: float | None = None
    eta_seconds: float | None = None


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
    ) -> None:
        """Take the method before its `begin`, when its network is still the teacher.

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
        self.unsaved = False
        self.summed = 0.0  # the loss over steps of the first epoch that a checkpoint contains
        self.teacher: nn.Module | None = None
        if method.needs.teacher and step.known:
            self.teacher = copy.deepcopy(method.network).eval().requires_grad_(False)
        regularizer = method.regularizer(step.spec)
        # At weight 0 even its forward is left out: batch norm would see the images.
        self.regularizer = regularizer if regularizer and regularizer.options.weight else None
        # Padding has the mean colour: black would hint at dark classes.
        mean: Tensor = method.preprocess.mean
        self.fill = (mean * 255).round().to(torch.uint8)
        self.reported = 0.0

    def run(self, resume: Checkpoint | None = None) -> int:
        """Run all training phases, or resume them from a checkpoint.

        Return the number of optimizer steps, those before the checkpoint included. Raises Cancelled
        when `should_stop` returns True, CheckpointMismatchError where the checkpoint does not fit.
        """
        self.method.begin(self.step)
        to_device(self.step.network, self.step.compute.device)
        phases = list(self.method.phases(self.step))
        per_epoch = [steps_per_epoch(len(phase.images), phase.batch_size) for phase in phases]
        work = [phase.epochs * steps for phase, steps in zip(phases, per_epoch, strict=True)]
        first = Position(0, 0, 0) if resume is None else self._restore(phases, per_epoch, resume)
        for index, phase in enumerate(phases[first.phase :], start=first.phase):
            done, total = sum(work[:index]), sum(work)
            with _gradients_of(phase, self.method.network):
                for epoch in range(first.epoch, phase.epochs):
                    start = Position(index, epoch, first.step)
                    self._epoch(phase, start, done + epoch * per_epoch[index], total)
                    first = Position(index, epoch + 1, 0)
            self.method.end_phase(self.step, phase)
            first = Position(index + 1, 0, 0)
        return sum(work)

    def _epoch(self, phase: Phase, start: Position, done: int, total: int) -> None:
        """Train an epoch from `start` on; `done` of `total` optimizer steps are of earlier ones."""
        step = self.step
        batches, pairs = self._batches(phase, start)
        self.method.network.train()
        for module in phase.frozen:
            module.eval()
        summed = torch.full((), self.summed, device=step.compute.device)
        self.summed = 0.0
        epoch = _Epoch(start, len(batches), done, total, summed, time.monotonic())
        for index, chosen in enumerate(batches[start.step :], start=start.step):
            position = start._replace(step=index)
            if self.should_stop():
                self._save_if_due(phase, position, summed, epoch_end=False)
                raise Cancelled
            _set_rates(phase, (start.epoch * epoch.steps + index) / (phase.epochs * epoch.steps))
            # Dropout draws from the global generator; its draws too depend on the position alone.
            torch.manual_seed(derive(step.seed, "step", *position))
            summed += self._train_on(phase, chosen, pairs[index] if pairs else None)
            self.unsaved = True
            epoch.images += len(chosen.order)
            last = index == epoch.steps - 1
            if last or time.monotonic() - self.reported >= REPORT_SECONDS:
                self._report(phase, epoch, index + 1)
            following = Position(start.phase, start.epoch + 1, 0)
            if not last:
                following = position._replace(step=index + 1)
            self._save_if_due(phase, following, summed, epoch_end=last)

    def _batches(self, phase: Phase, start: Position) -> tuple[list[EpochPlan], list[EpochPlan]]:
        """Return an epoch's batches and, for a regularizer, their pairs: images of like classes."""
        step, spec = self.step, self.step.spec
        draws = spec.crop, spec.augment.flip, step.seed, start.phase, start.epoch
        plan = self._completed(EpochPlan.draw(len(phase.images), *draws), phase, start, "epoch")
        batches = plan.to(step.compute.device).batches(phase.batch_size)
        if self.regularizer is None:
            return batches, []
        pairs = EpochPlan.draw_pairs(plan.order, phase.images.columns.cpu(), *draws)
        pairs = self._completed(pairs, phase, start, "pairs")
        return batches, pairs.to(step.compute.device).batches(phase.batch_size)

    def _completed(self, plan: EpochPlan, phase: Phase, start: Position, use: str) -> EpochPlan:
        """Return the plan with the draws that `memory.format` and `augment.policy` ask for."""
        spec, key = self.step.spec, (self.step.seed, start.phase, start.epoch)
        if phase.images.reencoded is not None:
            plan = plan.with_reencoded(len(phase.images), *key)
        if spec.augment.policy == "auto":
            plan = plan.with_policy(spec.image_size, *key, use)
        return plan

    def _report(self, phase: Phase, epoch: _Epoch, steps: int) -> None:
        """Report progress after `steps` of the epoch. Raises LearningError for an infinite loss."""
        self.reported = time.monotonic()
        elapsed = max(self.reported - epoch.started, 1e-9)
        loss = float(epoch.summed) / steps
        number = epoch.start.epoch + 1
        if not math.isfinite(loss):
            raise diverged(f"its loss is {loss} in epoch {number}")
        left = epoch.total - epoch.done - steps
        self.report(
            Progress(
                phase="training",
                fraction=(epoch.done + steps) / epoch.total,
                epoch=number,
                epochs=phase.epochs,
                step=steps,
                steps=epoch.steps,
                loss=loss,
                images_per_second=epoch.images / elapsed,
                eta_seconds=elapsed / (steps - epoch.start.step) * left,
            )
        )

    def _images(self, phase: Phase, chosen: EpochPlan) -> Tensor:
        """Return images of the training phase, augmented and normalised [B, 3, S, S]."""
        images = phase.images.pixels(chosen.order, chosen.reencoded)
        images = crop_and_flip(images, chosen, self.step.spec.crop, self.fill)
        if chosen.policy is not None:
            images = auto_augment(images, chosen.policy, self.fill)
        normalised: Tensor = self.method.preprocess(images)
        return normalised

    def _train_on(self, phase: Phase, chosen: EpochPlan, pairs: EpochPlan | None) -> Tensor:
        """Take one optimizer step and return the loss, still on the device."""
        step, method = self.step, self.method
        batch = Batch(
            images=self._images(phase, chosen),
            columns=phase.images.columns[chosen.order],
            fresh=phase.images.fresh[chosen.order],
            ask_teacher=self._ask_teacher,
        )
        with step.compute.autocast():
            outputs = _in_float32(method.forward(batch.images))
        loss = method.loss(step, batch, outputs)
        if pairs is not None:
            loss = loss + self._regularize(batch, outputs, self._images(phase, pairs))
        phase.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if phase.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(_trained(phase), phase.max_grad_norm)
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
            others = _in_float32(method.forward(pairs))
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
        return _in_float32(outputs)

    def _save_if_due(
        self, phase: Phase, position: Position, summed: Tensor, *, epoch_end: bool
    ) -> None:
        """Save the training state before the step at `position`, if it has changed and is due."""
        if self.save is None or not self.unsaved or not self.save_due(epoch_end):
            return
        loss = float(summed) if position.step else 0.0
        parts = {name: clone(part) for name, part in self.method.working_state().items()}
        self.save(Checkpoint(*position, loss, parts, optimizer_tensors(phase.optimizer)))
        self.unsaved = False

    def _restore(
        self, phases: Sequence[Phase], per_epoch: Sequence[int], checkpoint: Checkpoint
    ) -> Position:
        """Restore method and optimiser from a checkpoint. Raises CheckpointMismatchError."""
        position = Position(checkpoint.phase, checkpoint.epoch, checkpoint.step)
        network = self.method.network
        parts = on_device(checkpoint.parts, self.step.compute.device)
        try:
            phase = phases[position.phase]
            if position.epoch > phase.epochs or position.step >= per_epoch[position.phase]:
                raise CheckpointMismatchError(f"{position} is beyond the end of training")
            load_into(network.backbone, parts["backbone"])
            for task, block in network.head.blocks.items():
                load_into(block, parts[f"head.{task}"])
            self.method.load_working(parts)
            load_optimizer_tensors(phase.optimizer, checkpoint.optimizer)
        except (LookupError, RuntimeError, ValueError) as error:  # what loading raises
            raise CheckpointMismatchError(f"the checkpoint does not fit: {error}") from error
        self.summed = checkpoint.loss
        return position


def _trained(phase: Phase) -> list[nn.Parameter]:
    return [each for group in phase.optimizer.param_groups for each in group["params"]]


@contextmanager
def _gradients_of(phase: Phase, network: nn.Module) -> Iterator[None]:
    """Compute gradients only of the parameters that the training phase trains, to save time."""
    trained = {id(each) for each in _trained(phase)}
    spared = [p for p in network.parameters() if p.requires_grad and id(p) not in trained]
    for parameter in spared:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in spared:
            parameter.requires_grad_(True)


def _in_float32(outputs: Activations) -> Activations:
    """Return activations for losses, which are computed in float32.

    The feature map stays the tensor that the logits came from: attention differentiates by it.
    """
    return outputs._replace(features=outputs.features.float(), logits=outputs.logits.float())


def _set_rates(phase: Phase, fraction: float) -> None:
    """Set the learning rate from the fraction of the training phase that is done."""
    # Without the tolerance, rounding would move 7/10 of 70 epochs away from epoch 49.
    passed = sum(fraction >= milestone - 1e-9 for milestone in phase.milestones)
    for group in phase.optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * phase.lr_decay**passed

"""The one training loop: phases of a method over batches on the device."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.batches import Batch, EpochPlan, crop_and_flip, steps_per_epoch
from models.checkpoint import (
    Checkpoint,
    CheckpointMismatchError,
    load_optimizer_tensors,
    optimizer_tensors,
)
from models.errors import Cancelled, diverged
from models.methods.base import Method, Phase
from models.networks import Activations
from models.seeds import derive
from models.state import clone
from models.step import Step

# Reading the loss waits for the device, so it is not read at every step.
REPORT_SECONDS = 0.2


@dataclass(frozen=True)
class Progress:
    """How far a step is. `phase` is one of the job's phases.

    `fraction` is of the phase; `epoch` counts from 1; `loss` is the mean of the epoch so far.
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


class Place(NamedTuple):
    """A step of training: the next to take."""

    phase: int
    epoch: int
    step: int


def at_epoch_ends(epoch_end: bool) -> bool:
    """Have a checkpoint made after every epoch and at no other time."""
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
        """Take the method before its `begin`: its network is the teacher.

        `should_stop` is asked at every training step. `save` gets a checkpoint when `save_due` says
        so; that is asked after every step, with whether the epoch ends there, and before a stop.
        """
        self.method = method
        self.step = step
        self.report = report
        self.should_stop = should_stop
        self.save = save
        self.save_due = save_due
        self.unsaved = False
        self.summed = 0.0  # the loss of the first epoch's steps that a checkpoint has done
        self.teacher = _frozen_copy(method) if method.needs.teacher and step.known else None
        regularizer = method.regularizer(step.spec)
        # At weight 0 not even a forward is left of it, which batch norm would see.
        self.regularizer = regularizer if regularizer and regularizer.options.weight else None
        # The colour of padding: black would be the darkest class's hint.
        mean: Tensor = method.preprocess.mean
        self.fill = (mean * 255).round().to(torch.uint8)
        self.clock = time.monotonic
        self.reported = 0.0

    def run(self, resume: Checkpoint | None = None) -> int:
        """Train all phases, from a checkpoint on if there is one. Return the steps of the whole.

        Raises Cancelled when told to stop, CheckpointMismatchError where the checkpoint is another
        training's.
        """
        self.method.begin(self.step)
        self.step.compute.place(self.step.network)
        phases = list(self.method.phases(self.step))
        per_epoch = [steps_per_epoch(len(phase.images), phase.batch_size) for phase in phases]
        work = [phase.epochs * steps for phase, steps in zip(phases, per_epoch, strict=True)]
        first = Place(0, 0, 0) if resume is None else self._restore(phases, per_epoch, resume)
        for index, phase in enumerate(phases[first.phase :], start=first.phase):
            done, total = sum(work[:index]), sum(work)
            with _gradients_of(phase, self.method.network):
                for epoch in range(first.epoch, phase.epochs):
                    start = Place(index, epoch, first.step)
                    self._epoch(phase, start, done + epoch * per_epoch[index], total)
                    first = Place(index, epoch + 1, 0)
            self.method.end_phase(self.step, phase)
            first = Place(index + 1, 0, 0)
        return sum(work)

    def _epoch(self, phase: Phase, start: Place, done: int, total: int) -> None:
        """Train an epoch from a step on; `done` of `total` steps are those of epochs before it."""
        step, spec, epoch = self.step, self.step.spec, start.epoch
        plan = EpochPlan.draw(
            len(phase.images), spec.crop, spec.augment.flip, step.seed, start.phase, epoch
        )
        batches = plan.to(step.compute.device).batches(phase.batch_size)
        pairs = self._pairs(phase, plan, start.phase, epoch)
        self.method.network.train()
        for module in phase.frozen:
            module.eval()
        summed = torch.full((), self.summed, device=step.compute.device)
        self.summed = 0.0
        started, seen = self.clock(), 0
        for place, chosen in enumerate(batches[start.step :], start=start.step):
            if self.should_stop():
                self._save_if_due(phase, start._replace(step=place), summed, epoch_end=False)
                raise Cancelled
            fraction = (epoch * len(batches) + place) / (phase.epochs * len(batches))
            _set_rates(phase, fraction)
            # Dropout draws from the global generator; here too a step's draws are its own.
            torch.manual_seed(derive(step.seed, "step", start.phase, epoch, place))
            summed += self._train_on(phase, chosen, pairs[place] if pairs else None)
            self.unsaved = True
            seen += len(chosen.order)
            last = place == len(batches) - 1
            if last or self.clock() - self.reported >= REPORT_SECONDS:
                self.reported = self.clock()
                elapsed = max(self.reported - started, 1e-9)
                loss = float(summed) / (place + 1)
                if not math.isfinite(loss):
                    raise diverged(f"its loss is {loss} in epoch {epoch + 1}")
                self.report(
                    Progress(
                        phase="training",
                        fraction=(done + place + 1) / total,
                        epoch=epoch + 1,
                        epochs=phase.epochs,
                        step=place + 1,
                        steps=len(batches),
                        loss=loss,
                        images_per_second=seen / elapsed,
                        eta_seconds=elapsed / (place + 1 - start.step) * (total - done - place - 1),
                    )
                )
            following = Place(start.phase, epoch + 1, 0) if last else start._replace(step=place + 1)
            self._save_if_due(phase, following, summed, epoch_end=last)

    def _pairs(self, phase: Phase, plan: EpochPlan, index: int, epoch: int) -> list[EpochPlan]:
        """Return, batch by batch, another image of each one's class for the regularizer."""
        if self.regularizer is None:
            return []
        step, spec = self.step, self.step.spec
        columns = phase.images.columns.cpu()
        pairs = EpochPlan.draw_pairs(
            plan.order, columns, spec.crop, spec.augment.flip, step.seed, index, epoch
        )
        return pairs.to(step.compute.device).batches(phase.batch_size)

    def _images(self, phase: Phase, chosen: EpochPlan) -> Tensor:
        """Return images of the phase, augmented and normalised [B, 3, S, S]."""
        images = phase.images.images[chosen.order]
        images = crop_and_flip(images, chosen, self.step.spec.crop, self.fill)
        normalised: Tensor = self.method.preprocess(images)
        return normalised

    def _train_on(self, phase: Phase, chosen: EpochPlan, pairs: EpochPlan | None) -> Tensor:
        """Take one optimiser step and return the loss, still on the device."""
        step, method = self.step, self.method
        batch = Batch(
            images=self._images(phase, chosen),
            columns=phase.images.columns[chosen.order],
            fresh=phase.images.fresh[chosen.order],
            ask_teacher=self._ask_teacher,
        )
        with step.compute.autocast():
            outputs = _in_float32(method.forward(batch.images))
        loss = method.loss(step, batch, outputs).total
        if pairs is not None:
            loss = loss + self._regularize(batch, outputs, self._images(phase, pairs))
        phase.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        phase.optimizer.step()
        method.after_step(step, phase)
        return loss.detach()

    def _regularize(self, batch: Batch, outputs: Activations, pairs: Tensor) -> Tensor:
        """Return the regularizer's loss of a batch and its pairs [B, 3, S, S].

        The pairs pass apart from the batch and in the same mode, so batch norm sees them by
        themselves.
        """
        assert self.regularizer is not None  # noqa: S101 - only it asks for pairs
        step, method = self.step, self.method
        with torch.no_grad(), step.compute.autocast():
            others = _in_float32(method.forward(pairs))
        own, pair = (method.view(step, of.logits, batch.columns) for of in (outputs, others))
        return self.regularizer.loss(own, pair)

    def _ask_teacher(self, images: Tensor) -> Activations:
        """Ask the network before the step; its outputs have gradients where the images do."""
        if self.teacher is None:
            raise RuntimeError(f"{self.method.name} asked for a teacher that it has not declared")
        with torch.set_grad_enabled(images.requires_grad), self.step.compute.autocast():
            outputs: Activations = self.teacher(images)
        return _in_float32(outputs)

    def _save_if_due(self, phase: Phase, place: Place, summed: Tensor, *, epoch_end: bool) -> None:
        """Save training as it is before the step at `place`, if there is news and it is time."""
        if self.save is None or not self.unsaved or not self.save_due(epoch_end):
            return
        loss = float(summed) if place.step else 0.0
        parts = {name: clone(part) for name, part in self.method.working_state().items()}
        self.save(Checkpoint(*place, loss, parts, optimizer_tensors(phase.optimizer)))
        self.unsaved = False

    def _restore(
        self, phases: Sequence[Phase], per_epoch: Sequence[int], checkpoint: Checkpoint
    ) -> Place:
        """Bring method and optimiser to where the checkpoint is. Raises CheckpointMismatchError."""
        place = Place(checkpoint.phase, checkpoint.epoch, checkpoint.step)
        network, parts = self.method.network, checkpoint.parts
        try:
            phase = phases[place.phase]
            if place.epoch > phase.epochs or place.step >= per_epoch[place.phase]:
                raise CheckpointMismatchError(f"there is no {place}")
            network.backbone.load_state_dict(parts["backbone"])
            for task, block in network.head.blocks.items():
                block.load_state_dict(parts[f"head.{task}"])
            self.method.load_working(parts)
            load_optimizer_tensors(phase.optimizer, checkpoint.optimizer)
        except (LookupError, RuntimeError, ValueError) as error:  # what load_state_dict raises
            raise CheckpointMismatchError(f"the checkpoint does not fit: {error}") from error
        self.summed = checkpoint.loss
        return place


def _frozen_copy(method: Method[Any]) -> nn.Module:
    return copy.deepcopy(method.network).eval().requires_grad_(False)


@contextmanager
def _gradients_of(phase: Phase, network: nn.Module) -> Iterator[None]:
    """Take gradients only of what the phase trains: the rest would cost time for nothing."""
    trained = {id(each) for group in phase.optimizer.param_groups for each in group["params"]}
    spared = [p for p in network.parameters() if p.requires_grad and id(p) not in trained]
    for parameter in spared:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in spared:
            parameter.requires_grad_(True)


def _in_float32(outputs: Activations) -> Activations:
    """Losses are taken in float32, whatever the forward ran in.

    The feature map stays the tensor that the logits came from: attention differentiates by it.
    """
    return outputs._replace(features=outputs.features.float(), logits=outputs.logits.float())


def _set_rates(phase: Phase, fraction: float) -> None:
    """Set the learning rate as a function of how much of the phase is done."""
    # The tolerance keeps 7/10 of 70 epochs at 49 of them, whatever binary fractions say.
    passed = sum(fraction >= milestone - 1e-9 for milestone in phase.milestones)
    for group in phase.optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * phase.lr_decay**passed

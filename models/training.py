"""Training, and a second try at a lower rate where it has ended near chance."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from models import fit, version_warnings, working_state
from models.checkpoint import Checkpoint, FirstTry
from models.early_stopping import Plateaus
from models.errors import Cancelled, LearningError
from models.fit import Fit
from models.inference import Pause
from models.methods import Method
from models.options import SGDOptions
from models.progress import Progress
from models.step import Step
from models.trainer import Trainer

# The rates of a second try are this share of the first one's.
RATE = 0.1


@dataclass(frozen=True)
class SecondTry:
    """Two accuracies on the training's own images, of the first and the second try."""

    first: float
    second: float

    @property
    def kept(self) -> bool:
        """Whether the second try is the better one."""
        return self.second > self.first


@dataclass(frozen=True)
class Trained:
    """A method that has been trained, before its `end`, in `steps` optimizer steps.

    `fit` is None where it could not be measured, `plateaus` are of training phases that may stop
    early, `second` is set where there were two tries.
    """

    method: Method[Any]
    step: Step
    steps: int
    fit: Fit | None
    plateaus: dict[int, Plateaus]
    second: SecondTry | None = None

    def report(self) -> dict[str, Any]:
        """Return figures of the training for the version's metrics."""
        found: dict[str, Any] = {}
        if self.plateaus:
            found["epochs"] = [
                {"trained": seen.epochs, "best": seen.best_epoch, "held_out_accuracy": seen.best}
                for _, seen in sorted(self.plateaus.items())
            ]
        if self.second is not None:
            kept = "second" if self.second.kept else "first"
            found["tries"] = {
                "first": self.second.first,
                "second": self.second.second,
                "kept": kept,
            }
        return found

    def warnings(self, accuracy: float | None) -> list[str]:
        """Return what a client should know of the training; `accuracy` is over all classes."""
        options, second = self.method.options, self.second
        left_open = isinstance(options, SGDOptions) and options.epochs is None
        reached = None if second is None else second.second
        found = version_warnings.of_training(self.steps, self.fit, accuracy, reached)
        if second is not None and self.fit is not None:
            found += version_warnings.of_second_try(second.first, second.second, self.fit)
        chosen = [seen.best_epoch for _, seen in sorted(self.plateaus.items())]
        return found + version_warnings.of_epochs(chosen, left_open=left_open)


class Training:
    """Trains one learning step, again where it has to."""

    def __init__(
        self,
        start: Callable[[], tuple[Method[Any], Step]],
        *,
        report: Callable[[Progress], None],
        warn: Callable[[str], None],
        should_stop: Callable[[], bool],
        save: Callable[[Checkpoint], None] | None,
        save_due: Callable[[bool], bool],
    ) -> None:
        """Take `start`, which makes the method as it is before the learning step, and the step.

        `warn` is told at once that there will be a second try. The rest as in `Trainer`.
        """
        self._start = start
        self._report = report
        self._warn = warn
        self._should_stop = should_stop
        self._save = save
        self._save_due = save_due

    def run(self, resume: Checkpoint | None = None) -> Trained:
        """Train, or resume from a checkpoint of either try; return the better one."""
        if resume is not None and resume.first is not None:
            return self._second(resume.first, resume)
        trained = self._train(self._trainer(), resume)
        if not worth_another(trained):
            return trained
        assert trained.fit is not None  # noqa: S101 - else there is nothing to say that it failed
        self._warn(version_warnings.second_try(trained.fit))
        parts = working_state.copied(trained.method)
        first = FirstTry(trained.fit.accuracy, parts, trained.plateaus)
        del trained  # so that its memory is free
        return self._second(first)

    def _second(self, first: FirstTry, resume: Checkpoint | None = None) -> Trained:
        """Train at a lower rate from the same start; return that, or the first where it is better.

        The first has to be stored with each checkpoint: it may be what is kept.
        """

        def save(checkpoint: Checkpoint) -> None:
            if self._save is not None:
                self._save(replace(checkpoint, first=first))

        def report(progress: Progress) -> None:
            self._report(replace(progress, second_try=True))

        try:
            again = self._train(self._trainer(report, save, RATE), resume)
        except LearningError as error:
            if error.code != "training-diverged":
                raise
            reached = 0.0
        else:
            assert again.fit is not None  # noqa: S101 - the first try has the same images
            reached = again.fit.accuracy
            second = SecondTry(first.accuracy, reached)
            if second.kept:
                return replace(again, second=second)
            del again
        trainer = self._trainer()
        steps = trainer.restore_ended(first.parts, first.plateaus)
        kept = self._measured(trainer, steps)
        return replace(kept, second=SecondTry(first.accuracy, reached))

    def _trainer(
        self,
        report: Callable[[Progress], None] | None = None,
        save: Callable[[Checkpoint], None] | None = None,
        rate: float = 1.0,
    ) -> Trainer:
        method, step = self._start()
        return Trainer(
            method,
            step,
            report=report or self._report,
            should_stop=self._should_stop,
            save=save or self._save,
            save_due=self._save_due,
            rate=rate,
        )

    def _train(self, trainer: Trainer, resume: Checkpoint | None) -> Trained:
        return self._measured(trainer, trainer.run(resume))

    def _measured(self, trainer: Trainer, steps: int) -> Trained:
        method, step = trainer.method, trainer.step
        # Some methods train nothing.
        fitted = fit.measure(method, step, self._pause_of(trainer)) if steps else None
        return Trained(method, step, steps, fitted, trainer.plateaus)

    def _pause_of(self, trainer: Trainer) -> Pause:
        """Return a pause that stays in the job phase of training: there may be more of it."""

        def pause(done: float = 0.0) -> None:  # noqa: ARG001 - the job phase's, not its own
            if self._should_stop():
                raise Cancelled
            trainer.show_life()

        return pause


def worth_another(trained: Trained) -> bool:
    """Say whether a training that ended near chance is tried once more.

    It is not where it took few steps: too few of them are the likelier reason, and shorter ones
    would not help.
    """
    few = trained.steps < version_warnings.FEW_STEPS
    return trained.fit is not None and trained.fit.at_chance and not few

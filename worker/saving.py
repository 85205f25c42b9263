"""Checkpoints of a training process: stored often enough, and not more often than is worth it."""

import time

from app.logs import described
from app.services.jobs.checkpoints import SavedCheckpoint
from models.checkpoint import Checkpoint
from worker.attempt import Attempt
from worker.reporter import PART_SECONDS

# At the end of an epoch a checkpoint is due after this fraction of the usual time.
_EPOCH_END = 0.1
# Saving takes at most 1/50 of the training time.
_WORTH = 50.0


class Saver:
    """Decides when a checkpoint is due, stores it and reports it."""

    def __init__(self, attempt: Attempt, fingerprint: str) -> None:
        self._attempt = attempt
        self._fingerprint = fingerprint
        self._saved = time.monotonic()
        self._cost = 0.0

    def due(self, epoch_end: bool) -> bool:
        """Say whether a checkpoint is worth its time now: see `learn`."""
        if self._attempt.stop.saving:
            return True
        wanted = self._attempt.resources.checkpoint_seconds * (_EPOCH_END if epoch_end else 1.0)
        return time.monotonic() - self._saved >= max(wanted, _WORTH * self._cost)

    def save(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint. Where the storage takes none, training goes on without."""
        attempt, started = self._attempt, time.monotonic()
        attempt.reporter.quiet(PART_SECONDS)
        data = checkpoint.encode()
        try:
            sha256 = attempt.store.put(data)
        except OSError as error:
            attempt.reporter.warn([f"A checkpoint could not be stored: {described(error)}."])
        else:
            attempt.send(
                SavedCheckpoint(
                    sha256=sha256,
                    size=len(data),
                    fingerprint=self._fingerprint,
                    phase=checkpoint.phase,
                    epoch=checkpoint.epoch,
                    step=checkpoint.step,
                    device=attempt.resources.device,
                    threads=attempt.resources.threads,
                    progress=attempt.reporter.progress,
                )
            )
        self._saved = time.monotonic()
        self._cost = self._saved - started

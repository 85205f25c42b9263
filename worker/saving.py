"""Checkpoints of a training process: stored often enough, and not more often than is worth it."""

import threading
import time

from app.services.jobs.checkpoints import SavedCheckpoint
from app.storage import BlobStore
from models.checkpoint import Checkpoint
from worker.protocol import Resources, Send
from worker.reporter import PART_SECONDS, Reporter

# The end of an epoch is a good place: there one is made after a tenth of the time.
_EPOCH_END = 0.1
# Saving takes at most one part in so many of the time, however often it is asked for.
_WORTH = 50.0


class StopOrder:
    """The word to stop, which may ask for a checkpoint first."""

    def __init__(self) -> None:
        self._given = threading.Event()
        self.saving = False

    def give(self, *, saving: bool) -> None:
        """Have the step stop. Whoever sees that it was given sees whether to save as well."""
        self.saving |= saving
        self._given.set()

    def is_set(self) -> bool:
        """Say whether it was given."""
        return self._given.is_set()

    @property
    def cancels(self) -> bool:
        """Whether nobody wants the result, nor a checkpoint, any more."""
        return self._given.is_set() and not self.saving


class Saver:
    """Decides when a checkpoint is due, stores it and says so."""

    def __init__(
        self,
        store: BlobStore,
        resources: Resources,
        fingerprint: str,
        reporter: Reporter,
        send: Send,
        stop: StopOrder,
    ) -> None:
        self._store = store
        self._resources = resources
        self._fingerprint = fingerprint
        self._reporter = reporter
        self._send = send
        self._stop = stop
        self._saved = time.monotonic()
        self._cost = 0.0

    def due(self, epoch_end: bool) -> bool:
        """Say whether a checkpoint is worth its time now: see `learn`."""
        if self._stop.saving:
            return True
        wanted = self._resources.checkpoint_seconds * (_EPOCH_END if epoch_end else 1.0)
        return time.monotonic() - self._saved >= max(wanted, _WORTH * self._cost)

    def save(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint. Where the storage takes none, training goes on without."""
        started = time.monotonic()
        self._reporter.quiet(PART_SECONDS)
        data = checkpoint.encode()
        try:
            sha256 = self._store.put(data)
        except OSError as error:
            self._reporter.warn([f"A checkpoint could not be stored: {error}."])
        else:
            self._send(
                SavedCheckpoint(
                    sha256=sha256,
                    size=len(data),
                    fingerprint=self._fingerprint,
                    phase=checkpoint.phase,
                    epoch=checkpoint.epoch,
                    step=checkpoint.step,
                    device=self._resources.device,
                    threads=self._resources.threads,
                    progress=self._reporter.progress,
                )
            )
        self._saved = time.monotonic()
        self._cost = self._saved - started

"""Resuming: an attempt continues from an earlier checkpoint if it belongs to the same training.

Each attempt makes its own plan, so nothing is taken for granted: the checkpoint must have been
saved under the fingerprint of this training.
"""

import hashlib
import json

from app.services.jobs.checkpoints import SavedCheckpoint
from app.services.steps.plans import LearnPlan
from app.storage import BlobCorruptError, BlobMissingError
from models.checkpoint import Checkpoint
from models.spec import Spec
from worker.attempt import Attempt
from worker.protocol import Resources
from worker.reencoding import Reencoder
from worker.reporter import PART_SECONDS


def fingerprint(
    plan: LearnPlan, spec: Spec, pixel_rules: int, reencoder: Reencoder | None = None
) -> str:
    """Return a hash of all that training depends on, as hexadecimal SHA-256.

    That is the options, every default filled in, the base version's tensors, the images in their
    order, and the rules and the encoder by which they become pixels.
    """
    inputs = {
        "spec": spec.model_dump(mode="json"),
        "parts": plan.parts,
        "pixel_rules": pixel_rules,
        "encoder": None if reencoder is None else reencoder.encoder.model_dump(),
        "classes": [
            [planned.task, planned.exemplars, planned.held_out, planned.new_held_out]
            for planned in plan.classes
        ],
        "fresh": plan.fresh,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def read(attempt: Attempt, own: str) -> Checkpoint | None:
    """Return the checkpoint to resume from; None where there is none that can be used.

    `own` is this training's fingerprint. Why a checkpoint cannot be used is reported.
    """
    saved, reporter = attempt.checkpoint, attempt.reporter
    if saved is None:
        return None
    if saved.fingerprint != own:
        reporter.not_resumed("its options, images or base version are others")
        return None
    reporter.quiet(PART_SECONDS)
    try:
        checkpoint = Checkpoint.decode(attempt.store.get(saved.sha256))
    except BlobMissingError:
        reporter.not_resumed("its bytes are gone")
    except BlobCorruptError:
        reporter.not_resumed("its bytes are damaged")
    except (OSError, ValueError) as error:
        reporter.not_resumed(f"it cannot be read: {error}")
    else:
        reporter.resumed(saved, _caveat(saved, attempt.resources))
        return checkpoint
    return None


def _caveat(saved: SavedCheckpoint, resources: Resources) -> str:
    """Return what to know where the result may differ from that of an uninterrupted training."""
    there, here = ((each.device, each.threads) for each in (saved, resources))
    if there == here:
        return ""
    return (
        f" It was made on {there[0]} by {there[1]} threads, and this is {here[0]} with {here[1]}: "
        "the result may differ by rounding."
    )

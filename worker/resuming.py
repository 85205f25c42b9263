"""What an attempt goes on from: the checkpoint of an attempt before, where it is of this training.

The plan is made anew for each attempt, so nothing is taken for granted: a fingerprint of all that
training depends on must be the one that the checkpoint was saved under.
"""

import hashlib
import json

from app.services.jobs.checkpoints import SavedCheckpoint
from app.services.steps.plans import LearnPlan
from app.storage import BlobCorruptError, BlobMissingError, BlobStore
from models.checkpoint import Checkpoint
from models.spec import Spec
from worker.protocol import Resources
from worker.reporter import PART_SECONDS, Reporter


def fingerprint(plan: LearnPlan, spec: Spec) -> str:
    """Return what tells this training from others.

    That is the options, every default filled in, the base version's tensors, and the images in
    their order.
    """
    told = {
        "spec": spec.model_dump(mode="json"),
        "parts": plan.parts,
        "classes": [
            [planned.task, planned.exemplars, planned.held_out, planned.new_held_out]
            for planned in plan.classes
        ],
        "fresh": plan.fresh,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def read(
    saved: SavedCheckpoint, own: str, resources: Resources, store: BlobStore, reporter: Reporter
) -> Checkpoint | None:
    """Return the checkpoint that training goes on from; None, having said why, to start anew.

    `own` is this training's fingerprint.
    """
    if saved.fingerprint != own:
        reporter.not_resumed("it is of other options, images or another base version")
        return None
    reporter.quiet(PART_SECONDS)
    try:
        checkpoint = Checkpoint.decode(store.get(saved.sha256))
    except BlobMissingError:
        reporter.not_resumed("its bytes are gone")
    except BlobCorruptError:
        reporter.not_resumed("its bytes are damaged")
    except (OSError, ValueError) as error:
        reporter.not_resumed(f"it cannot be read: {error}")
    else:
        reporter.resumed(saved, _elsewhere(saved, resources))
        return checkpoint
    return None


def _elsewhere(saved: SavedCheckpoint, resources: Resources) -> str:
    """Say so where the result may not be the one that no interruption would have given."""
    there, here = ((each.device, each.threads) for each in (saved, resources))
    if there == here:
        return ""
    return (
        f" It was made on {there[0]} by {there[1]} threads, and this is {here[0]} with {here[1]}: "
        "the result may differ by rounding."
    )

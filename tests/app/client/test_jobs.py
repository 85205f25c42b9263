"""What the command line shows of a running job."""

from typing import Any

import pytest

from app.client.jobs import _doing

TRAINING = {"epoch": 3, "epochs": 7, "loss": 0.61, "eta_seconds": 41.0}
MEASURED = {"held_out_accuracy": 0.9, "best_held_out_accuracy": 0.92}


@pytest.mark.parametrize(
    ("progress", "shown"),
    [
        (TRAINING, "epoch 3/7 · loss 0.610 · 41 s left"),
        (
            TRAINING | MEASURED | {"second_try": None},
            "epoch 3/7 · loss 0.610 · held out 90%, best 92% · 41 s left",
        ),
        (TRAINING | {"second_try": True}, "second try, epoch 3/7 · loss 0.610 · 41 s left"),
    ],
)
def test_training(progress: dict[str, Any], shown: str) -> None:
    assert _doing({"state": "running", "phase": "training"}, progress) == shown

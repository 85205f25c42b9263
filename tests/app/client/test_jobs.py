"""What the command line shows of a running job."""

import io
from typing import Any, cast

import pytest
from rich.console import Console

from app.client.client import Client
from app.client.jobs import _doing, show_warnings

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


class Warned:
    """A client of a server whose jobs have two warnings."""

    def each(self, _path: str) -> list[dict[str, Any]]:
        messages = ("said before", "nothing is held out: 'lotus [wild]', '[/a]'")
        return [{"level": "warning", "message": said, "data": {}} for said in messages]


def test_warnings_name_labels_as_they_are() -> None:
    shown = io.StringIO()
    client = cast("Client", Warned())
    show_warnings(client, "job_1", Console(file=shown, width=100), said=["said before"])
    assert shown.getvalue() == "warning: nothing is held out: 'lotus [wild]', '[/a]'\n"

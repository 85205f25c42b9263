"""What is reported of progress: fractions of job phases become fractions of the job."""

from typing import Any

import pytest

from app.services.jobs.checkpoints import SavedCheckpoint
from models.progress import Progress
from worker.protocol import Quiet, Report
from worker.reporter import Reporter


@pytest.mark.parametrize(
    ("phase", "done", "fraction"),
    # Preparing is the first twentieth of a job. Extracting is nine tenths of it, up to measuring.
    [("extracting", 0.0, 0.05), ("extracting", 0.5, 0.5), ("extracting", 1.0, 0.95)],
)
def test_a_phase_is_a_part_of_the_job(phase: str, done: float, fraction: float) -> None:
    sent: list[Any] = []
    Reporter(sent.append).learning(Progress(phase, done))
    report, quiet = sent
    assert isinstance(report, Report)
    assert (report.phase, report.progress["fraction"]) == (phase, fraction)
    # Any batch may be the last one before a discriminant is solved, without a sign of life.
    assert quiet == Quiet(300.0)


def test_progress_never_runs_backwards_in_a_second_try() -> None:
    sent: list[Any] = []
    reporter = Reporter(sent.append)
    first = Progress("training", 1.0, 3, 3, 2, 2, 0.5, best_held_out_accuracy=0.75)
    reporter.learning(first)
    again = Progress("training", 0.5, 2, 3, 2, 2, 0.5, best_held_out_accuracy=0.5, second_try=True)
    reporter.learning(again)
    reporter.learning(Progress("selecting_exemplars"))
    fractions = [report.progress["fraction"] for report in sent]
    assert fractions == [0.9, 0.925, 0.925]
    assert [report.progress["second_try"] for report in sent] == [None, True, True]
    assert {report.progress["best_held_out_accuracy"] for report in sent} == {0.75}
    assert [event.message for report in sent for event in report.events] == [
        "Epoch 3 of 3: loss 0.5000.",
        "Second try, epoch 2 of 3: loss 0.5000.",
    ]


def test_a_resumed_second_try_says_so() -> None:
    sent: list[Any] = []
    progress = {"fraction": 0.92, "epoch": 3, "second_try": True}
    Reporter(sent.append).resumed(
        SavedCheckpoint("0" * 64, 1, "f", 0, 3, 0, "cpu", 1, progress), ""
    )
    (event,) = sent[0].events
    assert event.message == "Resumed after epoch 3 of the second try."


def test_progress_of_an_older_checkpoint_is_gone_on_from() -> None:
    sent: list[Any] = []
    reporter = Reporter(sent.append)
    saved = SavedCheckpoint("0" * 64, 1, "f", 0, 3, 0, "cpu", 1, {"fraction": 0.5, "epoch": 3})
    reporter.resumed(saved, "")
    reporter.learning(Progress("training", 0.1, 4, 9, 1, 2, 0.5, best_held_out_accuracy=0.5))
    assert sent[-1].progress["fraction"] == 0.5
    assert sent[-1].progress["best_held_out_accuracy"] == 0.5

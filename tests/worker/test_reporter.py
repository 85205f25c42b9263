"""What is reported of progress: fractions of job phases become fractions of the job."""

from typing import Any

import pytest

from models.progress import Progress
from worker.protocol import Report
from worker.reporter import Reporter


@pytest.mark.parametrize(
    ("phase", "done", "fraction"),
    # Preparing is the first twentieth of a job. Extracting is nine tenths of it, up to measuring.
    [("extracting", 0.0, 0.05), ("extracting", 0.5, 0.5), ("extracting", 1.0, 0.95)],
)
def test_a_phase_is_a_part_of_the_job(phase: str, done: float, fraction: float) -> None:
    sent: list[Any] = []
    Reporter(sent.append).learning(Progress(phase, done))
    (report,) = sent
    assert isinstance(report, Report)
    assert (report.phase, report.progress["fraction"]) == (phase, fraction)

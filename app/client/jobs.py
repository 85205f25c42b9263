"""Follows a job until it has finished, and shows its progress."""

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from app.client.client import Client
from app.client.errors import CommandError

FINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})
# Between two answers: short enough for a smooth progress bar, and cheap for the server.
_PAUSE_SECONDS = 0.2
# How long the server may wait for a change before it answers.
_WAIT_SECONDS = 20.0


def poll(client: Client, job_id: str) -> Iterator[dict[str, Any]]:
    """Yield the job at each change, until it has finished."""
    path, tag, wait = f"/v1/jobs/{job_id}", None, 0.0
    while True:
        job, tag = client.run(client.api.watch(path, tag, wait))
        if job is not None:
            yield job
            if job["state"] in FINAL_STATES:
                return
        time.sleep(_PAUSE_SECONDS)
        wait = _WAIT_SECONDS


def follow(client: Client, job: Mapping[str, Any], console: Console) -> dict[str, Any]:
    """Show a job until it has finished, and return it. Raises CommandError unless it succeeded."""
    try:
        with JobProgress(console) as progress:
            row = progress.add(job["classifier"] or job["kind"])
            for latest in poll(client, job["id"]):
                progress.show(row, latest)
    except KeyboardInterrupt:
        console.print(f"The job continues on the server: {client.url}/v1/jobs/{job['id']}")
        raise
    return require_success(latest)


def require_success(job: dict[str, Any]) -> dict[str, Any]:
    """Return a finished job. Raises CommandError with the reason unless it succeeded."""
    if job["state"] == "succeeded":
        return job
    error = job["error"]
    reason = f": {error['detail']} ({error['code']})" if error else "."
    ended = "was cancelled" if job["state"] == "cancelled" else "failed"
    raise CommandError(f"The job {job['id']} {ended}{reason}")


def warnings(client: Client, job_id: str) -> list[str]:
    """Return the messages of the job's warnings, but those that the answer to the upload gave."""
    events = client.each(f"/v1/jobs/{job_id}/events")
    return [
        event["message"]
        for event in events
        if event["level"] == "warning" and "rejected_reasons" not in event["data"]
    ]


def show_warnings(
    client: Client, job_id: str, console: Console, said: Collection[str] = ()
) -> None:
    """Print the job's warnings, but those that were `said`. They name labels and files as sent."""
    for message in warnings(client, job_id):
        if message not in said:
            console.print(f"[yellow]warning:[/] {escape(message)}")


class JobProgress(Progress):
    """Progress bars, one a row; `show` updates a row from a job."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("[cyan]{task.fields[doing]}"),
            console=console,
        )

    def add(self, description: str, steps: int = 1) -> TaskID:
        """Add a row for `steps` consecutive jobs."""
        return self.add_task(description, total=steps, doing="")

    def show(self, row: TaskID, job: dict[str, Any], *, step: int = 0) -> None:
        """Show the row's job number `step`, counted from 0."""
        progress = job["progress"] or {}
        done = 1.0 if job["state"] == "succeeded" else progress.get("fraction") or 0.0
        self.update(row, completed=step + done, doing=_doing(job, progress))


def _doing(job: dict[str, Any], progress: dict[str, Any]) -> str:
    """Return the state or phase of a job; in training, the epoch and how it goes."""
    if job["state"] == "queued" and job.get("not_before"):
        return f"to be tried again: {job['last_failure']['detail']}"
    if job["state"] != "running":
        return str(job["state"])
    if job["phase"] != "training" or not progress.get("epoch"):
        return (job["phase"] or "").replace("_", " ")
    again = "second try, " if progress.get("second_try") else ""
    parts = [f"{again}epoch {progress['epoch']}/{progress['epochs']}"]
    if progress.get("loss") is not None:
        parts.append(f"loss {progress['loss']:.3f}")
    if progress.get("held_out_accuracy") is not None:
        last, best = progress["held_out_accuracy"], progress["best_held_out_accuracy"]
        parts.append(f"held out {last:.0%}, best {best:.0%}")
    if progress.get("eta_seconds") is not None:
        parts.append(f"{progress['eta_seconds']:.0f} s left")
    return " · ".join(parts)

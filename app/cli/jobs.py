"""`accrue jobs`, `watch`, `cancel` and `retry`."""

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from app.cli.options import DEFAULT_URL, KeyFile, Url, connect
from app.cli.output import Json, print_json, print_table
from app.client.jobs import follow, show_warnings
from app.client.text import utc

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.", show_default=False)]


def jobs(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only jobs of this classifier.")
    ] = None,
    *,
    state: Annotated[
        str | None,
        typer.Option(
            help="Only jobs that are queued, running, succeeded, failed or cancelled; several with "
            "commas."
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="Only jobs that learn, forget, correct, evaluate or advise."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    json: Json = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """List jobs, newest first."""
    with connect(url, key_file) as client:
        asked = {"classifier": name, "state": state, "kind": kind, "limit": limit}
        found = client.get("/v1/jobs", **asked)["data"]
    if json:
        print_json(found)
    else:
        print_table([_row(job) for job in found], "There is no such job.")


def watch(
    job_id: JobId, *, json: Json = False, url: Url = DEFAULT_URL, key_file: KeyFile = None
) -> None:
    """Follow a job until it has ended. Exit status 1 unless it succeeded."""
    console = Console(highlight=False, stderr=json)
    with connect(url, key_file) as client:
        job = follow(client, client.get(f"/v1/jobs/{job_id}"), console)
        show_warnings(client, job_id, console)
    if json:
        print_json(job)
    elif job["version"] is not None:
        console.print(f"{job['classifier']} has version {job['version']} of it.", markup=False)


def cancel(job_id: JobId, *, url: Url = DEFAULT_URL, key_file: KeyFile = None) -> None:
    """Cancel a job that waits or runs."""
    with connect(url, key_file) as client:
        job = client.post(f"/v1/jobs/{job_id}/cancel", None)
    said = "is cancelled" if job["state"] == "cancelled" else "is asked to stop"
    print(f"{job_id} {said}.")


def retry(job_id: JobId, *, url: Url = DEFAULT_URL, key_file: KeyFile = None) -> None:
    """Queue a job again that failed or was cancelled."""
    with connect(url, key_file) as client:
        client.post(f"/v1/jobs/{job_id}/retry", None)
    print(f"{job_id} is queued again. To follow it: accrue watch {job_id}")


def _row(job: dict[str, Any]) -> dict[str, Any]:
    error = job["error"]
    progress = job["progress"] or {}
    running = f" {progress.get('fraction') or 0:.0%}" if job["state"] == "running" else ""
    return {
        "job": job["id"],
        "classifier": job["classifier"],
        "kind": job["kind"],
        "state": job["state"] + running + (f" ({error['code']})" if error else ""),
        "version": job["version"],
        "created (UTC)": utc(datetime.fromisoformat(job["created_at"])),
    }

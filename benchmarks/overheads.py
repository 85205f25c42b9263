"""What the service costs around the learning itself, measured on the real processes.

    python -m benchmarks.overheads

Prints a table and writes benchmarks/results/overheads.json. Run it on an idle machine.
"""

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from app.client.client import Client, ClientError
from app.client.folder import find_images
from app.client.jobs import FINAL_STATES, require_success
from app.client.uploads import send_images
from app.demo.digits import IMAGE_SIZE, write_digits
from app.demo.server import running_service

RESULTS = Path(__file__).parent / "results" / "overheads.json"
STARTS = 5
JOBS = 10
CLASSIFIER = "overheads"

# Seconds that each may take on an idle machine.
GOALS = {
    "start": 5.0,
    "accepted": 0.1,
    "first_step": 1.0,
    "fixed_cost": 2.0,
    "live": 1.0,
}
MEANING = {
    "start": "`accrue up` until it answers",
    "accepted": "job request until its 202",
    "first_step": "202 until the first training step",
    "fixed_cost": "202 until success, less training, herding and evaluation",
    "live": "publication until /predict answers with the version",
}


def main() -> None:
    """Measure, print and write."""
    seconds: dict[str, list[float]] = {name: [] for name in GOALS}
    with tempfile.TemporaryDirectory() as folder:
        digits = Path(folder) / "digits"
        write_digits(digits)
        data_dir = Path(folder) / "data"
        for _ in range(STARTS):
            started = time.monotonic()
            with running_service(data_dir):
                seconds["start"].append(time.monotonic() - started)
        with running_service(data_dir) as url, Client(url) as client:
            image = next((digits / "test" / "0").iterdir()).read_bytes()
            prepare(client)
            upload = send(client, digits)
            learn(client, upload, image)  # the worker is warm from here on
            for _ in range(JOBS):
                for name, value in learn(client, upload, image).items():
                    seconds[name].append(value)
    report(seconds)


def prepare(client: Client) -> None:
    """Make a classifier whose learning steps are short."""
    client.post(
        "/v1/classifiers",
        {
            "name": CLASSIFIER,
            "method": "icarl",
            "backbone": "convnet",
            "image_size": IMAGE_SIZE,
            "memory": {"exemplars": 100},
            "augment": {"flip": False},
            "options": {"epochs": 5},
        },
    )


def send(client: Client, digits: Path) -> str:
    """Upload two classes and return the id of the upload."""
    images = [m for m in find_images(digits) if m.name.split("/")[1] in {"0", "1"}]
    return send_images(client, images).id


def learn(client: Client, upload: str, image: bytes) -> dict[str, float]:
    """Run one job on the upload and return the seconds each part of it took."""
    path = f"/v1/classifiers/{CLASSIFIER}"
    body = {"kind": "learn", "uploads": [upload], "on_existing": "extend"}
    asked = time.monotonic()
    job = client.post(f"{path}/jobs", body)
    accepted = time.monotonic() - asked
    accepted_at = datetime.now(UTC)
    number = wait(client, job["id"])
    predicted_at = first_answer(client, f"{path}/predict", image, number)
    at = {
        event["data"]["phase"]: datetime.fromisoformat(event["at"])
        for event in client.each(f"/v1/jobs/{job['id']}/events")
        if event["type"] == "phase"
    }
    finished_at = datetime.fromisoformat(client.get(f"/v1/jobs/{job['id']}")["finished_at"])
    learning = at["publishing"] - at["training"]
    return {
        "accepted": accepted,
        "first_step": (at["training"] - accepted_at).total_seconds(),
        "fixed_cost": (finished_at - accepted_at - learning).total_seconds(),
        "live": (predicted_at - finished_at).total_seconds(),
    }


def wait(client: Client, job_id: str) -> int:
    """Poll a job until it has finished, and return the number of its version."""
    while (job := client.get(f"/v1/jobs/{job_id}"))["state"] not in FINAL_STATES:
        time.sleep(0.02)
    number: int = require_success(job)["version"]
    return number


def first_answer(client: Client, path: str, image: bytes, version: int) -> datetime:
    """Return the time at which the version first answered as `live`."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            answer = client.post_bytes(path, image, {"Content-Type": "image/png"})
        except ClientError as error:
            if error.code != "no-version-yet":
                raise
        else:
            if answer["version"] == version:
                return datetime.now(UTC)
        time.sleep(0.005)
    raise SystemExit(f"version {version} never went live")


def report(seconds: dict[str, list[float]]) -> None:
    """Print medians and extremes beside the goals, and write them to a file."""
    table = Table("what", "median", "min", "max", "goal", "runs", title="seconds")
    summary: dict[str, dict[str, Any]] = {}
    for name, values in seconds.items():
        figures: dict[str, Callable[[list[float]], float]] = {
            "median": statistics.median,
            "min": min,
            "max": max,
        }
        row = {figure: round(of(values), 4) for figure, of in figures.items()}
        summary[name] = {"what": MEANING[name], **row, "goal": GOALS[name], "runs": len(values)}
        table.add_row(
            MEANING[name], *(f"{row[f]:.3f}" for f in figures), str(GOALS[name]), str(len(values))
        )
    Console().print(table)
    machine = {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine, "seconds": summary}, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""A service that speaks with a Label Studio, and requires keys."""

import subprocess
from pathlib import Path

from tests.e2e.harness import ACCRUE, Service
from tests.label_studio.server import LabelStudio


def connected(folder: Path, label_studio: LabelStudio) -> Service:
    """Start a service whose client has a key that predicts and trains."""
    data = folder / "accrue"
    subprocess.run([*ACCRUE, "migrate", "--data-dir", data], check=True)
    create = [*ACCRUE, "keys", "create", "ls", "--scope", "train", "--scope", "predict"]
    made = subprocess.run(
        [*create, "--data-dir", str(data)], check=True, capture_output=True, text=True
    )
    service = Service(
        data,
        ACCRUE_KEYS="required",
        ACCRUE_LABEL_STUDIO_URL=label_studio.url,
        ACCRUE_LABEL_STUDIO_TOKEN=label_studio.token,
    )
    service.http.headers["Authorization"] = f"Bearer {made.stdout.split()[-1]}"
    return service


def key_of(service: Service) -> str:
    """Return the key of a service's client."""
    return service.http.headers["Authorization"].removeprefix("Bearer ")

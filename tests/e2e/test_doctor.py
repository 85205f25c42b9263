"""`accrue doctor` beside a service that runs."""

import json
import os
import subprocess
from importlib.metadata import version

import pytest

from tests.e2e.harness import ACCRUE, Service, wait_for


@pytest.mark.slow
def test_a_service_that_is_well(either_service: Service) -> None:
    service = either_service
    # Some moments after the start, the worker registers and the storage gets its owner.
    wait_for(lambda: "accrue_workers{" in service.http.get("/metrics").text)
    wait_for((service.data_dir / "blobs" / "documents" / "installation.json").exists)
    command = [*ACCRUE, "doctor", "--data-dir", str(service.data_dir), "--url", service.url]
    done = subprocess.run(
        [*command, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | service.settings,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = {finding["what"] for finding in json.loads(done.stdout)["findings"]}
    assert f"Accrue {version('accrue')} answers at {service.url}" in said
    assert "It is ready: its database, storage and queue answer" in said
    assert "It belongs to this database" in said
    assert "Alive: 1 for default on cpu" in said
    assert list((service.data_dir / "blobs" / "incoming").iterdir()) == []

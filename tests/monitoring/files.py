"""What is in deploy/monitoring, read."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RULES = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((MONITORING / "grafana" / "dashboards" / "accrue.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Where each expression is, and the expression as Grafana would send it."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def configuration(folder: Path, **scrape: Any) -> Path:
    """Our configuration of Prometheus in a folder, with a key that is there."""
    (folder / "key").write_text("acr_none")
    shutil.copy(MONITORING / "alerts.yml", folder)
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["authorization"]["credentials_file"].startswith("/")
    job["authorization"]["credentials_file"] = str(folder / "key")
    if scrape:
        del job["dns_sd_configs"]
        job.update(scrape)
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path

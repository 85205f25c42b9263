"""Alerts and dashboard ask for metrics that there are, in a way that Prometheus understands."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from app.main import create_app
from app.settings import Settings
from tests.docs.blocks import snippets
from tests.docs.pages import literals, rows, section
from tests.monitoring.files import (
    DASHBOARD,
    MONITORING,
    PANELS,
    ROOT,
    RULES,
    configuration,
    expressions,
)

_NAME = re.compile(r"\b(?:accrue|process)_[a-z_]+\b")


@pytest.fixture
def exposed(settings: Settings) -> set[str]:
    """The names of all series that a service can have."""
    with TestClient(create_app(settings)) as api:
        api.get("/health/live")
        families = list(text_string_to_metric_families(api.get("/metrics").text))
    assert len(families) > 30
    names = set()
    for family in families:
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        names |= {family.name + suffix for suffix in suffixes.get(family.type, [""])}
    return names


def test_a_prometheus_of_ones_own_is_configured_as_ours_is() -> None:
    (shown,) = snippets("docs/monitoring.md", "yaml")
    (job,) = yaml.safe_load(shown)["scrape_configs"]
    (ours,) = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    assert job["job_name"] == ours["job_name"]  # alerts and dashboard go by it
    assert job["authorization"].keys() == ours["authorization"].keys()
    assert job.keys() - ours.keys() == {"static_configs"}
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8000"]}]


sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@sqlite_only
def test_every_metric_asked_for_is_there(exposed: set[str]) -> None:
    asked = {name: where for where, expr in expressions() for name in _NAME.findall(expr)}
    assert {name: where for name, where in asked.items() if name not in exposed} == {}


@sqlite_only
def test_the_documentation_names_the_metrics_that_there_are(exposed: set[str]) -> None:
    text = section("monitoring.md", "## Which metrics are there?")
    documented = {name for cell, *_ in rows(text, "name") for name in literals(cell)}
    documented = {name for name in documented if name.startswith("accrue")}
    own = {name for name in exposed if name.startswith("accrue")}
    whole = {re.sub(r"(_seconds|_images)_(bucket|sum|count)$", r"\1", name) for name in own}
    assert documented == whole


def test_every_alert_says_what_to_do_and_is_tried() -> None:
    tried = yaml.safe_load((ROOT / "tests" / "monitoring" / "alerts_test.yml").read_text())["tests"]
    quiet = {case["alertname"] for case in tried[0]["alert_rule_test"]}
    fired = set(re.findall(r'alertname="(\w+)"', json.dumps(tried[1:]).replace("\\", "")))
    names = {rule["alert"] for rule in RULES}
    assert names == quiet == fired
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_panels_have_their_places() -> None:
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    for panel in PANELS:
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"


def test_the_data_source_is_of_the_kind_that_the_dashboard_asks() -> None:
    folder = MONITORING / "grafana" / "provisioning" / "datasources"
    (source,) = yaml.safe_load((folder / "prometheus.yml").read_text())["datasources"]
    assert source["type"] == DASHBOARD["templating"]["list"][0]["query"]


@pytest.fixture
def promtool() -> Callable[..., None]:
    """A function that has promtool look at something, which must be right."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")

    def run(*arguments: str | Path) -> None:
        done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def test_prometheus_takes_configuration_and_rules(
    promtool: Callable[..., None], tmp_path: Path
) -> None:
    promtool("check", "config", configuration(tmp_path))


def test_alerts_fire_when_they_should(promtool: Callable[..., None], tmp_path: Path) -> None:
    configuration(tmp_path)
    cases = shutil.copy(ROOT / "tests" / "monitoring" / "alerts_test.yml", tmp_path)
    promtool("test", "rules", cases)


def test_compose_mounts_what_is_there_where_it_is_looked_for() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    mounted = {}
    for name in ("prometheus", "grafana"):
        assert services[name]["profiles"] == ["monitoring"]
        assert re.search(r":v?\d+\.\d+\.\d+$", services[name]["image"]), "a tag that never moves"
        for volume in services[name]["volumes"]:
            source, target, *_ = volume.split(":")
            if source.startswith("."):
                assert (ROOT / source).exists(), source
                mounted[target] = source
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    (rules,) = config["rule_files"]
    assert f"/etc/prometheus/{rules}" in mounted
    (job,) = config["scrape_configs"]
    key = job["authorization"]["credentials_file"]
    made = services["metrics-key"]["command"][0]
    assert f"--output {key}" in made
    assert f"{Path(key).parent}:ro" in ":".join(services["prometheus"]["volumes"])
    provisioning = MONITORING / "grafana" / "provisioning" / "dashboards" / "accrue.yml"
    (provider,) = yaml.safe_load(provisioning.read_text())["providers"]
    assert provider["options"]["path"] in mounted
    assert job["dns_sd_configs"][0]["names"] == ["api"]
    assert "api" in services

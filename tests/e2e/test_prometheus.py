"""Every expression of alerts and dashboard, on a real Prometheus over a real service."""

import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.harness import Digits, Service, wait_for
from tests.monitoring.files import RULES, configuration, expressions


class Prometheus:
    """A real Prometheus with one target."""

    def __init__(self, folder: Path, target: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = configuration(
            folder,
            static_configs=[{"targets": [target]}],
            scrape_interval="1s",
            scrape_timeout="1s",
        )
        self._log = (folder / "prometheus.log").open("w")
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30)

    def get(self, path: str, **query: str) -> Any:
        """Its answer; None if it does not answer."""
        try:
            answer = self._http.get(path, params=query)
        except httpx.TransportError:
            return None
        assert answer.status_code in (200, 503), answer.text
        return answer.json()["data"] if answer.status_code == 200 else None

    def value(self, expr: str) -> list[Any]:
        found = self.get("/query", query=expr)
        return [] if found is None else found["result"]

    def stop(self) -> None:
        self._http.close()
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


# Expressions without data in a healthy service that has just started.
_EMPTY = {"Alerts", "Problems"} | {rule["alert"] for rule in RULES}


@pytest.mark.slow
def test_every_expression_on_a_real_prometheus(
    start: Callable[..., Service], digits: Digits, tmp_path: Path
) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    service = start()
    service.create("digits")
    prometheus = Prometheus(tmp_path, service.url.removeprefix("http://"))
    try:
        service.learn("digits", digits.zip([0, 1]))
        rate = 'rate(accrue_predict_images_total{outcome="predicted"}[1m]) > 0'

        def seen() -> list[Any]:
            service.predict("digits", digits.held_out(0))
            return prometheus.value(rate)

        wait_for(seen)
        without = {where for where, expr in expressions() if not prometheus.value(expr)}
        assert without <= _EMPTY
        rules = wait_for(lambda: prometheus.get("/rules"))["groups"][0]["rules"]
        wait_for(
            lambda: all(
                rule["health"] == "ok" for rule in prometheus.get("/rules")["groups"][0]["rules"]
            )
        )
        assert {rule["name"] for rule in rules} == {rule["alert"] for rule in RULES}
        assert (
            prometheus.value('max(accrue_jobs{kind="learn", state="succeeded"})')[0]["value"][1]
            == "1"
        )
    finally:
        prometheus.stop()

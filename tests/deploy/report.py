"""A Markdown table of what was done, how long it took, and what was found."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.docker import compose_command, docker, run


@dataclass
class ReportRow:
    what: str
    seconds: float = 0.0
    found: str = ""


@dataclass
class DeployReport:
    steps: list[ReportRow] = field(default_factory=list)

    @contextmanager
    def step(self, what: str) -> Iterator[ReportRow]:
        """Time what happens inside; the caller may say what it found. Failures leave no row."""
        step = ReportRow(what)
        started = time.monotonic()
        yield step
        step.seconds = time.monotonic() - started
        self.steps.append(step)

    def write(self, path: Path) -> None:
        rows = [f"| {s.what} | {s.seconds:.1f} | {s.found} |" for s in self.steps]
        total = sum(step.seconds for step in self.steps)
        path.write_text(
            "\n".join(
                [
                    f"{_engine()}, {os.cpu_count()} cores. {total:.0f} s in all.",
                    "",
                    "| step | seconds | found |",
                    "|---|---|---|",
                    *rows,
                    "",
                ]
            )
        )


def _engine() -> str:
    engine = docker("version", "--format", "{{.Server.Version}}").stdout.strip()
    command = compose_command()
    assert command is not None
    compose = run([*command, "version", "--short"]).stdout.strip()
    return f"Docker Engine {engine}, Compose {compose}"

"""Runs all checks, causes before their effects."""

from collections.abc import Iterator

from app.doctor import (
    broker,
    content,
    database,
    environment,
    folders,
    jobs,
    machine,
    service,
    software,
    storage,
)
from app.doctor.findings import Check, CheckContext, Finding, Say
from app.logs import described

_CHECKS: tuple[Check, ...] = (
    software.check,
    environment.check,
    machine.check_device,
    machine.check_threads,
    machine.check_memory,
    machine.check_files,
    folders.check_data,
    folders.check_weights,
    database.check,
    storage.check,
    content.check,
    broker.check,
    service.check_keys,
    service.check,
    jobs.check,
)


def examine(context: CheckContext) -> Iterator[Finding]:
    """Yield the findings of every check. An error in a check is a finding too."""
    for check in _CHECKS:
        try:
            yield from check(context)
        except Exception as error:
            name = check.__module__.rpartition(".")[2]
            yield Say(name).problem(
                f"The check itself failed: {described(error)}",
                "This is a bug in Accrue. Please report it with this line.",
            )

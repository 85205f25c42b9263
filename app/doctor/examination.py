"""All checks, in an order in which a cause comes before what it causes."""

from collections.abc import Iterator

from app.doctor import (
    broker,
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

_CHECKS: tuple[Check, ...] = (
    software.check,
    environment.check,
    machine.check_device,
    machine.check_threads,
    machine.check_files,
    folders.check_data,
    folders.check_weights,
    database.check,
    storage.check,
    broker.check,
    service.check_keys,
    service.check,
    jobs.check,
)


def examine(context: CheckContext) -> Iterator[Finding]:
    """Yield what every check says; one that fails itself does not keep others from looking."""
    for check in _CHECKS:
        try:
            yield from check(context)
        except Exception as error:
            name = check.__module__.rpartition(".")[2]
            yield Say(name).problem(
                f"The check itself failed: {type(error).__name__}: {error}",
                "That is a mistake in Accrue. Please report it with this line.",
            )

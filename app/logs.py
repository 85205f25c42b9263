"""Logging of a process: one line of logfmt for each event on standard error."""

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import orjson
import structlog
from structlog.types import EventDict, Processor


def configure(level: str) -> None:
    """Write our events at `level` or above, and libraries' warnings, to standard error."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    before: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    after: list[Processor] = [
        # Plain tracebacks: richer ones print local variables, and so the bodies of requests.
        structlog.processors.format_exc_info,
        _plain_values,
        structlog.processors.LogfmtRenderer(
            key_order=["timestamp", "level", "event"], drop_missing=True, bool_as_flag=False
        ),
    ]
    libraries = logging.StreamHandler(sys.stderr)
    # Of the handler too: libraries set levels of their own.
    libraries.setLevel(max(threshold, logging.WARNING))
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *after],
        )
    )
    logging.captureWarnings(True)
    logging.basicConfig(level=libraries.level, handlers=[libraries])
    structlog.configure(
        processors=[*before, *after],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def described(error: BaseException) -> str:
    """Return the kind of an error and its message, in one line.

    Of an error of SQLAlchemy only the database's own message: its text has the values of the
    statement, which may be secret.
    """
    cause = getattr(error, "orig", None) or error
    # As in "[Errno 111] Connection refused", where a library passes on what the system said.
    message = re.sub(r"^\[Errno -?\d+\] ", "", str(cause))
    if isinstance(cause, OSError) and cause.strerror:
        message = f"{cause.strerror}: {cause.filename}" if cause.filename else cause.strerror
    elif isinstance(cause, KeyError) and cause.args:
        message = str(cause.args[0])
    return f"{type(cause).__name__}: {' '.join(message.split())}".removesuffix(": ")


def _plain_values(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Write values as people and log tools read them, not as Python does."""
    return {name: _plain(value) for name, value in event.items()}


def _plain(value: Any) -> Any:  # noqa: PLR0911 - one for each type
    """Return a value as text without Python's notation: times in UTC, lists with commas."""
    match value:
        case Enum():
            return _plain(value.value)
        case None | bool() | int() | float() | str():
            return value
        case BaseException():
            return described(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case type():
            return value.__name__
        case bytes():
            return value.decode(errors="backslashreplace")
        case Mapping():
            return orjson.dumps(
                {str(key): _plain(one) for key, one in value.items()}, default=str
            ).decode()
        case Iterable():
            return ",".join(str(_plain(one)) for one in value)
    return str(value)

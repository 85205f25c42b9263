"""Logs are logfmt, whoever writes them, and hold no notation of Python."""

import subprocess
import sys

import pytest

# What a line is made of, besides the time.
VALUES = [
    ("Path('/data/my images')", '"/data/my images"'),
    ("datetime(2026, 3, 29, 1, 30, tzinfo=timezone(timedelta(hours=2)))", "2026-03-28T23:30:00Z"),
    ("['default', 'train']", "default,train"),
    ("{'a': Path('b')}", r'"{\"a\":\"b\"}"'),
    ("ValueError", "ValueError"),
    ("KeyError('x')", '"KeyError: x"'),
    ("TimeoutError()", "TimeoutError"),
    ("FileNotFoundError(2, 'No such file', '/x')", '"FileNotFoundError: No such file: /x"'),
    ("OSError('[Errno 111] Connection refused')", '"OSError: Connection refused"'),
    ("OperationalError('SELECT ?', ('secret',), Exception('away\\nnow'))", '"Exception: away now"'),
    ("b'\\xff'", r"\xff"),
    ("Enum('End', {'GAVE_UP': 'gave up'}).GAVE_UP", '"gave up"'),
    ("True", "true"),
    ("3", "3"),
]
IMPORTS = """
import logging, structlog, warnings
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from sqlalchemy.exc import OperationalError
from app import logs
logs.configure("info")
log = structlog.get_logger()
"""


def lines(code: str) -> list[str]:
    """What a process writes to standard error, line by line."""
    command = [sys.executable, "-c", IMPORTS + code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_values_are_written_without_the_notation_of_python() -> None:
    found = lines("\n".join(f"log.info('it', value={value})" for value, _ in VALUES))
    assert [line.partition("value=")[2] for line in found] == [shown for _, shown in VALUES]


@pytest.mark.parametrize(
    ("code", "rest"),
    [
        ("log.info('it', n=1)", "level=info event=it n=1"),
        (
            "logging.getLogger('lib').warning('it %s', 'failed')",
            'level=warning event="it failed" logger=lib',
        ),
    ],
)
def test_each_line_has_a_time_with_a_zone_and_a_level(code: str, rest: str) -> None:
    ((time, found),) = (line.split(" ", 1) for line in lines(code))
    assert time.startswith("timestamp=20")
    assert time.endswith("Z")
    assert found == rest


def test_a_traceback_and_a_warning_of_python_are_one_line_each() -> None:
    code = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('it')\n"
    code += "warnings.warn('old')\nlogging.getLogger('lib').info('chatter')\n"
    traceback, warning = lines(code)
    assert traceback.endswith('\\nZeroDivisionError: division by zero"')
    assert "UserWarning: old" in warning
    assert warning.endswith(" logger=py.warnings")

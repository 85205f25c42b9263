"""Runs operations of the client without a service."""

from collections.abc import Callable
from typing import Any

import httpx
from accrue_client.steps import Call, Steps, Work


def run(steps: Steps[Any], answer: Callable[[Call], httpx.Response]) -> Any:
    """Run an operation whose calls are answered by a function."""
    sent: Any = None
    failed: Exception | None = None
    while True:
        try:
            step = steps.send(sent) if failed is None else steps.throw(failed)
        except StopIteration as ended:
            return ended.value
        sent, failed = None, None
        if isinstance(step, Work):
            try:
                sent = step.function()
            except Exception as error:
                failed = error
        elif isinstance(step, Call):
            sent = answer(step)
            sent.request = httpx.Request(step.method, f"http://test{step.path}")

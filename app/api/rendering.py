"""Answers become JSON in the thread that made them.

FastAPI would write the answer of a plain function in the event loop, where all requests of the
process wait for it: seconds for a large page.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from fastapi import Response
from pydantic import BaseModel


class LostHeadersError(Exception):
    """A route would set headers on an answer that is not sent."""


def in_thread(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that reads something with its answer as JSON.

    A coroutine stays as it is. Raises LostHeadersError.
    """
    if inspect.iscoroutinefunction(endpoint):
        return endpoint
    parameters = inspect.signature(endpoint).parameters.values()
    if any(parameter.annotation is Response for parameter in parameters):
        raise LostHeadersError(
            f"{endpoint.__name__} takes a Response, but what it sets there would not be sent: "
            "return a Response with these headers instead"
        )

    @wraps(endpoint)
    def rendered(*args: Any, **given: Any) -> Any:
        answer = endpoint(*args, **given)
        if isinstance(answer, BaseModel):
            return Response(answer.model_dump_json(by_alias=True), media_type="application/json")
        return answer

    return rendered

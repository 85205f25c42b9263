"""Answers become JSON in the thread that made them.

FastAPI would write the answer in the event loop, where all requests of the process wait for it:
seconds for a large page.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from app import etags

_JSON = "application/json"
# The parameter by which the Response is had where the endpoint takes none: the framework gives the
# same one to all that a request depends on.
_RESPONSE = "response_of_the_request"


def in_thread(
    endpoint: Callable[..., Any], status: int | None, *, tagged: bool
) -> Callable[..., Any]:
    """Return a function that answers as JSON what the endpoint returns, beside the event loop.

    Headers and status that the endpoint, or what it depends on, sets on the Response that it takes
    are those of the answer, whose status else is the route's, 200 if that is None. `tagged` answers
    have an ETag.
    """
    signature = inspect.signature(endpoint)
    parameters = signature.parameters.values()
    taken = next((each.name for each in parameters if each.annotation is Response), None)

    def rendered(answer: BaseModel, response: Response) -> Response:
        content = answer.model_dump_json(by_alias=True).encode()
        made = Response(content, response.status_code or status or 200, media_type=_JSON)
        if tagged:
            made.headers["ETag"] = etags.weak(content)
        made.headers.update(response.headers)
        return made

    def response_of(given: dict[str, Any]) -> Response:
        response: Response = given.pop(_RESPONSE) if taken is None else given[taken]
        return response

    @wraps(endpoint)
    def in_its_thread(**given: Any) -> Any:
        response = response_of(given)
        answer = endpoint(**given)
        return rendered(answer, response) if isinstance(answer, BaseModel) else answer

    @wraps(endpoint)
    async def in_another_thread(**given: Any) -> Any:
        response = response_of(given)
        answer = await endpoint(**given)
        if not isinstance(answer, BaseModel):
            return answer
        return await run_in_threadpool(rendered, answer, response)

    made: Any = in_another_thread if inspect.iscoroutinefunction(endpoint) else in_its_thread
    if taken is None:
        own = inspect.Parameter(_RESPONSE, inspect.Parameter.KEYWORD_ONLY, annotation=Response)
        made.__signature__ = signature.replace(parameters=[*parameters, own])
    wrapped: Callable[..., Any] = made
    return wrapped

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

from app.api.conditional import weak_tag


def in_thread(
    endpoint: Callable[..., Any], status: int | None, *, tagged: bool
) -> Callable[..., Any]:
    """Return a function that answers as JSON what the endpoint returns, beside the event loop.

    Headers and status that the endpoint sets on the Response that it takes are those of the answer,
    whose status else is the route's, 200 if that is None. `tagged` answers have an ETag.
    """
    parameters = inspect.signature(endpoint).parameters.values()
    taken = next((each.name for each in parameters if each.annotation is Response), None)

    def rendered(answer: BaseModel, given: dict[str, Any]) -> Response:
        content = answer.model_dump_json(by_alias=True).encode()
        made = Response(content, status or 200, media_type="application/json")
        if tagged:
            made.headers["ETag"] = weak_tag(content)
        if taken is not None:
            made.status_code = given[taken].status_code or made.status_code
            made.headers.update(given[taken].headers)
        return made

    @wraps(endpoint)
    def in_its_thread(**given: Any) -> Any:
        answer = endpoint(**given)
        return rendered(answer, given) if isinstance(answer, BaseModel) else answer

    @wraps(endpoint)
    async def in_another_thread(**given: Any) -> Any:
        answer = await endpoint(**given)
        if not isinstance(answer, BaseModel):
            return answer
        return await run_in_threadpool(rendered, answer, given)

    return in_another_thread if inspect.iscoroutinefunction(endpoint) else in_its_thread

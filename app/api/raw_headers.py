"""Headers of a request as the server has parsed them: names in lower case, values as bytes.

Middleware looks for a few in each request, which costs less than building a mapping of all.
"""

from starlette.types import Scope


def first(scope: Scope, name: bytes) -> str | None:
    """Return the value of the first header of that name, None without one."""
    for given, value in scope["headers"]:
        if given == name:
            return str(value, "latin-1")
    return None

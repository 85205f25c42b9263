"""``/web/…``, and ``/`` for browsers: the web page. It is public: all it shows is the API's."""

from typing import Annotated

from fastapi import Header, Response

from app import etags
from app.api.access import Router
from app.api.deps import Config
from app.errors import ServiceError
from app.web.files import INDEX, PageFile, page_files

router = Router(tags=["web"], include_in_schema=False)

# The page runs its own scripts only, and sends what it is given to this service only. `blob:` is
# for images that it fetched with a key, or that wait to be sent.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    # The tag is asked about each time, so that all files are of one release.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PageNotFoundError(ServiceError, status=404, code="page-not-found"):
    """The web page has no such file, or is off."""


@router.get("/web/{path:path}")
async def get_page_file(
    path: str, settings: Config, if_none_match: Annotated[str, Header()] = ""
) -> Response:
    """Return a script, a style sheet or a picture of the web page."""
    found = page_files().get(path) if settings.web == "on" else None
    if found is None:
        raise PageNotFoundError(
            "The web page is off: the operator turns it on with ACCRUE_WEB=on."
            if settings.web == "off"
            else "The web page has no such file. It begins at `/`."
        )
    return _answer(found, if_none_match)


def page(if_none_match: str) -> Response:
    """Return the page, which asks for all else."""
    return _answer(page_files()[INDEX], if_none_match)


def _answer(file: PageFile, if_none_match: str) -> Response:
    headers = {**_HEADERS, "ETag": file.etag}
    if etags.names(if_none_match, file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers, media_type=file.media_type)

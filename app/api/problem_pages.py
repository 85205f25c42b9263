"""``/problems``: a page for each kind of problem, to which the `type` of a problem leads."""

import hashlib
import re
from base64 import b64encode
from html import escape

from fastapi import APIRouter, Response

from app.api.problem_catalogue import ProblemKind, catalogue
from app.api.problems import NotFoundError

router = APIRouter(include_in_schema=False)

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem}"
    "code{font-size:.9em}"
)
_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_CODE = re.compile(r"`([^`]+)`")


@router.get("/problems")
def list_problems() -> Response:
    """Return a page with all kinds of problems."""
    lines = [
        f'<li><a href="problems/{code}"><code>{code}</code></a>: {escape(kind.title)}</li>'
        for code, kind in catalogue().items()
    ]
    return _page("Problems", f"<h1>Problems</h1><ul>{''.join(lines)}</ul>")


@router.get("/problems/{code}")
def show_problem(code: str) -> Response:
    """Return a page about a kind of problem."""
    kind = catalogue().get(code)
    if kind is None:
        raise NotFoundError("There is no problem of that code; /problems lists all.")
    return _page(kind.title, _described(kind))


def _described(kind: ProblemKind) -> str:
    return (
        f"<h1>{escape(kind.title)}</h1>"
        f"<p>HTTP status {kind.status}, code <code>{kind.code}</code></p>"
        f"<p>{_html(kind.meaning)}</p><h2>What to do</h2><p>{_html(kind.remedy)}</p>"
        '<p><a href="../problems">All problems</a></p>'
    )


def _html(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))


def _page(title: str, content: str) -> Response:
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} – Accrue</title><style>{_STYLE}</style></head>"
        f"<body>{content}</body></html>"
    )
    return Response(page, headers=_HEADERS, media_type="text/html")

"""Bodies of routes that take JSON only: what is sent as anything else is refused with 415."""

from fastapi import Request

from app.api.body_kinds import UnsupportedBodyError


def require_json(request: Request) -> None:
    """Raise UnsupportedBodyError for a body that its headers do not call JSON."""
    headers = request.headers
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedBodyError(
            "The body is compressed. Send it without Content-Encoding.",
            headers={"Accept-Encoding": "identity"},
        )
    is_empty = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not is_empty and media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedBodyError("This takes JSON: send it with Content-Type: application/json.")

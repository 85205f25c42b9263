"""``/``: what answers here, and where to go from there."""

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from app.api import web
from app.api.access import Router
from app.api.deps import Config
from app.api.health import VERSION
from app.api.negotiation import accepted, weight
from app.api.problems import responses

router = Router(tags=["health"])


class ServiceView(BaseModel):
    """The service that answers here. Its links are relative to this address."""

    name: str = "accrue"
    version: str = VERSION
    documentation: str = "docs"
    openapi: str = "openapi.json"
    classifiers: str = "v1/classifiers"
    health: str = "health/ready"


@router.get(
    "/",
    response_model=ServiceView,
    responses={
        **responses(),
        303: {"description": "For browsers where the web page is off: to the documentation."},
    },
)
async def get_service(request: Request, settings: Config) -> Response:
    """Say what answers here. Browsers get the web page."""
    accept = accepted(request.headers)
    vary = {"Vary": "Accept"}
    if weight("text/html", accept) > weight("application/json", accept):
        if settings.web == "off":
            return RedirectResponse("docs", 303, vary)
        shown = web.page(request.headers.get("if-none-match", ""))
        shown.headers.update(vary)
        return shown
    return Response(ServiceView().model_dump_json(), headers=vary, media_type="application/json")

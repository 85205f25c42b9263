"""``/``: what answers here, and where to go from there."""

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from app.api.access import Router
from app.api.health import VERSION
from app.api.negotiation import accepted, weight
from app.api.problems import responses

router = Router(tags=["health"])


class ServiceView(BaseModel):
    """The service that answers here. Its links are relative to this address."""

    name: str = "accrue"
    version: str = Field(VERSION, description="Of the software, not of a classifier.")
    documentation: str = "docs"
    openapi: str = "openapi.json"
    classifiers: str = "v1/classifiers"
    health: str = "health/ready"


@router.get(
    "/",
    response_model=ServiceView,
    responses={**responses(), 303: {"description": "For browsers: to the documentation."}},
)
async def get_service(request: Request) -> Response:
    """Say what answers here. Browsers are sent to the documentation."""
    accept = accepted(request.headers)
    vary = {"Vary": "Accept"}
    if weight("text/html", accept) > weight("application/json", accept):
        return RedirectResponse("docs", 303, vary)
    return Response(ServiceView().model_dump_json(), headers=vary, media_type="application/json")

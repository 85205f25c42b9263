"""``/v1/methods`` and ``/v1/backbones``: the parts that a classifier can be made of."""

from typing import Any

from pydantic import BaseModel, Field

from app.api.access import Router, needs
from app.api.paging import Page
from app.api.problems import responses
from models.methods import describe_methods
from models.networks import describe_backbones

router = Router(prefix="/v1", tags=["methods"], dependencies=[needs("predict", "train")])


class NeedsView(BaseModel, from_attributes=True):
    """What a method needs from the service."""

    exemplars: bool
    teacher: bool
    task_id: bool = Field(description="Or else a router.")
    all_images: bool


class MethodView(BaseModel, from_attributes=True):
    """A learning algorithm."""

    name: str
    summary: str
    paper: str
    needs: NeedsView
    classify: list[str] = Field(description="The default first.")
    options: dict[str, Any]
    fixed: list[str] = Field(description="Options that no later step can change.")


class BackboneView(BaseModel, from_attributes=True):
    """A network that a classifier can use."""

    name: str
    source: str
    weights: list[str]


@router.get("/methods", responses=responses())
def list_methods() -> Page[MethodView]:
    """List the methods, all on one page."""
    found = [MethodView.model_validate(method) for method in describe_methods()]
    return Page.of(found, len(found), lambda view: view.name)


@router.get("/backbones", responses=responses())
def list_backbones() -> Page[BackboneView]:
    """List the backbones, all on one page."""
    found = [BackboneView.model_validate(backbone) for backbone in describe_backbones()]
    return Page.of(found, len(found), lambda view: view.name)

"""``POST /v1/uploads/layout``: what becomes of a folder's files, before any of them is sent."""

from app.api.access import Router, needs
from app.api.problems import responses
from app.services.uploads import layouts
from app.services.uploads.layouts import LayoutRequest, LayoutView

router = Router(prefix="/v1/uploads", tags=["uploads"], dependencies=[needs("train")])


@router.post("/layout", responses=responses())
def lay_out(body: LayoutRequest) -> LayoutView:
    """Return the class, split and group of files by their names; nothing is stored."""
    return layouts.lay_out(body)

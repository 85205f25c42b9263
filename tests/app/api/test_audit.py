"""No route is open by oversight: the service refuses to start with one that says nothing."""

from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI

from app import main
from app.api import health
from app.api.access import Router, UnguardedRouteError, check_routes, needs
from app.main import create_app
from app.settings import Settings


def test_a_route_that_says_nothing_stops_the_service() -> None:
    async def things() -> None:
        pass

    guarded_router = Router(dependencies=[needs("train")])
    guarded_router.get("/things")(things)
    silent = Router()
    silent.get("/things")(things)
    plain = APIRouter(dependencies=[needs("train")])
    plain.get("/things")(things)
    public = Router()
    public.post("/version")(things)
    for router, refused in (
        (health.router, False),
        (guarded_router, False),
        (silent, True),
        (plain, True),
        (public, True),
    ):
        app = FastAPI(redoc_url=None, swagger_ui_oauth2_redirect_url=None)
        app.include_router(router)
        if refused:
            with pytest.raises(UnguardedRouteError, match="open to everybody"):
                check_routes(app)
        else:
            check_routes(app)
    app = FastAPI(redoc_url=None, swagger_ui_oauth2_redirect_url=None)
    app.mount("/files", FastAPI())
    with pytest.raises(UnguardedRouteError, match="/files"):
        check_routes(app)


def test_create_app_refuses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten = APIRouter()

    @forgotten.get("/v1/secrets")
    async def secrets() -> None:
        pass

    monkeypatch.setattr(health, "router", forgotten)
    monkeypatch.setattr(main, "_routes", main._routes.__wrapped__)  # as at the start of a process
    with pytest.raises(UnguardedRouteError, match="GET /v1/secrets is open to everybody"):
        create_app(Settings(data_dir=tmp_path))

"""Answers become JSON beside the event loop, whichever way a route is written."""

import threading
from typing import Any

import pytest
from fastapi import FastAPI, Response
from fastapi.testclient import TestClient
from pydantic import BaseModel

from app.api.access import Router

where: list[threading.Thread] = []
loop: list[threading.Thread] = []


class Large(BaseModel):
    """Notes which thread writes it."""

    size: int = 1

    def model_dump_json(self, **given: Any) -> str:
        where.append(threading.current_thread())
        return super().model_dump_json(**given)


@pytest.fixture
def client() -> TestClient:
    where.clear()
    loop.clear()
    router = Router()

    @router.get("/read")
    def read() -> Large:
        return Large()

    @router.post("/made", status_code=201)
    async def made(response: Response) -> Large:
        loop.append(threading.current_thread())
        response.headers["Location"] = "/read"
        return Large()

    @router.post("/cancelled")
    def cancelled(response: Response) -> Large:
        response.status_code = 202
        response.headers["Retry-After"] = "1"
        return Large()

    @router.post("/plain")
    async def plain() -> dict[str, int]:
        return {"size": 2}

    app = FastAPI()
    app.include_router(router)
    return TestClient(app)


def test_no_answer_is_written_in_the_event_loop(client: TestClient) -> None:
    with client:
        for method, path in (("GET", "/read"), ("POST", "/made"), ("POST", "/cancelled")):
            assert client.request(method, path).json() == {"size": 1}
    assert len(where) == 3
    assert loop[0] not in where


def test_status_and_headers_are_those_that_the_route_sets(client: TestClient) -> None:
    made, cancelled = client.post("/made"), client.post("/cancelled")
    assert (made.status_code, made.headers["location"]) == (201, "/read")
    assert (cancelled.status_code, cancelled.headers["retry-after"]) == (202, "1")
    assert made.headers["content-type"] == "application/json"
    assert client.post("/plain").json() == {"size": 2}

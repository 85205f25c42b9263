"""Keys at the door: every route asks for one, before it reads anything, and wants its scope."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import update
from starlette.types import Message

from app.api.access import PUBLIC
from app.db.engine import Database
from app.db.tables import ApiKey
from app.main import create_app
from app.security import tokens
from app.services.access import keys
from app.settings import Settings
from tests.app.api.test_event_stream import wait_until
from tests.app.keyed import bearer, new_key
from tests.app.learnt import Published

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

# Open to a key that only predicts, and what only `admin` may do. `train` may do the rest.
V2 = {
    "GET /v2/models/{name}",
    "GET /v2/models/{name}/ready",
    "GET /v2/models/{name}/config",
    "GET /v2/models/{name}/versions/{version}",
    "GET /v2/models/{name}/versions/{version}/ready",
    "GET /v2/models/{name}/versions/{version}/config",
    "POST /v2/models/{name}/infer",
    "POST /v2/models/{name}/versions/{version}/infer",
    "POST /v2/repository/index",
}
PREDICT = {
    *V2,
    "POST /predict",
    "POST /v1/classifiers/{name}/predict",
    "GET /v1/classifiers",
    "GET /v1/classifiers/{name}",
    "GET /v1/classifiers/{name}/versions",
    "GET /v1/classifiers/{name}/versions/{version}",
    "GET /v1/classifiers/{name}/versions/{version}/classes",
    "GET /v1/classifiers/{name}/versions/{version}/matrix",
    "GET /v1/classifiers/{name}/aliases",
    "GET /v1/classifiers/{name}/aliases/{alias}",
    "GET /v1/key",
    "GET /v1/methods",
    "GET /v1/backbones",
}
PREDICT_ONLY = {"POST /predict", "POST /v1/classifiers/{name}/predict", *V2}
ADMIN = {
    "DELETE /v1/classifiers/{name}",
    "DELETE /v1/classifiers/{name}/versions/{version}",
    "PUT /v1/classifiers/{name}/aliases/{alias}",
    "DELETE /v1/classifiers/{name}/aliases/{alias}",
    "GET /v1/doctor",
    "GET /v1/keys",
    "POST /v1/keys",
    "GET /v1/keys/{key_id}",
    "DELETE /v1/keys/{key_id}",
}
METRICS = {"GET /metrics"}
# Open to every key.
ANY = {"GET /v1/key"}
# Where the secret part of a key begins.
_SECRET = len("acr_") + 24 + len("_")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"keys": "required"})


def guarded(app: Any) -> Iterator[tuple[str, str, str]]:
    """Every route that is not public: its name, its method, and a path to it."""
    for route in iter_route_contexts(app.routes):
        if route.path not in PUBLIC:
            for method in sorted(route.methods or ()):
                path = str(route.path).replace("{sha256}", "0" * 64).replace("{version}", "1")
                yield f"{method} {route.path}", method, path


def code(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_public_routes_want_no_key(api: TestClient) -> None:
    for path in PUBLIC:
        shown = path.replace("{file}", "start.js").replace("{path:path}", "main.js")
        shown = shown.replace("{code}", "not-found")
        assert api.get(shown).status_code == 200, path


def test_every_other_route_wants_one(api: TestClient, database: Database) -> None:
    _, unknown = tokens.new_token()
    known = new_key(database, "admin")
    secret = tokens.new_token()[1][_SECRET:]
    headers = {
        "none": {},
        "empty": {"Authorization": ""},
        "not a key": {"Authorization": "Bearer swordfish"},
        "another scheme": {"Authorization": f"Basic {known}"},
        "unknown": bearer(unknown),
        "its id with another secret": bearer(known[:_SECRET] + secret),
    }
    for name, method, path in guarded(api.app):
        for what, header in headers.items():
            answer = api.request(method, path, headers=header)
            assert code(answer) == (401, "unauthorized"), f"{name} with {what}"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            for part in ("swordfish", unknown, known, secret):
                assert part not in answer.text
        # Looking for keys that are not known takes its time.
        headers.pop("unknown", None)
        assert api.request(method, path, headers=bearer(known)).status_code not in (401, 403), name


def test_scopes_are_what_the_documentation_says(api: TestClient, database: Database) -> None:
    allowed = {scope: bearer(new_key(database, scope)) for scope in ("predict", "train", "metrics")}
    open_to: dict[str, set[str]] = {scope: set() for scope in allowed}
    every = set()
    for name, method, path in guarded(api.app):
        every.add(name)
        for scope, header in allowed.items():
            answer = api.request(method, path, headers=header)
            if answer.status_code == 403:
                assert code(answer) == (403, "missing-scope"), name
            else:
                open_to[scope].add(name)
    assert open_to["predict"] == PREDICT
    assert open_to["train"] == every - PREDICT_ONLY - ADMIN - METRICS
    assert open_to["metrics"] == every & (METRICS | ANY)


def test_what_decides_or_destroys_takes_admin(api: TestClient, database: Database) -> None:
    train, admin = (bearer(new_key(database, scope)) for scope in ("train", "admin"))
    api.post("/v1/classifiers", json={"name": "signs"}, headers=train).raise_for_status()
    signs = "/v1/classifiers/signs"
    for body, missing in (
        ({"hardware": "gpu"}, False),
        ({"promotion": {"policy": "always"}}, True),
        ({"retention": {"keep_last": 1}}, True),
    ):
        status = api.patch(signs, json=body, headers=train).status_code
        assert status == (403 if missing else 200), body
        assert api.patch(signs, json=body, headers=admin).status_code == 200
    forget = {"kind": "forget", "classes": ["stop"], "purge": True}
    assert code(api.post(f"{signs}/jobs", json=forget, headers=train)) == (403, "missing-scope")
    for header, body in ((admin, forget), (train, {**forget, "purge": False})):
        assert api.post(f"{signs}/jobs", json=body, headers=header).status_code not in (401, 403)


def test_only_admins_retry_a_purge_that_was_stopped(
    api: TestClient, database: Database, publish: Callable[..., Published]
) -> None:
    train, admin = (bearer(new_key(database, scope)) for scope in ("train", "admin"))
    api.headers.update(admin)
    publish()
    jobs = "/v1/classifiers/signs/jobs"
    body = {"kind": "forget", "classes": ["stop"], "purge": True}
    job = api.post(jobs, json=body).raise_for_status().json()["id"]
    api.post(f"/v1/jobs/{job}/cancel", headers=train).raise_for_status()
    assert code(api.post(f"/v1/jobs/{job}/retry", headers=train)) == (403, "missing-scope")
    assert api.post(f"/v1/jobs/{job}/retry").status_code == 202


def test_the_body_of_a_request_that_is_refused_is_not_read(
    api: TestClient, database: Database
) -> None:
    app: Any = api.app
    little = new_key(database, "metrics")

    async def ask(method: str, path: str, headers: dict[str, str]) -> int:
        async def receive() -> Message:
            raise AssertionError("the body was read")

        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        raw = {**headers, "content-type": "application/json", "content-length": "20"}
        await app(
            {
                "type": "http",
                "method": method,
                "path": path,
                "raw_path": path.encode(),
                "query_string": b"",
                "root_path": "",
                "scheme": "http",
                "http_version": "1.1",
                "headers": [(k.lower().encode(), v.encode()) for k, v in raw.items()],
                "client": ("127.0.0.1", 1),
                "server": ("127.0.0.1", 2),
                "app": app,
            },
            receive,
            send,
        )
        return int(sent[0]["status"])

    assert api.portal is not None
    for name, method, path in guarded(app):
        assert api.portal.call(ask, method, path, {}) == 401, name
        if name not in METRICS | ANY:
            assert api.portal.call(ask, method, path, bearer(little)) == 403, name


def test_a_revoked_key_is_refused_soon(api: TestClient, database: Database) -> None:
    token = new_key(database, "train", name="going")
    assert api.get("/v1/jobs", headers=bearer(token)).status_code == 200
    keys.revoke(database, "going")
    wait_until(lambda: api.get("/v1/jobs", headers=bearer(token)).status_code == 401)
    # Its name is free again, and the new key is good at once.
    again = new_key(database, "train", name="going")
    assert api.get("/v1/jobs", headers=bearer(again)).status_code == 200


def test_an_expired_key_is_refused(api: TestClient, database: Database) -> None:
    token = new_key(database, "train", expires_days=1)
    assert api.get("/v1/jobs", headers=bearer(token)).status_code == 200
    with database.transaction() as session:
        session.execute(update(ApiKey).values(expires_at=ApiKey.created_at))
    wait_until(lambda: api.get("/v1/jobs", headers=bearer(token)).status_code == 401)


def test_use_is_written_down_when_the_service_stops(settings: Settings, database: Database) -> None:
    used, unused = new_key(database, "train"), new_key(database, "train")
    with TestClient(create_app(settings)) as api:
        assert api.get("/v1/jobs", headers=bearer(used)).status_code == 200
    recorded = {row.id: row.last_used_at is not None for row in keys.every(database)}
    assert recorded == {tokens.id_of(used): True, tokens.id_of(unused): False}


def test_no_key_gets_into_the_log(
    settings: Settings, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = new_key(database, "admin"), tokens.new_token()[1]
    app = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as api:
        app.state.store = None  # an unforeseen error
        assert api.get("/health/ready", headers=bearer(good)).status_code == 500
        for token, status in ((good, 200), (bad, 401)):
            assert api.get("/v1/jobs", headers=bearer(token)).status_code == status
    said = "".join(capsys.readouterr())
    assert "unexpected_error" in said
    assert good not in said
    assert bad not in said


def test_the_document_names_scheme_and_scopes(api: TestClient) -> None:
    document = api.get("/openapi.json").json()
    scheme = document["components"]["securitySchemes"]["key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path, operations in document["paths"].items():
        for operation in (each for each in operations.values() if isinstance(each, dict)):
            wants = path not in PUBLIC
            assert bool(operation.get("security", document["security"])) == wants
    problem = document["components"]["responses"]["Problem"]
    assert {"Retry-After", "WWW-Authenticate"} <= set(problem["headers"])
    assert all(each in problem["description"] for each in ("`unauthorized`", "`missing-scope`"))
    assert document["security"] == [{"key": ["train"]}]
    security = document["paths"]["/v1/classifiers"]["get"]["security"]
    assert security == [{"key": ["predict"]}, {"key": ["train"]}]
    deletes = document["paths"]["/v1/classifiers/{name}"]["delete"]["security"]
    assert deletes == [{"key": ["admin"]}]


def test_the_document_is_the_same_without_keys(api: TestClient, settings: Settings) -> None:
    off = create_app(settings.model_copy(update={"keys": "off"}))
    assert off.openapi() == api.get("/openapi.json").json()


def test_without_keys_all_is_open_and_one_workspace(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"keys": "off"}))) as api:
        assert api.get("/v1/jobs").status_code == 200
        # A client may send a key although none is needed.
        assert api.get("/v1/jobs", headers=bearer(tokens.new_token()[1])).status_code == 200

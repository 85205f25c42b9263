"""Checks whether the API answers, is this version and ready, and who may use it."""

from collections.abc import Iterator
from importlib.metadata import version

import httpx
from sqlalchemy.exc import SQLAlchemyError

from app.db.repositories import keys as key_rows
from app.doctor.findings import CheckContext, Finding, Say
from app.doctor.opening import NoDatabaseError, opened
from app.logs import described
from app.security.addresses import is_loopback

_SECONDS = 5.0
_ADMIN = "accrue keys create NAME --scope admin"


def check(context: CheckContext) -> Iterator[Finding]:
    """Check the running API."""
    say, url = Say("API"), context.url
    if url is None:
        return
    try:
        with httpx.Client(base_url=url, timeout=_SECONDS, trust_env=False) as http:
            reported, ready = http.get("/version"), http.get("/health/ready")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield say.warning(
            f"Nothing answers at {url}: {described(error)}",
            "If the API should run, start it, or pass --url.",
        )
        return
    yield _version(say, url, reported)
    if ready.status_code == 200:
        yield say.ok("It is ready: its database, storage and queue answer")
    elif ready.status_code == 503:
        yield say.problem(
            f"It is not ready: {ready.json()['detail']}", "See the findings about these."
        )


def _version(say: Say, url: str, reported: httpx.Response) -> Finding:
    own = version("accrue")
    try:
        answer = reported.json()
        name, running = answer["name"], answer["version"]
    except (ValueError, KeyError, TypeError):
        name, running = "", ""
    if name != "accrue":
        return say.problem(
            f"What answers at {url} is not Accrue", "Free the port, or set ACCRUE_PORT or --url."
        )
    if running != own:
        return say.warning(
            f"Accrue {running} runs at {url}, but {own} is installed here", "Restart the API."
        )
    return say.ok(f"Accrue {running} answers at {url}")


def check_keys(context: CheckContext) -> Iterator[Finding]:
    """Check whether the API is open to other machines without keys, and has an admin key."""
    say, settings = Say("keys"), context.settings
    if settings.keys == "off":
        try:
            loopback = is_loopback(settings.host)
        except OSError as error:
            yield say.problem(
                f"{settings.host} is not an address: {error.strerror}", "Correct ACCRUE_HOST."
            )
            return
        if loopback:
            yield say.ok(f"Off; {settings.host} can be reached from this machine only")
        else:
            yield say.problem(
                f"Off, but {settings.host} can be reached from other machines: the API will not "
                "start",
                "Set ACCRUE_KEYS=required, or listen on 127.0.0.1.",
            )
        return
    try:
        with opened(context) as database, database.reading() as session:
            usable = key_rows.usable(session, now=database.now(session))
    except (NoDatabaseError, SQLAlchemyError):
        yield say.skipped("Required; the keys are not known without the database")
        return
    if any("admin" in key.scopes for key in usable):
        yield say.ok(f"Required; {len(usable)} are usable")
    else:
        yield say.warning("Required, but none has the scope admin", f"Run `{_ADMIN}`.")

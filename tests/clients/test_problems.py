"""Problem documents as exceptions: each code of the service has its own."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from accrue_client import problems
from accrue_client.errors import LimitedError, NotFoundError, ProblemError, UnavailableError

import app
from app.errors import ServiceError


def kinds(base: type) -> Iterator[type]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_code_of_the_service_has_an_exception_of_its_kind() -> None:
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    of_service = {kind.code: kind.status for kind in (ServiceError, *kinds(ServiceError))}
    of_client = {kind.problem_code: kind for kind in kinds(ProblemError) if kind.problem_code}
    assert of_client.keys() == of_service.keys()
    families = {401: "DeniedError", 403: "DeniedError", 404: "NotFoundError", 409: "ConflictError"}
    families |= {429: "LimitedError"}
    for code, status in of_service.items():
        family = families.get(status, "UnavailableError" if status >= 500 else "InvalidError")
        assert [base.__name__ for base in of_client[code].__bases__] == [family], code


@pytest.mark.parametrize(
    ("status", "family"), [(404, NotFoundError), (429, LimitedError), (503, UnavailableError)]
)
def test_a_code_of_a_newer_service_is_an_exception_of_its_status(
    status: int, family: type[ProblemError]
) -> None:
    document = {"title": "New", "detail": "Something new.", "code": "something-new"}
    error = problems.from_document(document, status, 3.0)
    assert type(error) is family
    assert (error.code, error.retry_after, str(error)) == (
        "something-new",
        3.0,
        "New: Something new.",
    )

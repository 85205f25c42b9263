"""Requests of JSON, without a service."""

import pytest
from accrue_client.errors import InvalidSourceError
from accrue_client.http_api import Api, classifier_path
from accrue_client.operations import get_version, promote
from accrue_client.retrying import Retrying

API = Api(Retrying())


@pytest.mark.parametrize("name", [".", "..", "../..", "%2e%2e", "live/../..", "a?b", "a#b"])
def test_a_name_does_not_lead_elsewhere(name: str) -> None:
    """DELETE …/aliases/.. would delete the classifier."""
    path = classifier_path("flowers")
    for steps in (
        API.delete(f"{path}/aliases/{name}"),
        promote(API, "flowers", 1, name),
        get_version(API, "flowers", name),
    ):
        with pytest.raises(InvalidSourceError, match="cannot be asked for"):
            next(steps)

"""Where the service is, and the key for it."""

import pytest
from accrue_client import AccrueError
from accrue_client.connecting import Connection

URL = "http://127.0.0.1:1"


def test_a_key_is_not_shown() -> None:
    connection = Connection.to(URL, " acr_secret\n")
    assert connection.key == "acr_secret"
    assert "secret" not in repr(connection)


@pytest.mark.parametrize("page", ["", "/", "/v1", "/v1/", "/docs", "/openapi.json"])
def test_addresses_of_its_pages_are_those_of_the_service(page: str) -> None:
    assert Connection.to(URL + page, None).url == URL
    assert Connection.to(f"{URL}/below{page}", None).url == f"{URL}/below"


@pytest.mark.parametrize(
    "key", ["acr_secret\nmore", "acr_secret x", "acr_secrét", "acr_secret\x00"]
)
def test_what_no_header_can_hold_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(AccrueError, match="is not one") as caught:
        Connection.to(URL, key)
    assert "secr" not in str(caught.value)

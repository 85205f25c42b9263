"""Headers of a request as the server has parsed them."""

from app.api.raw_headers import first


def test_the_first_header_of_a_name_is_found() -> None:
    scope = {"headers": [(b"accept", b"*/*"), (b"host", b"caf\xe9"), (b"host", b"other")]}
    assert first(scope, b"host") == "caf\xe9"
    assert first(scope, b"accept") == "*/*"


def test_what_was_not_sent_is_none_and_what_is_empty_is_not() -> None:
    scope = {"headers": [(b"host", b"")]}
    assert first(scope, b"host") == ""
    assert first(scope, b"origin") is None

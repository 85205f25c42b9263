"""The form of a key, and the hash that is stored of it."""

from app.security import tokens


def test_a_key_names_its_row_and_holds_256_bits() -> None:
    key_id, token = tokens.new_token()
    assert tokens.id_of(token) == key_id
    assert token.startswith("acr_")
    secret = token.split("_", 2)[2]
    assert len(secret) == 43  # 256 bits in base 64
    assert tokens.new_token()[1].split("_", 2)[2] != secret


def test_only_the_very_key_matches_what_is_stored() -> None:
    _, token = tokens.new_token()
    stored = tokens.digest(token)
    assert token not in stored
    assert tokens.matches(token, stored)
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert not tokens.matches(changed, stored)
    assert not tokens.matches("", stored)


def test_what_is_no_key_has_no_id() -> None:
    _, token = tokens.new_token()
    for wrong in ("", "acr_", token[:-1], f"{token}x", f"{token}\n", token.upper(), f" {token}"):
        assert tokens.id_of(wrong) is None

"""Entity tags (RFC 9110, section 8.8.3): what a client has already is not sent again."""

import hashlib


def strong(content: bytes) -> str:
    """Return the tag of content, in quotes: another content has another one."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def weak(content: bytes) -> str:
    """Return the tag of content that may be sent in several codings."""
    return f"W/{strong(content)}"


def names(if_none_match: str, tag: str) -> bool:
    """Say whether a header names a tag; behind gzip a strong one comes back as a weak one."""
    given = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return tag.removeprefix("W/") in given

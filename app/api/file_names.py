"""Names of files in multipart forms, in the many ways in which clients write them."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from urllib.parse import unquote

_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[bq]\?[^?]*\?=", re.IGNORECASE)


def disposition_parameters(value: bytes) -> dict[str, str]:
    """Return the parameters of a Content-Disposition header.

    Decodes ``filename*=UTF-8''caf%C3%A9`` (RFC 5987) and its continuations (RFC 2231), which win
    over ``filename=``; encoded words (RFC 2047) in a file's name; and bytes that are not UTF-8, as
    cp1252, which old browsers send.
    """
    message = Message()
    message["content-disposition"] = value.decode("latin-1")
    plain: dict[str, str] = {}
    extended: dict[str, str] = {}
    try:
        parameters = message.get_params(header="content-disposition", failobj=[])
    except (TypeError, ValueError):  # continuations that contradict each other
        return {}
    for key, text in parameters[1:]:
        if isinstance(text, tuple):
            encoding, _, escaped = text
            extended[key.lower()] = _text(escaped.encode("latin-1"), encoding or "utf-8")
        else:
            plain[key.lower()] = _text(text.encode("latin-1"), "utf-8")
    if "filename" in plain:
        plain["filename"] = _without_encoded_words(plain["filename"])
    return plain | extended


def match(keys: Iterable[str], sent: Iterable[str]) -> dict[str, str]:
    """Match names of sent files to the keys of a manifest: a dict from sent name to key.

    An equal name comes first. Then names that differ only in how they are written: normalisation
    (NFC, NFD), percent-encoding, backslashes. Then names without their folders, as some clients
    send the path and others do not. A name or key that could be meant twice stays unmatched.
    """
    free, unmatched = set(keys), set(sent)
    matched: dict[str, str] = {}
    for form in (str, _canonical, _without_folders):
        pairs = _unambiguous(form, free, unmatched)
        matched |= pairs
        free -= set(pairs.values())
        unmatched -= set(pairs)
    return matched


def _unambiguous(
    form: Callable[[str], str], keys: Collection[str], sent: Collection[str]
) -> dict[str, str]:
    """Match the names that have one form, where no other key and no other name has it."""
    keys_by_form, sent_by_form = defaultdict(list), defaultdict(list)
    for key in keys:
        keys_by_form[form(key)].append(key)
    for name in sent:
        sent_by_form[form(name)].append(name)
    return {
        names[0]: keys_by_form[shared][0]
        for shared, names in sent_by_form.items()
        if len(names) == 1 and len(keys_by_form[shared]) == 1
    }


def _canonical(name: str) -> str:
    path = unicodedata.normalize("NFC", unquote(name, errors="replace")).replace("\\", "/")
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _without_folders(name: str) -> str:
    return _canonical(name).rpartition("/")[2]


def _text(data: bytes, encoding: str) -> str:
    for each in (encoding, "utf-8", "cp1252"):
        try:
            return data.decode(each)
        except (ValueError, LookupError):
            continue
    return data.decode("latin-1")


def _without_encoded_words(name: str) -> str:
    if not _ENCODED_WORD.search(name):
        return name
    try:
        words = decode_header(name)
    except HeaderParseError:
        return name
    decoded = "".join(
        word if isinstance(word, str) else _text(word, encoding or "latin-1")
        for word, encoding in words
    )
    return decoded or name

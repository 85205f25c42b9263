"""How the bytes of names in archives become text."""

import struct
import zlib
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import NewType
from zipfile import ZipInfo

# Encodings that a client may name for archives that do not declare theirs, under Python's names.
# In all of them bytes of ASCII mean ASCII, slashes and dots among them. So UTF-16, EBCDIC and those
# with escape sequences are left out.
ENCODINGS = (
    # Unicode.
    "utf_8", "gb18030",
    # DOS, by its code pages.
    "cp437", "cp720", "cp737", "cp775", "cp850", "cp852", "cp855", "cp856", "cp857", "cp858",
    "cp860", "cp861", "cp862", "cp863", "cp864", "cp865", "cp866", "cp869", "cp1006", "cp1125",
    # Windows, by its code pages.
    "cp874", "cp932", "cp949", "cp950", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255",
    "cp1256", "cp1257", "cp1258",
    # Unix.
    "latin_1", "iso8859_2", "iso8859_3", "iso8859_4", "iso8859_5", "iso8859_6", "iso8859_7",
    "iso8859_8", "iso8859_9", "iso8859_10", "iso8859_11", "iso8859_13", "iso8859_14", "iso8859_15",
    "iso8859_16", "tis_620", "koi8_r", "koi8_t", "koi8_u", "kz1048", "ptcp154", "hp_roman8",
    # macOS before Unicode.
    "mac_roman", "mac_latin2", "mac_croatian", "mac_romanian", "mac_iceland", "mac_greek",
    "mac_turkish", "mac_cyrillic", "mac_arabic", "mac_farsi",
    # Several bytes a character: Japan, China, Taiwan and Hong Kong, Korea.
    "shift_jis", "euc_jp", "gbk", "gb2312", "big5", "big5hkscs", "euc_kr", "johab",
)  # fmt: skip

# One of `ENCODINGS`.
NameEncoding = NewType("NameEncoding", str)


def name_encoding(text: str) -> NameEncoding:
    """Return the encoding that a client names in any usual way. Raises ValueError if it is none."""
    name = normalize_encoding(text.lower())
    # Not by `codecs.lookup`, which imports what strangers name.
    name = aliases.get(name, name)
    if name not in ENCODINGS:
        raise ValueError(
            "No encoding that names in archives can have. Name one such as utf-8, cp850 or latin-1 "
            "(Western Europe), cp1250 (Central Europe), cp866 or koi8-r (Russia), shift_jis or "
            "cp932 (Japan), gbk (China), big5 (Taiwan) or cp949 (Korea). The OpenAPI document has "
            "the list."
        )
    return NameEncoding(name)


_UTF8_FLAG = 0x800
_UNICODE_PATH, _UNICODE_PATH_VERSION = 0x7075, 1


def zip_name(entry: ZipInfo, encoding: NameEncoding | None) -> str:
    """Return the name of a zip's member.

    The UTF-8 flag and the Unicode path field declare a name. Other names are in `encoding`. Without
    it they are UTF-8, as Info-ZIP and macOS write them without the flag, else the standard's cp437.
    Raises UnicodeDecodeError if the name is not in `encoding`.
    """
    if entry.flag_bits & _UTF8_FLAG:
        return entry.orig_filename
    # `zipfile` decodes a name without the flag as cp437, which maps every byte.
    raw = entry.orig_filename.encode("cp437")
    declared = _unicode_path(entry.extra, raw)
    if declared is not None:
        return declared
    if encoding is not None:
        return raw.decode(encoding)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return entry.orig_filename


def is_guess(entry: ZipInfo, encoding: NameEncoding | None) -> bool:
    """Say whether `zip_name` had nothing to go by: no declaration, no `encoding`, and not UTF-8."""
    raw = entry.orig_filename.encode("cp437", errors="replace")
    if entry.flag_bits & _UTF8_FLAG or encoding or _unicode_path(entry.extra, raw) is not None:
        return False
    try:
        raw.decode()
    except UnicodeDecodeError:
        return True
    return False


def tar_name(name: str, encoding: NameEncoding | None, *, declared: bool) -> str:
    """Return the name of a tar's member, which `tarfile` decoded with surrogate escapes.

    `declared` says that a header declares the name to be UTF-8. Raises UnicodeDecodeError if the
    name is neither UTF-8 nor in `encoding`.
    """
    raw = name.encode(errors="surrogateescape")
    return raw.decode("utf-8" if declared or encoding is None else encoding)


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Return the name in the Unicode path field, if the field belongs to the `raw` name."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        data, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind != _UNICODE_PATH or len(data) <= 5:
            continue
        version, checksum = struct.unpack_from("<BL", data)
        # A tool that does not know the field may have renamed the member.
        if version == _UNICODE_PATH_VERSION and checksum == zlib.crc32(raw):
            try:
                return data[5:].decode()
            except UnicodeDecodeError:
                return None
    return None

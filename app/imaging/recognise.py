"""What bytes are by their first ones, whatever their name or media type says."""

import re

# Formats that are read, each with what it begins with.
_READ = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0"
    # TIFF, HEIF with AVIF, JPEG 2000.
    rb"|II[*+]\0|MM\0[*+]|....ftyp(avi[fs]|he[iv][cmsx]|mif1|msf1)"
    rb"|\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    re.DOTALL,
)

_SENT = "send the file's bytes as they are"
_CONVERT = "convert it to JPEG or PNG"
# Of formats that are read.
_UNREAD = f"damaged or of a kind that is not read: {_CONVERT}"
# In the order in which they are tried.
_OTHERS = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), what)
    for pattern, what in (
        (rb"....ftyp(avif|avis)", f"an AVIF image, {_UNREAD}"),
        (rb"....ftyp(hei|hev|mif1|msf1)", f"a HEIF image, {_UNREAD}"),
        (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", "a video: extract its pictures"),
        (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", f"a TIFF or raw image, {_UNREAD}"),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", f"a JPEG XL image: {_CONVERT}"),
        (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", f"a JPEG 2000 image, {_UNREAD}"),
        (rb"8BPS", f"a Photoshop document: {_CONVERT}"),
        (rb"\0\0[\x01\x02]\0", f"an icon: {_CONVERT}"),
        (rb"P[1-7]\s", f"a PNM image: {_CONVERT}"),
        (rb"%PDF-", "a PDF: extract its pictures"),
        (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!|BZh\d|\xfd7zXZ", "an archive: send it alone"),
        (rb"version https://git-lfs", "a pointer of Git LFS: run git lfs pull"),
        # What curl -d and transfers in text mode make of a PNG.
        (rb"\x89PNG(?!\r\n\x1a\n)", f"a PNG whose line ends were changed: {_SENT} (--data-binary)"),
        # The first bytes of PNG and JPEG, decoded as text and encoded again.
        (
            rb"\xef\xbf\xbd(PNG|\xef\xbf\xbd\xef\xbf\xbd)|\xc2\x89PNG|\xc3\xbf\xc3\x98\xc3\xbf",
            f"an image that was read as text, which damages it: {_SENT}",
        ),
        (
            rb"\s*(data:image/|iVBORw0KGgo|/9j/|R0lGOD|UklGR)",
            "base64: decode it, or send it in JSON as b64",
        ),
        (rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!doctype svg[^>]*>\s*)?<svg",
         f"an SVG drawing: {_CONVERT}"),
        (rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", "a web page: download the image itself"),
    )
)  # fmt: skip
_LOOKED_AT = 1024
# What curl -d makes of a JPEG. An intact one has zeros in lengths and behind names.
_JPEG_AS_TEXT = re.compile(rb"\xff\xd8\xff[^\0]{16,}\Z")


def is_image(data: bytes) -> bool:
    """Say whether bytes begin like an image in one of the formats that are read."""
    return _READ.match(data) is not None


def recognise(data: bytes) -> str | None:
    """Return what bytes are that could not be opened, and what to do; None if not known."""
    head = data[:_LOOKED_AT]
    return next((what for pattern, what in _OTHERS if pattern.match(head)), None)


def damage(data: bytes) -> str:
    """Return what is wrong with an image that begins like one, but cannot be decoded."""
    if _JPEG_AS_TEXT.match(data[:_LOOKED_AT]):
        return f"a JPEG whose zeros and line ends were left out: {_SENT} (--data-binary)"
    return "the image is damaged or truncated"

"""Names of files in forms, as clients write them."""

import pytest

from app.api.file_names import disposition_parameters, match

NFC, NFD = "caf\xe9.png", "cafe\u0301.png"


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ('filename="a b.png"', "a b.png"),
        ("filename=a.png", "a.png"),
        (f'filename="{NFC}"', NFC),
        ("filename*=UTF-8''caf%C3%A9.png", NFC),
        ("filename*=utf-8'en'caf%C3%A9.png", NFC),
        ("filename*=ISO-8859-1''caf%E9.png", NFC),
        ("filename=\"cafe.png\"; filename*=UTF-8''caf%C3%A9.png", NFC),
        ("filename*=UTF-8''caf%C3%A9.png; filename=\"cafe.png\"", NFC),
        ("filename*0*=UTF-8''caf%C3%A9; filename*1=.png", NFC),
        ("filename*=klingon''caf%C3%A9.png", NFC),
        ("filename*=UTF-8''caf%E9.png", NFC),
        ('filename="=?utf-8?B?Y2Fmw6kucG5n?="', NFC),
        ('filename="=?UTF-8?Q?caf=C3=A9=2Epng?="', NFC),
        ('filename="=?iso-8859-1?q?caf=E9?=.png"', NFC),
        ('filename="=?utf-8?B?*?="', "=?utf-8?B?*?="),
        ('filename="a\\\\b\\".png"', 'a\\b".png'),
        ('filename="C:\\dir\\new.png"', "C:\\dir\\new.png"),
        ('filename="a;b=c.png"', "a;b=c.png"),
        ("filename*=1''a; filename*0*=2''b", None),
        ("filename*" + "9" * 5000 + "=a", None),
    ],
)
def test_the_name_of_a_file(parameter: str, name: str | None) -> None:
    parameters = disposition_parameters(f'form-data; name="files"; {parameter}'.encode())
    assert parameters == ({} if name is None else {"name": "files", "filename": name})


def test_bytes_that_are_not_utf8_are_cp1252() -> None:
    header = b'form-data; name="files"; filename="caf\xe9 \x80.png"'
    assert disposition_parameters(header)["filename"] == "caf\xe9 \u20ac.png"


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        (NFC, NFC),
        (NFC, NFD),
        (NFD, NFC),
        (NFC, "caf%C3%A9.png"),
        ("caf%C3%A9.png", NFC),
        ("caf%C3%A9.png", NFD),
        ('a"b.png', "a%22b.png"),
        ("100%.png", "100%.png"),
        ("a+b.png", "a+b.png"),
        ("dir/a.png", "dir\\\\a.png"),
        ("dir/a.png", "./dir/a.png"),
        ("dir/a.png", "a.png"),
        ("a.png", "dir/sub/a.png"),
        ("a.png", "C:\\fakepath\\a.png"),
        ("C:\\me\\a.png", "a.png"),
    ],
)
def test_names_that_match(key: str, sent: str) -> None:
    assert match([key, "other"], [sent, "another"]) == {sent: key}


@pytest.mark.parametrize(
    ("keys", "sent", "matched"),
    [
        # The file name alone could be both.
        (["a.png"], ["x/a.png", "y/a.png"], {}),
        (["x/a.png", "y/a.png"], ["a.png"], {}),
        # An equal name comes first.
        (["a.png"], ["a.png", "x/a.png"], {"a.png": "a.png"}),
        ([NFC], [NFD, NFC], {NFC: NFC}),
        ([NFC, NFD], [NFD, NFC], {NFC: NFC, NFD: NFD}),
        (["x/a.png", "a.png"], ["x\\a.png", "a.png"], {"x\\a.png": "x/a.png", "a.png": "a.png"}),
        (["a%20b.png"], ["a b.png", "a%20b.png"], {"a%20b.png": "a%20b.png"}),
        (["A.png"], ["a.png"], {}),
        ([], ["a.png"], {}),
    ],
)
def test_only_what_is_unambiguous_matches(
    keys: list[str], sent: list[str], matched: dict[str, str]
) -> None:
    assert match(keys, sent) == matched

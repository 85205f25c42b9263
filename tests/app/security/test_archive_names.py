"""Names in archives: encodings, declared or not, and backslashes."""

import codecs
import io
import os
import shutil
import struct
import subprocess
import tarfile
import unicodedata
import zipfile
import zlib
from pathlib import Path

import pytest

from app.security.archive_members import ArchiveLimits, MemberError, UnsafeArchiveError
from app.security.archive_names import ENCODINGS, NameEncoding, name_encoding
from app.security.archives import ArchiveKind, members

LIMITS = ArchiveLimits(members=100, member_bytes=10_000)


def unicode_path(name: bytes, checked: bytes, version: int = 1) -> bytes:
    """The extra field 0x7075 with a name, checked against the name it stands for."""
    data = struct.pack("<BL", version, zlib.crc32(checked)) + name
    return struct.pack("<HH", 0x7075, len(data)) + data


def zip_of(*files: tuple[bytes, bytes]) -> bytes:
    """A zip of (name, extra fields), without the flag for UTF-8."""
    packed, directory = b"", b""
    for name, extra in files:
        offset, data = len(packed), b"x"
        crc = zlib.crc32(data)
        sizes = struct.pack("<LLLHH", crc, len(data), len(data), len(name), len(extra))
        head = struct.pack("<HHHHH", 20, 0, 0, 0, 33)
        packed += b"PK\3\4" + head + sizes + name + extra + data
        rest = struct.pack("<HHHLL", 0, 0, 0, 0, offset)
        directory += b"PK\1\2" + struct.pack("<H", 20) + head + sizes + rest + name + extra
    sizes = struct.pack("<HHHHLLH", 0, 0, len(files), len(files), len(directory), len(packed), 0)
    return packed + directory + b"PK\5\6" + sizes


def tar_of(*names: bytes, form: int = tarfile.GNU_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form, errors="surrogateescape") as archive:
        for name in names:
            info = tarfile.TarInfo(os.fsdecode(name))
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    return packed.getvalue()


def names(
    data: bytes, kind: ArchiveKind = "zip", encoding: NameEncoding | None = None
) -> list[str]:
    """The members, each with why it is rejected."""
    result = []
    for member in members(io.BytesIO(data), kind, LIMITS, encoding):
        try:
            assert member.read() == b"x"
            result.append(member.name)
        except MemberError as error:
            result.append(f"{member.name}: {error}")
    return result


@pytest.mark.parametrize("name", ["café/1.png", "cafe\u0301/1.png", "日本/Ω.png", "r\xe9d/ü.png"])
def test_utf8_without_the_flag(name: str) -> None:
    assert names(zip_of((name.encode(), b""))) == [name]


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.skipif(shutil.which("zip") is None, reason="needs Info-ZIP")
def test_a_zip_of_info_zip(tmp_path: Path, locale: str) -> None:
    for name in ("café", "日本"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"x")
    environment = os.environ | {"LC_ALL": locale}
    subprocess.run(["zip", "-qr", "a.zip", "."], cwd=tmp_path, env=environment, check=True)
    packed = (tmp_path / "a.zip").read_bytes()
    assert sorted(names(packed)) == ["café/1.png", "日本/1.png"]


def test_a_name_that_is_not_utf8_is_cp437() -> None:
    assert names(zip_of(("café/1.png".encode("cp437"), b""))) == ["café/1.png"]


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("cp932", "表示/能ソ.png"),  # their second bytes are backslashes
        ("cp932", "ﾃｱ/1.png"),  # also valid UTF-8
        ("cp1252", "café/1.png"),
        ("cp866", "стоп/1.png"),
        ("cp936", "停/1.png"),
        ("cp949", "정지/1.png"),
        ("gb18030", "停/1.png"),
    ],
)
def test_an_encoding_that_the_client_names(encoding: NameEncoding, name: str) -> None:
    raw = name.encode(encoding)
    assert names(zip_of((raw, b"")), encoding=encoding) == [name]
    assert names(tar_of(raw), "tar", encoding) == [name]


def test_declared_names_need_no_encoding() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("日本/1.png", b"x")
    assert names(packed.getvalue(), encoding="cp932") == ["日本/1.png"]
    declared = tar_of("日本/1.png".encode(), form=tarfile.PAX_FORMAT)
    assert names(declared, "tar", "cp932") == ["日本/1.png"]
    raw = b"tomare/1.png"
    field = unicode_path("止まれ/1.png".encode(), raw)
    assert names(zip_of((raw, field)), encoding="cp932") == ["止まれ/1.png"]


def test_a_name_that_is_not_in_the_named_encoding_is_rejected_alone() -> None:
    packed = zip_of((b"a/1.png", b""), (b"\x81/2.png", b""))
    assert names(packed, encoding="cp932") == ["a/1.png", "ü/2.png: its name is not cp932"]
    packed = tar_of(b"a/1.png", b"\x81/2.png")
    assert names(packed, "tar", "cp932") == ["a/1.png", "\\x81/2.png: its name is not cp932"]


def test_the_unicode_path_field() -> None:
    raw = "café/1.png".encode("cp850")
    other = struct.pack("<HHB", 0x9999, 1, 0)
    right = unicode_path("kafé/1.png".encode(), raw)
    assert names(zip_of((raw, right))) == ["kafé/1.png"]
    assert names(zip_of((raw, other + right))) == ["kafé/1.png"]


@pytest.mark.parametrize(
    "field",
    [
        unicode_path("kafé/1.png".encode(), b"another name"),
        unicode_path("kafé/1.png".encode(), b"cafe/1.png", version=2),
        unicode_path(b"", b"cafe/1.png"),
        struct.pack("<HHB", 0x7075, 1, 1),
    ],
    ids=["checksum", "version", "empty", "short"],
)
def test_a_unicode_path_field_of_another_name_is_passed_over(field: bytes) -> None:
    assert names(zip_of((b"cafe/1.png", field))) == ["cafe/1.png"]


@pytest.mark.parametrize("name", ["../1.png", "..\\1.png", "C:\\1.png", "/1.png", "a\0/1.png"])
def test_a_unicode_path_field_cannot_lead_outside(name: str) -> None:
    with pytest.raises(UnsafeArchiveError):
        names(zip_of((b"a/1.png", unicode_path(name.encode(), b"a/1.png"))))


@pytest.mark.parametrize(
    ("said", "encoding"),
    [
        ("latin-1", "latin_1"),
        ("ISO-8859-1", "latin_1"),
        ("iso8859-15", "iso8859_15"),
        ("windows-1251", "cp1251"),
        ("Shift_JIS", "shift_jis"),
        ("sjis", "shift_jis"),
        ("cp936", "gbk"),
        ("KOI8-R", "koi8_r"),
        ("EUC-KR", "euc_kr"),
        ("macintosh", "mac_roman"),
        ("UTF-8", "utf_8"),
        *((encoding, encoding) for encoding in ENCODINGS),
    ],
)
def test_encodings_are_known_by_their_usual_names(said: str, encoding: str) -> None:
    assert name_encoding(said) == encoding
    assert codecs.lookup(said).name == codecs.lookup(encoding).name


@pytest.mark.parametrize(
    "said",
    ["utf-16", "utf-7", "utf-8-sig", "rot13", "base64", "cp037", "iso2022_jp", "hz", "klingon",
     "shift_jis_2004", "idna", "mbcs", "", "..", "é", "a\0", "x" * 10_000],
)  # fmt: skip
def test_what_no_name_is_in_is_refused_with_examples(said: str) -> None:
    with pytest.raises(ValueError, match=r"utf-8, cp850 or latin-1 .*shift_jis"):
        name_encoding(said)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("latin_1", "café/1.png"),
        ("iso8859_2", "żółw/1.png"),
        ("koi8_r", "стоп/1.png"),
        ("mac_roman", "café/1.png"),
        ("shift_jis", "表示/能ソ.png"),
        ("big5", "功能/1.png"),  # the second byte of the first is a backslash
        ("euc_kr", "정지/1.png"),
    ],
)
def test_a_name_in_each_kind_of_encoding(encoding: NameEncoding, name: str) -> None:
    assert names(zip_of((name.encode(encoding), b"")), encoding=encoding) == [name]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_encoding_leads_outside(encoding: NameEncoding) -> None:
    for raw in (b"../1.png", b"..\\1.png", b"a\\..\\..\\1.png"):
        with pytest.raises(UnsafeArchiveError):
            names(zip_of((raw, b"")), encoding=encoding)
        with pytest.raises(UnsafeArchiveError):
            names(tar_of(raw), "tar", encoding)


def test_backslashes_of_a_zip_are_separators() -> None:
    packed = zip_of((b"signs\\stop\\", b""), (b"signs\\stop\\1.png", b""), (b"go/a\\2.png", b""))
    assert names(packed) == ["signs/stop/1.png", "go/a/2.png"]


def test_a_name_with_both_separators_is_the_same_name() -> None:
    packed = zip_of((b"a\\1.png", b""), (b"a/1.png", b""))
    assert names(packed) == ["a/1.png", "a/1.png: another member has the same name"]


def test_a_backslash_in_a_tar_is_rejected_alone() -> None:
    packed = tar_of(b"AC\\DC/1.png", b"stop/1.png")
    assert names(packed, "tar") == [
        "AC\\DC/1.png: its name has a backslash; rename it",
        "stop/1.png",
    ]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_a_tar_that_are_not_utf8_stay_apart(form: int) -> None:
    raw = [
        b"r\xe9d/1.png",
        b"r\xead/1.png",
        b"stop/" + b"\xe9" * 90 + b".png",
        "été/1.png".encode(),
    ]
    assert names(tar_of(*raw, form=form), "tar") == [
        "r\\xe9d/1.png: its name is not UTF-8",
        "r\\xead/1.png: its name is not UTF-8",
        "stop/" + "\\xe9" * 90 + ".png: its name is not UTF-8",
        "été/1.png",
    ]


def test_a_zip_and_a_tar_name_one_class() -> None:
    name = unicodedata.normalize("NFD", "café/1.png")
    assert names(zip_of((name.encode(), b""))) == names(tar_of(name.encode()), "tar") == [name]

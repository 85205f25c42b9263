"""Archives: read member by member, hostile ones refused."""

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from app.errors import ServiceError
from app.security.archive_members import (
    ArchiveLimits,
    MemberError,
    UnreadableArchiveError,
    UnsafeArchiveError,
)
from app.security.archives import ArchiveKind, members

LIMITS = ArchiveLimits(members=100, member_bytes=10_000, ratio=10, free_bytes=100_000)
KINDS: tuple[ArchiveKind, ...] = ("zip", "tar", "tar.gz")

Pack = Callable[[list[tuple[str, bytes]]], bytes]


def pack(kind: ArchiveKind, files: list[tuple[str, bytes]]) -> bytes:
    """An archive of the files, in their order."""
    packed = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files:
                archive.writestr(name, data)
    else:
        with tarfile.open(fileobj=packed, mode="w:gz" if kind == "tar.gz" else "w") as archive:
            for name, data in files:
                archive.addfile(entry(name, len(data)), io.BytesIO(data))
    return packed.getvalue()


def entry(
    name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


def tar_of(*entries: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for info in entries:
            archive.addfile(info, io.BytesIO(bytes(max(0, info.size))))
    return packed.getvalue()


def unpack(
    data: bytes, kind: ArchiveKind, limits: ArchiveLimits = LIMITS
) -> list[tuple[str, bytes | str]]:
    """Every member with its bytes, or with why it is not read."""
    result: list[tuple[str, bytes | str]] = []
    for member in members(io.BytesIO(data), kind, limits):
        try:
            result.append((member.name, member.read()))
        except MemberError as error:
            result.append((member.name, str(error)))
    return result


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> ArchiveKind:
    result: ArchiveKind = request.param
    return result


def test_members_come_in_order(kind: ArchiveKind) -> None:
    files = [
        ("b/2.png", b"two"),
        ("a/1.png", b"one"),
        ("a/x y ü.png", b""),
        ("c/日本.png", b"3" * 512),
    ]
    packed = pack(kind, files)
    assert unpack(packed, kind) == files


def test_an_archive_is_read_twice_from_one_file(kind: ArchiveKind) -> None:
    file = io.BytesIO(pack(kind, [("a/1.png", b"one"), ("a/2.png", b"two")]))
    first = [member.name for member in members(file, kind, LIMITS)]
    assert (
        [member.name for member in members(file, kind, LIMITS)] == first == ["a/1.png", "a/2.png"]
    )


def test_an_empty_archive_has_no_members(kind: ArchiveKind) -> None:
    assert unpack(pack(kind, []), kind) == []


def test_junk_of_desktops_is_passed_over(kind: ArchiveKind) -> None:
    junk = ["__MACOSX/a/._1.png", "a/.DS_Store", ".hidden/a.png", "a/Thumbs.db", "desktop.ini"]
    junk += ["a/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", "a/thumbs.db", "a/Icon\r", "#recycle/a/2.png"]
    packed = pack(kind, [(name, b"x") for name in [*junk, "a/1.png"]])
    assert unpack(packed, kind) == [("a/1.png", b"x")]


@pytest.mark.parametrize(
    "name",
    [
        *("../a.png", "a/../../b.png", "/etc/passwd", "C:/a.png", "..", ".hidden/../x"),
        *(
            "..\\a.png",
            "a\\..\\..\\b.png",
            "C:\\a.png",
            "\\a.png",
            "\\\\host\\a.png",
            "a\\..",
            "a/..\\b",
        ),
    ],
)
def test_names_that_lead_outside_refuse_the_archive(kind: ArchiveKind, name: str) -> None:
    packed = pack(kind, [("a/1.png", b"x"), (name, b"x")])
    with pytest.raises(UnsafeArchiveError) as caught:
        unpack(packed, kind)
    assert repr(name) in caught.value.detail


def test_a_nul_in_a_zip_name_refuses_the_archive() -> None:
    packed = pack("zip", [("a/1.png#.txt", b"x")]).replace(b"png#", b"png\0")
    with pytest.raises(UnsafeArchiveError):
        unpack(packed, "zip")


def test_a_zip_is_refused_before_its_first_member_is_seen() -> None:
    packed = pack("zip", [("a/1.png", b"x"), ("../b.png", b"x")])
    with pytest.raises(UnsafeArchiveError):
        next(members(io.BytesIO(packed), "zip", LIMITS))


def test_duplicate_names_are_rejected_after_the_first(kind: ArchiveKind) -> None:
    with pytest.warns(UserWarning) if kind == "zip" else _nothing():
        packed = pack(
            kind, [("a/1.png", b"x"), ("a/./1.png", b"y"), ("a//1.png", b"z"), ("a/1.png", b"")]
        )
    read = unpack(packed, kind)
    assert read[0] == ("a/1.png", b"x")
    assert [why for _, why in read[1:]] == ["another member has the same name"] * 3


class _nothing:  # noqa: N801 - reads as the context manager it is
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("name", ["a/b.zip", "a/b.tar", "a/b.tar.gz", "a/b.TGZ", "a/b.7z"])
def test_nested_archives_are_rejected(kind: ArchiveKind, name: str) -> None:
    assert unpack(pack(kind, [(name, b"x")]), kind) == [(name, "an archive within the archive")]


@pytest.mark.parametrize(
    "type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_rejected(type_: bytes) -> None:
    packed = tar_of(entry("a/1.png", 5), entry("a/2.png", kind=type_, link="/etc/passwd"))
    (_, data), (_, why) = unpack(packed, "tar")
    assert data == bytes(5)
    assert "link" in str(why)


def test_links_in_a_zip_are_rejected() -> None:
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = 0o120777 << 16
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "link" in str(unpack(packed.getvalue(), "zip")[0][1])


def test_encrypted_and_oddly_compressed_zip_members_are_rejected() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a/1.png", b"x" * 100)
    assert "deflate" in str(unpack(packed.getvalue(), "zip")[0][1])
    encrypted = bytearray(pack("zip", [("a/1.png", b"x")]))
    for header, flags_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.find(header) + flags_at] |= 1
    assert unpack(bytes(encrypted), "zip") == [("a/1.png", "encrypted: pack it without a password")]


def test_only_the_damaged_zip_member_is_rejected() -> None:
    packed = bytearray(pack("zip", [("a/1.png", b"some bytes"), ("a/2.png", b"x")]))
    packed[30 + len("a/1.png") + 3] ^= 0xFF
    assert unpack(bytes(packed), "zip") == [
        ("a/1.png", "damaged in the archive: pack it again"),
        ("a/2.png", b"x"),
    ]


def test_members_over_the_limit_are_rejected(kind: ArchiveKind) -> None:
    packed = pack(kind, [("a/1.png", bytes(10_001)), ("a/2.png", bytes(10_000))])
    first, second = unpack(packed, kind)
    assert first == ("a/1.png", "larger than 10000 bytes")
    assert second == ("a/2.png", bytes(10_000))


def test_a_zip_member_that_lies_about_its_size_is_not_believed() -> None:
    packed = bytearray(pack("zip", [("a/1.png", bytes(50_000))]))
    for header, size_at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = packed.find(header) + size_at
        packed[at : at + 4] = struct.pack("<I", 9)
    assert unpack(bytes(packed), "zip") == [("a/1.png", "damaged in the archive: pack it again")]


def test_ratio_bombs_are_refused() -> None:
    files = [(f"a/{number}.png", bytes(10_000)) for number in range(50)]
    for kind in ("zip", "tar.gz"):
        with pytest.raises(UnsafeArchiveError, match="inflates"):
            unpack(pack(kind, files), kind)


def test_the_inflated_bytes_of_skipped_members_count_too() -> None:
    packed = pack("tar.gz", [("a/1.png", bytes(10**6))])
    with pytest.raises(UnsafeArchiveError, match="inflates"):
        list(members(io.BytesIO(packed), "tar.gz", LIMITS))


def test_count_bombs_are_refused(kind: ArchiveKind) -> None:
    packed = pack(kind, [(f"a/{number}", b"") for number in range(101)])
    with pytest.raises(UnsafeArchiveError, match="members"):
        unpack(packed, kind)


def test_a_huge_zip_directory_is_refused_before_it_is_read() -> None:
    packed = pack("zip", [(f"a/{'x' * 900}{number}", b"") for number in range(90)])
    with pytest.raises(UnsafeArchiveError, match="directory"):
        unpack(packed, "zip")


def test_overlapping_zip_members_are_refused() -> None:
    packed = bytearray(pack("zip", [("a/1.png", bytes(900)), ("a/2.png", bytes(900))]))
    second = packed.rfind(b"PK\x01\x02")
    packed[second + 42 : second + 46] = struct.pack("<I", 0)  # both at the offset of the first
    with pytest.raises(UnsafeArchiveError, match="overlap"):
        unpack(bytes(packed), "zip")


def test_a_64_bit_zip_is_read() -> None:
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w") as archive,
        archive.open("a/1.png", "w", force_zip64=True) as file,
    ):
        file.write(b"x")
    assert unpack(packed.getvalue(), "zip") == [("a/1.png", b"x")]


def test_a_tar_header_that_asks_for_gigabytes_is_refused() -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**33
    packed = header.tobuf(tarfile.GNU_FORMAT) + bytes(2048)
    with pytest.raises(UnsafeArchiveError, match="too much"):
        unpack(packed, "tar")


def test_a_tar_that_points_backwards_ends() -> None:
    header = entry("a/1.png")
    header.size = -1024
    packed = header.tobuf(tarfile.GNU_FORMAT) + bytes(2048)
    with pytest.raises(UnreadableArchiveError):
        unpack(packed, "tar")


def test_sparse_members_are_rejected() -> None:
    header = entry("a/1.png", kind=tarfile.GNUTYPE_SPARSE)
    packed = header.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    assert "sparse" in str(unpack(packed, "tar")[0][1])


@pytest.mark.parametrize("data", [b"", b"no archive at all", bytes(600), b"\x1f\x8b\x08\x00 no"])
def test_what_is_no_archive_is_unreadable(kind: ArchiveKind, data: bytes) -> None:
    if kind == "tar" and data == bytes(600):
        pytest.skip("zeros are an empty tar")
    with pytest.raises(UnreadableArchiveError):
        unpack(data, kind)


def test_truncated_archives_are_unreadable(kind: ArchiveKind) -> None:
    packed = pack(kind, [("a/1.png", bytes(range(256)) * 20), ("a/2.png", bytes(range(255)) * 20)])
    with pytest.raises(UnreadableArchiveError):
        unpack(packed[: len(packed) // 2], kind)


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_tar_that_is_cut_between_two_members_is_unreadable(*, gzipped: bool) -> None:
    packed = pack("tar", [("a/1.png", b"x"), ("a/2.png", b"x")])[:1024]
    data, kind = (gzip.compress(packed), "tar.gz") if gzipped else (packed, "tar")
    with pytest.raises(UnreadableArchiveError, match="cut off"):
        unpack(data, kind)


def test_archives_that_were_joined_are_refused(kind: ArchiveKind) -> None:
    first, second = pack(kind, [("a/1.png", b"x")]), pack(kind, [("b/2.png", b"x")])
    with pytest.raises(UnreadableArchiveError, match="another one"):
        unpack(first + second, kind)


def test_zeros_behind_a_tar_and_other_bytes_behind_a_zip_are_harmless() -> None:
    assert len(unpack(pack("tar", [("a/1.png", b"x")]) + bytes(10_240), "tar")) == 1
    assert len(unpack(pack("zip", [("a/1.png", b"x")]) + b"comment", "zip")) == 1


def test_garbage_between_tar_members_is_unreadable() -> None:
    one = tar_of(entry("a/1.png", 5))[:1024]
    with pytest.raises(UnreadableArchiveError):
        unpack(one + b"garbage!" * 64 + one + bytes(1024), "tar")


def test_a_flipped_byte_in_gzip_is_noticed() -> None:
    packed = bytearray(pack("tar.gz", [("a/1.png", bytes(range(256)) * 20)]))
    packed[-6] ^= 1  # the checksum
    with pytest.raises(UnreadableArchiveError):
        unpack(bytes(packed), "tar.gz")


SEEDS = {
    kind: pack(kind, [("a/1.png", b"abc" * 300), ("a/2.png", b"x"), ("b/3.png", b"")])
    for kind in KINDS
}
SEEDS["tar"] += tar_of(entry("a/" + "long" * 80, 3), form=tarfile.GNU_FORMAT)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    cut=st.floats(0.0, 1.0),
)
def test_damaged_archives_end_in_a_problem_or_in_members(
    kind: ArchiveKind, changes: list[tuple[float, int]], cut: float
) -> None:
    seed = SEEDS[kind]
    damaged = bytearray(seed if cut < 0.7 else seed[: int(len(seed) * cut)])
    for position, value in changes:
        damaged[int(position * len(damaged))] = value
    try:
        for name, data in unpack(bytes(damaged), kind):
            assert ".." not in name.split("/")
            assert not name.startswith("/")
            assert isinstance(data, str) or len(data) <= LIMITS.member_bytes
    except ServiceError as error:
        assert error.status == 422

"""S3 only: multipart uploads, credentials, servers that are unreachable, silent or empty."""

import hashlib
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from app.storage import BlobCorruptError, BlobStore, is_full, open_store, s3, s3_parts
from tests.s3 import BUCKET, S3Server

LARGE = os.urandom(17 * 2**20)


@pytest.fixture
def blobs(s3_url: str) -> BlobStore:
    return open_store(s3_url)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server for one test, which may stop it."""
    server = S3Server(tmp_path)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield server
    server.stop()


def requests(server: S3Server, url: str) -> list[str]:
    """The requests for one prefix: their methods, and the query parameters that differ."""
    told = []
    for line in server.requests():
        method, target, _ = line.split()
        path, _, query = target.partition("?")
        if url.removeprefix("s3:/") in path:
            told.append(f"{method} {query.partition('=')[0]}".strip())
    return told


def test_a_small_blob_is_one_request(blobs: BlobStore, s3_server: S3Server, s3_url: str) -> None:
    blobs.put(b"x")
    blobs.put(b"x")
    assert requests(s3_server, s3_url) == ["PUT", "PUT"]


def test_a_large_blob_goes_in_parts_and_only_once(
    blobs: BlobStore, s3_server: S3Server, s3_url: str
) -> None:
    sha256 = blobs.put(LARGE)
    sent = requests(s3_server, s3_url)
    assert sent == ["HEAD", "POST uploads", *["PUT uploadId"] * 2, "POST uploadId"]
    for _ in range(2):  # a copy is in one part, and is known as well
        blobs.put(LARGE)
        again = requests(s3_server, s3_url)[len(sent) :]
        assert again == ["HEAD", "PUT"]
        sent += again
    assert blobs.get(sha256) == LARGE


def test_a_put_that_fails_half_way_leaves_nothing(
    blobs: BlobStore, s3_server: S3Server, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_parts, "PART_BYTES", 2**20)  # refused, but only after all were sent
    with pytest.raises(OSError, match="EntityTooSmall"):
        blobs.put(LARGE)
    assert requests(s3_server, s3_url)[-2:] == ["POST uploadId", "DELETE uploadId"]
    assert list(blobs.stored()) == []
    assert blobs.remove_unfinished(datetime.now(UTC) + timedelta(hours=1)) == 0


def test_uploads_that_never_ended_are_aborted(
    blobs: BlobStore, s3_server: S3Server, s3_url: str
) -> None:
    prefix = s3_url.removeprefix(f"s3://{BUCKET}/")
    for key in (f"{prefix}/ab/cd/one", f"{prefix}/ab/cd/two", "another storage's"):
        s3_server.client.create_multipart_upload(Bucket=BUCKET, Key=key)
    # This server says of all uploads that they were begun in 2010.
    assert blobs.remove_unfinished(datetime(2009, 1, 1, tzinfo=UTC)) == 0
    later = datetime.now(UTC)
    assert blobs.remove_unfinished(later, dry_run=True) == 2
    assert blobs.remove_unfinished(later) == 2
    assert blobs.remove_unfinished(later) == 0


@contextmanager
def answering(status: int, *bodies: bytes, **headers: str) -> Iterator[str]:
    """The address of a server that answers with these bodies in turn, then repeats the last."""
    left = list(bodies)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_PUT = do_GET  # noqa: N815 - the library looks for those names

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def refusing(status: int, code: str, **headers: str) -> AbstractContextManager[str]:
    """The address of a server that answers every request with one error."""
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return answering(status, body, **headers)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "RequestTimeTooSkewed", "clock.*: set both by NTP"),
        (403, "InvalidObjectState", "InvalidObjectState"),
        (301, "PermanentRedirect", r"in the region eu-west-1 \(.*: set AWS_REGION"),
        (400, "AuthorizationHeaderMalformed", r"in the region eu-west-1 \(.*: set AWS_REGION"),
    ],
)
def test_what_no_key_helps_is_not_said_of_the_key(
    s3_url: str, monkeypatch: pytest.MonkeyPatch, status: int, code: str, said: str
) -> None:
    with refusing(status, code, x_amz_bucket_region="eu-west-1") as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        with pytest.raises(OSError, match=said) as caught:
            open_store(s3_url).get("0" * 64)
    assert not isinstance(caught.value, PermissionError)
    assert "AWS_ACCESS_KEY_ID" not in str(caught.value)


def test_a_gateway_that_has_lost_its_server_says_nothing_of_the_object(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(404, b"<html>no such backend</html>") as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        blobs = open_store(s3_url)
        for call in (lambda: blobs.get("0" * 64), lambda: blobs.read_document("a.json")):
            with pytest.raises(OSError, match="404"):
                call()


def test_a_bucket_on_this_machine_is_not_asked_through_a_proxy(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(503, b"no route") as proxy, answering(200, b"some bytes") as endpoint:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        sha256 = hashlib.sha256(b"some bytes").hexdigest()
        assert open_store(s3_url).get(sha256) == b"some bytes"
        # A bucket elsewhere is: only the proxy answers.
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://bucket.example")
        with pytest.raises(OSError, match="503"):
            open_store(s3_url).get(sha256)


def test_bytes_damaged_on_their_way_are_fetched_again(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = hashlib.sha256(b"some bytes").hexdigest()
    with answering(200, b"some bytez", b"some bytes") as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        assert open_store(s3_url).get(sha256) == b"some bytes"
    with answering(200, b"some bytez") as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        with pytest.raises(BlobCorruptError):
            open_store(s3_url).get(sha256)


def test_a_server_that_cannot_list_unfinished_uploads(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing(501, "NotImplemented") as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        blobs = open_store(s3_url)
        assert blobs.remove_unfinished(datetime.now(UTC)) == 0
        with pytest.raises(OSError, match="NotImplemented"):
            list(blobs.stored())


@pytest.mark.parametrize(
    ("status", "code"), [(403, "QuotaExceeded"), (507, "XMinioStorageFull"), (507, "Whatever")]
)
def test_a_quota_that_is_used_up_is_a_full_storage(
    s3_url: str, monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    monkeypatch.setattr(s3, "_ATTEMPTS", 1)
    with refusing(status, code) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        with pytest.raises(OSError, match=f"is full.*{code}") as caught:
            open_store(s3_url).put(b"x")
        assert is_full(caught.value)


def test_pages_are_followed(
    blobs: BlobStore, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = sorted(blobs.put(bytes([number])) for number in range(25))
    client = blobs._client  # type: ignore[attr-defined]
    whole = client.get_paginator

    class Short:
        def __init__(self, name: str) -> None:
            self._pages = whole(name)

        def paginate(self, **given: str) -> Iterator[dict[str, object]]:
            return iter(self._pages.paginate(**given, PaginationConfig={"PageSize": 10}))

    monkeypatch.setattr(client, "get_paginator", Short)
    before = len(s3_server.requests())
    assert [blob.sha256 for blob in blobs.stored()] == hashes
    assert len(s3_server.requests()) - before == 3


def test_storages_of_one_bucket_do_not_see_each_other(blobs: BlobStore, s3_url: str) -> None:
    other = open_store(f"{s3_url}/inside/")
    sha256 = other.put(b"x")
    other.write_document("d.json", b"{}")
    assert not blobs.exists(sha256)
    assert list(blobs.stored()) == []
    assert blobs.documents("") == []
    assert [blob.sha256 for blob in other.stored()] == [sha256]


def test_a_folder_copied_into_a_bucket_is_a_storage(
    blobs: BlobStore, s3_server: S3Server, s3_url: str, tmp_path: Path
) -> None:
    folder = open_store(str(tmp_path / "blobs"))
    put = {folder.put(bytes([number])) for number in range(3)}
    folder.write_document("a/b.json", b"{}")
    prefix = s3_url.removeprefix(f"s3://{BUCKET}/")
    for path in (tmp_path / "blobs").rglob("*"):
        if path.is_file():
            key = f"{prefix}/{path.relative_to(tmp_path / 'blobs')}"
            s3_server.client.upload_file(str(path), BUCKET, key)
    assert {blob.sha256 for blob in blobs.stored()} == put
    assert blobs.documents("a/") == ["a/b.json"]


def test_a_link_gives_the_bytes_with_their_type(blobs: BlobStore) -> None:
    sha256 = blobs.put(b"an image")
    link = blobs.link(sha256, "image/png", 60)
    assert link is not None
    assert "X-Amz-Expires=60" in link
    answer = httpx.get(link)
    assert (answer.content, answer.headers["Content-Type"]) == (b"an image", "image/png")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, "eu-west-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
    ],
)
def test_the_region_of_the_environment_is_signed_for(
    s3_url: str, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: str
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    link = open_store(s3_url).link("0" * 64, "image/png", 60)
    assert link is not None
    assert f"%2F{expected}%2Fs3%2F" in link


def test_a_server_that_is_away_and_comes_back(server: S3Server) -> None:
    blobs = open_store(f"s3://{BUCKET}")
    sha256 = blobs.put(b"x")
    server.stop()
    for call in (
        blobs.check,
        lambda: blobs.put(b"y"),
        lambda: blobs.get(sha256),
        lambda: blobs.exists(sha256),
        lambda: list(blobs.stored()),
        lambda: blobs.documents("a/"),
    ):
        with pytest.raises(OSError, match="not there") as caught:
            call()
        assert not is_full(caught.value)
    server.start()
    # Its objects were in its memory alone, the bucket as well: that is another error, not a miss.
    with pytest.raises(OSError, match=f"no bucket {BUCKET}"):
        blobs.get(sha256)
    server.client.create_bucket(Bucket=BUCKET)
    assert not blobs.exists(sha256)
    assert blobs.get(blobs.put(b"x")) == b"x"


@pytest.mark.slow
def test_a_server_that_says_nothing(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = open_store(f"s3://{BUCKET}")
    sha256 = patient.put(b"x")
    for name, value in (("_READ_SECONDS", 1), ("_PROBE_SECONDS", 1), ("_ATTEMPTS", 2)):
        monkeypatch.setattr(s3, name, value)
    blobs = open_store(f"s3://{BUCKET}")
    with server.silent():
        for call in (blobs.check, lambda: blobs.put(b"y"), lambda: blobs.get(sha256)):
            with pytest.raises(TimeoutError, match="does not answer"):
                call()
    assert patient.get(sha256) == b"x"


def test_a_bucket_that_is_not_there(s3_url: str) -> None:
    blobs = open_store(f"s3://{secrets.token_hex(8)}")
    with pytest.raises(OSError, match=r"no bucket .*: make it"):
        blobs.check()


def test_no_credentials(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(PermissionError, match="no credentials: set AWS_ACCESS_KEY_ID"):
        open_store(s3_url).check()


def test_an_endpoint_that_is_no_url(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "minio:9000")
    with pytest.raises(OSError, match="Invalid endpoint"):
        open_store(s3_url).check()

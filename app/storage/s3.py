"""Blobs in a bucket of S3, or of any store with its protocol.

Endpoint, region and credentials come from the standard AWS environment. Callers rely on the strong
consistency of S3: a get, HEAD or listing that begins after a put or delete was answered sees its
effect. So a process that has locked a blob's row learns from `exists` what the previous holder of
the lock left behind.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from app.security.addresses import is_this_machine
from app.storage import names, s3_parts
from app.storage.base import BlobCorruptError, BlobMissingError, StoredBlob
from app.storage.s3_errors import as_os_errors, code_of, is_missing

# A training process that is silent for a minute is stopped, so three attempts must fail in less.
_CONNECT_SECONDS = 5
_READ_SECONDS = 15
_ATTEMPTS = 3
# Bytes with a wrong hash may have been damaged in transit; if twice, they are so in the bucket.
_READINGS = 2
# `check` is part of the health check, which waits for a few seconds only.
_PROBE_SECONDS = 3
# A small request waits some ten milliseconds for the network, and Python sends a thousand a second
# at most.
_PARALLEL = 16
# For all threads of an API process: several uploads, readers and parts at once.
_CONNECTIONS = 64
# The largest object that S3 copies in one request.
_COPIED_BYTES = 5 * 2**30
_PROBE = b"probe"


class S3BlobStore:
    """A `BlobStore` under ``s3://bucket/prefix``, with the same layout as a local folder."""

    parallel = _PARALLEL

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._bucket = parts.netloc
        folder = parts.path.strip("/")
        self._root = f"{folder}/" if folder else ""
        with self._errors():
            self._client = _make_client(_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS)

    def put(self, data: bytes) -> str:
        """Store the bytes durably and return their hash. A damaged blob is repaired.

        The server verifies the checksum. Small blobs are sent even if they exist: checking takes as
        long as sending.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        key = self._key(sha256)
        with self._errors():
            if len(data) <= s3_parts.PART_BYTES:
                self._put(key, data)
            elif not self._renewed(key, data):
                s3_parts.put(self._client, self._bucket, key, data)
        return sha256

    @contextmanager
    def bulk(self) -> Iterator[Callable[[bytes], str]]:
        """Give `put`: each blob is durable when the server has confirmed it."""
        yield self.put

    def get(self, sha256: str, *, verify: bool = True) -> bytes:
        """Return the bytes; raises BlobMissingError and BlobCorruptError."""
        for _ in range(_READINGS):
            data = self._read(self._key(sha256)) if names.is_hash(sha256) else None
            if data is None:
                raise BlobMissingError(sha256)
            if not verify or hashlib.sha256(data).hexdigest() == sha256:
                return data
        raise BlobCorruptError(sha256)

    def exists(self, sha256: str) -> bool:
        """Say whether the blob exists."""
        return self._head(sha256) is not None

    def put_at(self, sha256: str) -> datetime | None:
        """Return when the blob was last put, None where it does not exist."""
        head = self._head(sha256)
        return head["LastModified"] if head else None

    def delete(self, sha256: str) -> None:
        """Delete the blob; deleting a missing blob is not an error."""
        if names.is_hash(sha256):
            self._delete(self._key(sha256))

    def stored(self) -> Iterator[StoredBlob]:
        """List the blobs in the order of their hashes."""
        for item in self._list(self._root):
            sha256 = item["Key"].rpartition("/")[2]
            # The listing also has documents, and anything else that was put here.
            if names.is_hash(sha256) and item["Key"] == self._key(sha256):
                yield StoredBlob(sha256, item["Size"], item["LastModified"])

    def remove_unfinished(self, before: datetime, *, dry_run: bool = False) -> int:
        """Abort multipart uploads begun before a moment; return how many."""
        removed = 0
        pages = self._client.get_paginator("list_multipart_uploads")
        with self._errors():
            try:
                for page in pages.paginate(Bucket=self._bucket, Prefix=self._root):
                    for upload in page.get("Uploads", ()):
                        if upload["Initiated"] >= before:
                            continue
                        if not dry_run:
                            self._abort(upload["Key"], upload["UploadId"])
                        removed += 1
            except ClientError as error:
                # Some servers cannot list them, and abort them by themselves.
                if code_of(error) != "NotImplemented":
                    raise
        return removed

    def link(self, sha256: str, media_type: str, seconds: int) -> str:
        """Return a presigned URL that is valid for `seconds`; made without a request."""
        parameters = self._at(self._key(sha256)) | {"ResponseContentType": media_type}
        with self._errors():
            url: str = self._client.generate_presigned_url(
                "get_object", Params=parameters, ExpiresIn=seconds
            )
        return url

    def write_document(self, name: str, data: bytes) -> None:
        """Write a document durably and atomically."""
        key = self._root + names.path_of_document(name)
        with self._errors():
            self._put(key, data)

    def read_document(self, name: str) -> bytes | None:
        """Return a document, None where it does not exist."""
        return self._read(self._root + names.path_of_document(name))

    def remove_document(self, name: str) -> None:
        """Remove a document; removing a missing document is not an error."""
        self._delete(self._root + names.path_of_document(name))

    def documents(self, prefix: str) -> list[str]:
        """Return the names of the documents below a folder, sorted."""
        root = f"{self._root}{names.DOCUMENTS}/"
        return sorted(item["Key"].removeprefix(root) for item in self._list(root + prefix))

    def check(self) -> None:
        """Raise OSError when the bucket cannot be read from and written to."""
        # All processes write the same object, so that probes do not accumulate.
        target = self._at(f"{self._root}{names.INCOMING}/probe")
        with self._errors():
            self._prober.put_object(**target, Body=_PROBE)
            if self._prober.get_object(**target)["Body"].read() != _PROBE:
                what = f"an object put into {self._bucket} does not read back as it was written"
                raise OSError(errno.EIO, what)

    @cached_property
    def _prober(self) -> Any:
        return _make_client(_PROBE_SECONDS, _PROBE_SECONDS, attempts=1)

    def _errors(self) -> Any:
        return as_os_errors(self._bucket)

    def _key(self, sha256: str) -> str:
        return self._root + names.path_of(sha256)

    def _at(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": key}

    def _put(self, key: str, data: bytes) -> None:
        self._client.put_object(
            **self._at(key),
            Body=data,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=s3_parts.checksum(data),
        )

    def _read(self, key: str) -> bytes | None:
        attempts = _ATTEMPTS
        with self._errors():
            while True:
                try:
                    body = self._client.get_object(**self._at(key))["Body"]
                except ClientError as error:
                    if is_missing(error):
                        return None
                    raise
                attempts -= 1
                try:
                    data: bytes = body.read()
                except (ReadTimeoutError, IncompleteReadError, ResponseStreamingError):
                    # The client repeats only requests that fail before the body begins.
                    if not attempts:
                        raise
                else:
                    return data

    def _head(self, sha256: str) -> dict[str, Any] | None:
        if not names.is_hash(sha256):
            return None
        with self._errors():
            try:
                head: dict[str, Any] = self._client.head_object(
                    **self._at(self._key(sha256)), ChecksumMode="ENABLED"
                )
            except ClientError as error:
                if is_missing(error):
                    return None
                raise
        return head

    def _renewed(self, key: str, data: bytes) -> bool:
        """Renew the object's time by copying it onto itself; False where it is missing or damaged.

        It is intact if the checksum that the server verified on arrival, of one request or of our
        parts, is that of these bytes. Some servers store no checksum: the bytes are sent again.
        """
        if len(data) > _COPIED_BYTES:
            return False
        head = self._head(key.rpartition("/")[2])
        known = (head or {}).get("ChecksumSHA256", "").partition("-")[0]
        if head is None or known not in (
            s3_parts.checksum(data),
            s3_parts.checksum_of_parts(data),
        ):
            return False
        try:
            self._client.copy_object(
                **self._at(key),
                CopySource=self._at(key),
                CopySourceIfMatch=head["ETag"],
                MetadataDirective="REPLACE",  # a copy onto itself must change something
                ChecksumAlgorithm="SHA256",
            )
        except ClientError as error:
            if is_missing(error) or code_of(error) == "PreconditionFailed":
                return False  # deleted or replaced meanwhile
            raise
        return True

    def _delete(self, key: str) -> None:
        with self._errors():
            self._client.delete_object(**self._at(key))

    def _abort(self, key: str, upload_id: str) -> None:
        try:
            self._client.abort_multipart_upload(**self._at(key), UploadId=upload_id)
        except ClientError as error:
            if code_of(error) != "NoSuchUpload":  # finished or aborted meanwhile
                raise

    def _list(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2")
        with self._errors():
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                yield from page.get("Contents", ())


def _make_client(connect_seconds: int, read_seconds: int, attempts: int) -> Any:
    """Return a client, which threads may share. Make it after a fork, never before."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    config = Config(
        # None: those of the environment, which cannot reach a store on this machine.
        proxies={} if is_this_machine(urlsplit(endpoint).hostname or "") else None,
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=_CONNECTIONS,
        # Also for links: not every store accepts older signatures.
        signature_version="s3v4",
        # We send SHA-256 ourselves; older servers refuse the client's own checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    # boto3 itself reads only AWS_DEFAULT_REGION, unlike other AWS clients.
    region = os.environ.get("AWS_REGION") or None
    # Not the shared default session, which is not thread-safe.
    return boto3.session.Session(region_name=region).client("s3", config=config)

"""Multipart uploads: large objects are sent in parts, whose checksums the server verifies."""

import base64
import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

# Small enough that sending a lost part again costs little, large enough that a gigabyte takes some
# sixty requests. 10,000 parts, the limit of S3, are 160 GB.
PART_BYTES = 16 * 2**20
# More are not faster on usual networks, and each holds a copy of its part.
_PARTS_AT_ONCE = 4


def checksum(data: bytes) -> str:
    """Return the SHA-256 in S3's notation."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def checksum_of_parts(data: bytes) -> str:
    """Return the checksum that S3 computes for an object sent in our parts: the hash of hashes.

    The suffix with the number of parts is left out.
    """
    whole = hashlib.sha256()
    view = memoryview(data)
    for start in range(0, len(data), PART_BYTES):
        whole.update(hashlib.sha256(view[start : start + PART_BYTES]).digest())
    return base64.b64encode(whole.digest()).decode()


def put(client: Any, bucket: str, key: str, data: bytes) -> None:
    """Store an object in parts, atomically. Raises what the client raises."""
    target = {"Bucket": bucket, "Key": key}
    started = client.create_multipart_upload(**target, ChecksumAlgorithm="SHA256")
    target["UploadId"] = started["UploadId"]

    def send(number: int) -> dict[str, Any]:
        end = number * PART_BYTES
        part = data[end - PART_BYTES : end]
        sum_ = {"ChecksumSHA256": checksum(part)}
        sent = client.upload_part(
            **target, **sum_, PartNumber=number, Body=part, ChecksumAlgorithm="SHA256"
        )
        return {"PartNumber": number, "ETag": sent["ETag"], **sum_}

    try:
        with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
            sent = list(pool.map(send, range(1, -(-len(data) // PART_BYTES) + 1)))
        client.complete_multipart_upload(**target, MultipartUpload={"Parts": sent})
    except BaseException:
        # If the abort fails, `remove_unfinished` finds the parts later.
        with contextlib.suppress(BotoCoreError, ClientError):
            client.abort_multipart_upload(**target)
        raise

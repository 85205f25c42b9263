"""Large objects, sent in parts: several at once, each checked by the server when it arrives."""

import base64
import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

# Small enough that a part lost to the network costs little, large enough that a checkpoint of a
# gigabyte is some sixty requests. 10,000 parts, the most that S3 takes, are 160 GB.
PART_BYTES = 16 * 2**20
# More do not go faster on the lines that machines have, and each holds a copy of its part.
_PARTS_AT_ONCE = 4


def checksum(data: bytes) -> str:
    """Return the SHA-256 as S3 writes it."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def checksum_of_parts(data: bytes) -> str:
    """Return the checksum that S3 gives to an object sent in our parts: the hash of their hashes.

    Less the suffix with their number.
    """
    whole = hashlib.sha256()
    view = memoryview(data)
    for start in range(0, len(data), PART_BYTES):
        whole.update(hashlib.sha256(view[start : start + PART_BYTES]).digest())
    return base64.b64encode(whole.digest()).decode()


def put(client: Any, bucket: str, key: str, data: bytes) -> None:
    """Store an object in parts, whole or not at all. Raises what the client raises."""
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
        # What cannot be taken back now is found by `remove_unfinished`.
        with contextlib.suppress(BotoCoreError, ClientError):
            client.abort_multipart_upload(**target)
        raise

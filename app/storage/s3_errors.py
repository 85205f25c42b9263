"""Errors of an object store, converted to the errors that every blob store raises."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)

_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
_FULL = ("QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull")
_INSUFFICIENT_STORAGE = 507
_FORBIDDEN = 403
# Answers with the same status where other keys would not help: the object is archived, say.
_NO_KEY_HELPS = ("InvalidObjectState",)
_ELSEWHERE = ("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "301")


def code_of(error: ClientError) -> str:
    """Return the code of an answer, such as ``NoSuchKey``; a HEAD has only the status: ``404``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_missing(error: ClientError) -> bool:
    """Say whether the error means that the object does not exist.

    A bare status 404 means so only for HEAD. For other requests a proxy in front of the object
    store gave that answer, and nothing is known of the object.
    """
    if error.operation_name == "HeadObject":
        return code_of(error) in ("404", "NotFound")
    return code_of(error) == "NoSuchKey"


@contextmanager
def as_os_errors(bucket: str) -> Iterator[None]:
    """Convert errors inside the `with` block to OSError, with a text that says what to do."""
    try:
        yield
    except ClientError as error:
        raise _answered(error, bucket) from error
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise PermissionError(errno.EACCES, f"there are no credentials: {_KEYS}") from error
    except (ConnectTimeoutError, ReadTimeoutError) as error:
        raise TimeoutError(errno.ETIMEDOUT, f"the object store does not answer: {error}") from error
    except ConnectionError as error:
        raise OSError(errno.EHOSTUNREACH, f"the object store is not there: {error}") from error
    except (BotoCoreError, ValueError) as error:  # ValueError: the endpoint is not a URL
        raise OSError(errno.EIO, str(error)) from error


def _answered(error: ClientError, bucket: str) -> OSError:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    number, what = errno.EIO, str(error)
    if code == "NoSuchBucket":
        number = errno.ENOENT
        what = f"there is no bucket {bucket}: make it, or name another in ACCRUE_STORAGE"
    elif code in _FULL or status == _INSUFFICIENT_STORAGE:
        number, what = errno.ENOSPC, f"the object store is full ({code})"
    elif code == "RequestTimeTooSkewed":
        what = f"this machine's clock and the object store's differ ({code}): set both by NTP"
    elif code in _ELSEWHERE:
        what = f"bucket {bucket} is in {_region_of(error)} ({code}): set AWS_REGION"
    elif status == _FORBIDDEN and code not in _NO_KEY_HELPS:
        number = errno.EACCES
        what = f"access to bucket {bucket} is refused ({code}): {_KEYS}"
        what += f", with the policy of docs/object-storage.md: {error.operation_name} needs it"
    elif not code:  # a page of something that stands before the object store
        what = f"the object store is not there: {error.operation_name} was answered by a {status}"
    return OSError(number, what)  # OSError picks the subclass by the number


def _region_of(error: ClientError) -> str:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    named = headers.get("x-amz-bucket-region") or error.response.get("Error", {}).get("Region")
    return f"the region {named}" if named else "another region"

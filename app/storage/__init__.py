"""Content-addressed storage of images and tensors."""

from app.storage.base import BlobCorruptError, BlobMissingError, BlobStore, StoredBlob
from app.storage.local import LocalBlobStore

__all__ = [
    "BlobCorruptError",
    "BlobMissingError",
    "BlobStore",
    "LocalBlobStore",
    "StoredBlob",
    "open_store",
]


def open_store(url: str) -> BlobStore:
    """Open the store a setting names: a folder."""
    return LocalBlobStore(url)

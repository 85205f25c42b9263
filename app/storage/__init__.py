"""Content-addressed storage of images and tensors."""

from app.storage.base import (
    BlobCorruptError,
    BlobMissingError,
    BlobStore,
    StoredBlob,
    TensorStore,
    is_full,
)
from app.storage.cache import CachedTensorStore, CacheFolder
from app.storage.local import LocalBlobStore
from app.storage.parallel import each

__all__ = [
    "BlobCorruptError",
    "BlobMissingError",
    "BlobStore",
    "CacheFolder",
    "CachedTensorStore",
    "LocalBlobStore",
    "StoredBlob",
    "TensorStore",
    "each",
    "is_full",
    "open_store",
    "with_cache",
]


def open_store(url: str) -> BlobStore:
    """Open the store a setting names: a folder, or ``s3://bucket/prefix``. Raises OSError."""
    if not url.startswith("s3://"):
        return LocalBlobStore(url)
    from app.storage.s3 import S3BlobStore  # noqa: PLC0415 - only with the extra that it needs

    return S3BlobStore(url)


def with_cache(store: BlobStore, cache: CacheFolder) -> TensorStore:
    """Return the store with a cache on this machine, unless it is on this machine itself."""
    if isinstance(store, LocalBlobStore) or not cache.capacity:
        return store
    return CachedTensorStore(store, cache)

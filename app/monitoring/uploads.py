"""What is sent in to learn from."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter

from app.services.uploads.sources import Item, Rejection, Source, UploadLimits


class UploadMetrics:
    """Bytes and images of uploads, as they come."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._bytes = Counter(
            "accrue_upload_bytes", "Bytes of uploads' bodies received.", registry=registry
        )
        self._images = Counter(
            "accrue_upload_images",
            "Files read from uploads' bodies, those that are then refused among them.",
            registry=registry,
        )

    def received(self, count: int) -> None:
        """Count bytes of a body."""
        self._bytes.inc(count)

    def counted(self, source: Source) -> Source:
        """Return the source; what is read from it is counted."""
        return _Counted(source, self._images)


class _Counted:
    def __init__(self, source: Source, files: Counter) -> None:
        self._source = source
        self._files = files

    def items(self, limits: UploadLimits) -> Iterator[Item | Rejection]:
        for item in self._source.items(limits):
            self._files.inc()
            yield item

    def close(self) -> None:
        self._source.close()

"""Metrics of uploads."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter

from app.services.uploads.sources import Found, Source, UploadLimits, WrappingFolder


class UploadMetrics:
    """Counts bytes and images of uploads as they are received."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._bytes = Counter(
            "accrue_upload_bytes", "Received bytes of the bodies of uploads.", registry=registry
        )
        self._images = Counter(
            "accrue_upload_images",
            "Files read from the bodies of uploads, refused ones included.",
            registry=registry,
        )

    def received(self, count: int) -> None:
        """Count received bytes of a body."""
        self._bytes.inc(count)

    def counting(self, source: Source) -> Source:
        """Return a source that counts the files read from `source`."""
        return _CountingSource(source, self._images)


class _CountingSource:
    def __init__(self, source: Source, files: Counter) -> None:
        self._source = source
        self._files = files

    def items(self, limits: UploadLimits) -> Iterator[Found]:
        for found in self._source.items(limits):
            if not isinstance(found, WrappingFolder):
                self._files.inc()
            yield found

    def close(self) -> None:
        self._source.close()

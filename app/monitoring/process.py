"""All metrics of one API process."""

import math
import shutil
from functools import partial
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from app.inference.batcher import Batcher
from app.inference.registry import Registry
from app.monitoring.http import HttpMetrics
from app.monitoring.predictions import PredictMetrics
from app.monitoring.uploads import UploadMetrics
from app.monitoring.versions import VersionMetrics
from app.services.jobs.event_polling import EventPoller
from app.settings import Settings

# `process_start_time_seconds` says when all series of the process began.
disable_created_metrics()


class ProcessMetrics:
    """Counters that grow as things happen, and gauges that a scrape reads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = self._gauge("accrue_build", "Always 1: the software that runs.", "version")
        build.labels(version("accrue")).set(1)
        self.http = HttpMetrics(self.registry)
        self.predict = PredictMetrics(self.registry)
        self.uploads = UploadMetrics(self.registry)
        self.versions = VersionMetrics(self.registry)
        self._queue = self._gauge("accrue_predict_queue_images", "Images waiting for a batch.")
        self._capacity = self._gauge(
            "accrue_predict_queue_capacity_images",
            "Largest number of waiting images; more get a 503.",
        )
        self._streams = self._gauge("accrue_event_streams", "Open event streams.")
        self._most_streams = self._gauge(
            "accrue_event_streams_limit", "Largest number of open event streams; more get a 503."
        )
        self._free = self._gauge(
            "accrue_disk_free_bytes", "Free bytes of the disk that a folder is on.", "folder"
        )
        self._size = self._gauge(
            "accrue_disk_size_bytes", "Size of the disk that a folder is on.", "folder"
        )

    def observe(
        self, settings: Settings, batcher: Batcher, loaded: Registry, event_poller: EventPoller
    ) -> None:
        """Set what a scrape reads. Call before the first scrape."""
        self._queue.set_function(lambda: batcher.waiting)
        self._capacity.set(batcher.capacity)
        self.versions.observe(loaded.cache)
        self._streams.set_function(lambda: event_poller.streams)
        self._most_streams.set(settings.event_streams)
        folders = {"data": str(settings.data_dir), "storage": settings.storage_url}
        for name, path in folders.items():
            if "://" not in path:
                self._free.labels(name).set_function(partial(_disk, path, "free"))
                self._size.labels(name).set_function(partial(_disk, path, "total"))

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, labels, registry=self.registry)


def _disk(path: str, figure: str) -> float:
    try:
        return float(getattr(shutil.disk_usage(path), figure))
    except OSError:
        return math.nan  # the folder is missing; the other metrics are still exported

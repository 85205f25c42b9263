"""Metrics of the images and batches that the inference threads run."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from app.inference.batcher import Ran

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)


class PredictMetrics:
    """Counts images by outcome, and measures the sizes of batches and the seconds of stages."""

    def __init__(self, registry: CollectorRegistry) -> None:
        images = Counter(
            "accrue_predict_images",
            "Images that the inference threads have processed; most failed ones are unreadable.",
            ("outcome",),
            registry=registry,
        )
        self._predicted, self._failed = images.labels("predicted"), images.labels("failed")
        self._batch = Histogram(
            "accrue_predict_batch_images", "Images per batch.", buckets=_IMAGES, registry=registry
        )
        self._queue, self._decode, self._infer = (
            Histogram(f"accrue_predict_{stage}_seconds", what, buckets=_SECONDS, registry=registry)
            for stage, what in (
                ("queue", "Seconds that an image waited for its batch."),
                ("decode", "Seconds to decode the images of a batch."),
                ("infer", "Seconds of the forward pass of a batch."),
            )
        )

    def count(self, ran: Ran) -> None:
        """Count a batch, of at least one image."""
        failed = sum(isinstance(outcome, Exception) for outcome in ran.outcomes)
        self._failed.inc(failed)
        self._predicted.inc(len(ran.outcomes) - failed)
        self._batch.observe(len(ran.outcomes))
        self._decode.observe(ran.decode)
        self._infer.observe(ran.infer)
        for seconds in ran.queue:
            self._queue.observe(seconds)

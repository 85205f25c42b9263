"""Metrics of the images and batches that the inference threads run."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

from app.inference.batcher import Answer

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

    def count(self, answers: Sequence[Answer]) -> None:
        """Count the answers of one batch, at least one. May be called in any thread."""
        failed = sum(isinstance(answer.outcome, Exception) for answer in answers)
        self._failed.inc(failed)
        self._predicted.inc(len(answers) - failed)
        self._batch.observe(len(answers))
        self._decode.observe(answers[0].decode)
        self._infer.observe(answers[0].infer)
        for answer in answers:
            self._queue.observe(answer.queue)

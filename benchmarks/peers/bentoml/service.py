"""BentoML, with images as files of a form."""

import os

import bentoml
from PIL.Image import Image

from benchmarks.peers.network import Network


@bentoml.service(workers=int(os.environ["BENCH_WORKERS"]), logging={"access": {"enabled": False}})
class Classifier:
    """One worker."""

    def __init__(self) -> None:
        self.network = Network()

    @bentoml.api(batchable=True, max_batch_size=int(os.environ["BENCH_BATCH"]))
    def predict(self, images: list[Image]) -> list[dict[str, object]]:
        """Run the network."""
        return self.network.answers([self.network.pixels(image) for image in images])

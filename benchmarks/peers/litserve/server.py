"""LitServe, with images as base64 in JSON: its workers are processes, which get what JSON gives."""

import base64
import os
import sys
from typing import Any

import litserve
import torch

from benchmarks.peers.network import Network


class Classifier(litserve.LitAPI):
    """One worker."""

    def setup(self, device: str) -> None:
        """Load the network."""
        self.network = Network()

    def decode_request(self, request: dict[str, str]) -> torch.Tensor:
        """Return pixels."""
        return self.network.pixels(base64.b64decode(request["image"]))

    def batch(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Leave the list as it is."""
        return inputs

    def predict(self, inputs: list[torch.Tensor]) -> list[dict[str, object]]:
        """Run the network."""
        return self.network.answers(inputs)

    def unbatch(self, output: list[dict[str, object]]) -> list[dict[str, object]]:
        """Leave the list as it is."""
        return output

    def encode_response(self, output: dict[str, object]) -> Any:
        """Answer as JSON."""
        return output


if __name__ == "__main__":
    api = Classifier(
        max_batch_size=int(os.environ["BENCH_BATCH"]),
        batch_timeout=int(os.environ["BENCH_BATCH_MS"]) / 1e3,
    )
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=int(os.environ["BENCH_WORKERS"])
    )
    server.run(port=int(sys.argv[1]), log_level="warning", generate_client_file=False)

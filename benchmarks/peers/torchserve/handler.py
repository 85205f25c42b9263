"""TorchServe, with images as the body of a request."""

from typing import Any

import torch
from ts.torch_handler.base_handler import BaseHandler

from benchmarks.peers.network import Network


class Classifier(BaseHandler):
    """One worker."""

    def initialize(self, context: Any) -> None:
        """Load the network."""
        self.network = Network()
        self.initialized = True

    def preprocess(self, data: list[dict[str, Any]]) -> list[torch.Tensor]:
        """Return pixels."""
        return [self.network.pixels(bytes(row.get("data") or row["body"])) for row in data]

    def inference(self, data: list[torch.Tensor]) -> list[dict[str, object]]:
        """Run the network."""
        return self.network.answers(data)

    def postprocess(self, data: list[dict[str, object]]) -> list[dict[str, object]]:
        """Answer as JSON."""
        return data

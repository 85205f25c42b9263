"""The network that each server serves, in eager PyTorch, and the pixels that it takes."""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.serving import load_servable
from models.spec import Spec
from models.state import State, decode


class Network:
    """Loads what ``benchmarks.serving.network.export`` wrote into the folder BENCH_MODEL."""

    def __init__(self) -> None:
        folder = Path(os.environ["BENCH_MODEL"])
        about = json.loads((folder / "version.json").read_text())
        spec = Spec.model_validate(about["spec"])
        parts = {path.stem: decode(path.read_bytes()) for path in folder.glob("*.safetensors")}
        self._side = spec.image_size
        self._module = load_servable(spec, State(parts, tuple(about["tasks"])))

    def pixels(self, image: Image.Image | bytes) -> torch.Tensor:
        """Return an image's pixels, uint8 [3, S, S]."""
        if isinstance(image, bytes):
            image = Image.open(io.BytesIO(image))
        size = (self._side, self._side)
        square = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(square)).permute(2, 0, 1)

    @torch.inference_mode()
    def answers(self, pixels: Sequence[torch.Tensor]) -> list[dict[str, object]]:
        """Return the best class of each image, and its score."""
        best = self._module(torch.stack(list(pixels))).log_scores.exp().max(dim=1)
        return [
            {"label": f"column-{column}-is-best", "score": score}
            for column, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

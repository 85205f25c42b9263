"""The network that all servers serve: exported for others, and bare."""

import io
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.serving.workloads import BATCH
from models.serving import load_servable
from models.spec import Spec
from models.state import State, encode

_ROUNDS = 5
# Images of a round, at 32 pixels: fewer larger ones.
_IMAGES = 320


def export(spec: Spec, state: State, folder: Path) -> None:
    """Write what `benchmarks.peers.network` loads: the same weights."""
    folder.mkdir()
    about = {"spec": spec.model_dump(mode="json"), "tasks": state.tasks}
    (folder / "version.json").write_text(json.dumps(about))
    for name, part in state.parts.items():
        (folder / f"{name}.safetensors").write_bytes(encode(part))


def answer(spec: Spec, state: State, image: bytes) -> int:
    """Return the column that the network finds for an image."""
    with Image.open(io.BytesIO(image)) as opened:
        side = (spec.image_size, spec.image_size)
        square = np.array(opened.convert("RGB").resize(side, Image.Resampling.BILINEAR))
    with torch.inference_mode():
        output = load_servable(spec, state)(torch.from_numpy(square).permute(2, 0, 1)[None])
    return int(output.log_scores.argmax())


def bare(spec: Spec, state: State) -> float:
    """Return CPU milliseconds an image of the eager forward in batches on one thread."""
    torch.set_num_threads(1)
    module = load_servable(spec, state)
    shape = (BATCH, 3, spec.image_size, spec.image_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    batches = max(2, _IMAGES * 32 // spec.image_size // BATCH)
    times = []
    with torch.inference_mode():
        for _ in range(3):
            module(images)
        for _ in range(_ROUNDS):
            begun = time.process_time()
            for _ in range(batches):
                module(images)
            times.append((time.process_time() - begun) / (batches * BATCH))
    return statistics.median(times) * 1e3

"""The loader that goes with versions for PyTorch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from app.imaging.resize import to_square
from app.inference.exporting.torch_loader import read_tensors, square
from models.spec import Resize
from tests.pictures import pixels


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize(
    ("width", "height"), [(80, 80), (150, 90), (90, 151), (80, 200), (64, 64), (79, 3)]
)
def test_images_are_resized_as_the_service_does(resize: Resize, width: int, height: int) -> None:
    image = pixels(width, height)
    expected = to_square(image, 80, resize, (width, height)).astype(int)
    found = square(torch.from_numpy(image).permute(2, 0, 1), 80, resize)
    off = np.abs(found.permute(1, 2, 0).numpy().astype(int) - expected)
    assert (off <= 1).mean() > 0.99


def test_tensors_are_those_that_were_written(tmp_path: Path) -> None:
    tensors = {
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(1.5, dtype=torch.float64),
        "flags": torch.tensor([True, False, True]),
        "numbers": torch.arange(6).reshape(2, 3),
        "half": torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
    }
    save_file(tensors, tmp_path / "model.safetensors", metadata={"a": "b"})
    found = read_tensors(tmp_path / "model.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)

"""Batches for inference: all images, in order, never more than memory takes."""

import pytest
import torch

from models.inference import inference_batches

CPU = torch.device("cpu")


@pytest.mark.parametrize(("size", "most"), [(8, 256), (64, 256), (160, 40), (1024, 1), (2048, 1)])
def test_large_images_come_in_small_batches(size: int, most: int) -> None:
    images = torch.empty(1, dtype=torch.uint8).expand(600, 3, size, size)
    counts = [len(batch) for batch in inference_batches(images, CPU)]
    assert max(counts) == most
    assert sum(counts) == 600


def test_a_pause_before_each() -> None:
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1)
    pauses: list[float] = []
    seen = [
        batch.flatten().tolist()
        for batch in inference_batches(images, CPU, lambda done=0.0: pauses.append(done), at_most=4)
    ]
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert pauses == [0, 0, 0]


def test_a_pause_in_the_whole_work_says_how_much_is_done() -> None:
    images = torch.zeros(10, 1, 1, 1, dtype=torch.uint8)
    pauses: list[float] = []
    list(inference_batches(images, CPU, lambda done=0.0: pauses.append(done), 4, whole=True))
    assert pauses == [0, 0.4, 0.8]

"""Images in a memory-mapped file teach the same as images in memory, to the bit."""

import copy
import mmap
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models import fit, on_disk
from models.batches import EpochPlan, ImageSet
from models.checkpoint import Checkpoint
from models.learner import learn
from models.preprocess import Preprocess
from models.spec import Augment
from models.step import StepData
from tests.models.conftest import Chain, pictures, task_images
from tests.models.test_checkpoint import assert_identical
from tests.models.test_forms import Reencoding


def mapped(images: Tensor) -> Tensor:
    """Return the same images in a file without a name that is mapped into memory."""
    with tempfile.TemporaryFile() as file:
        file.write(images.numpy().tobytes())
        file.flush()
        pages = mmap.mmap(file.fileno(), images.nbytes)
    return torch.frombuffer(pages, dtype=torch.uint8).view(images.shape)


@dataclass
class OnDisk(Chain):
    """A chain whose images are in files."""

    def data(self, new: dict[int, Tensor]) -> StepData:
        return stored(super().data(new))


@dataclass
class ReencodedOnDisk(Reencoding):
    """A chain with a second form of new images, all of them in files."""

    def data(self, new: dict[int, Tensor]) -> StepData:
        return stored(super().data(new))


def stored(data: StepData) -> StepData:
    reencoded = None if data.reencoded is None else mapped(data.reencoded)
    return replace(
        data,
        images=mapped(data.images),
        held_out=mapped(data.held_out),
        reencoded=reencoded,
        on_disk=True,
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images the disk was asked for, call by call."""
    found: list[int] = []
    original = on_disk.read_ahead

    def counted(images: Tensor, positions: Tensor) -> None:
        found.append(len(positions))
        original(images, positions)

    monkeypatch.setattr("models.batches.read_ahead", counted)
    return found


@pytest.mark.parametrize("method", ["icarl", "analytic", "mas", "piggyback", "joint"])
def test_methods_learn_the_same_from_disk(
    chain: Callable[..., Chain], method: str, asked: list[int]
) -> None:
    memory = chain(method)
    disk = OnDisk(memory.spec)
    for task in range(2):
        expected = memory.learn(task_images(task))
        assert not asked
        assert_identical(disk.learn(task_images(task)), expected)
        trained = len(disk.data(task_images(task)).images)
        assert method == "analytic" or sum(asked) >= trained
        asked.clear()


def test_both_forms_pairs_and_policy_are_the_same_from_disk(chain: Callable[..., Chain]) -> None:
    spec = chain("replay").spec.model_copy(
        update={"augment": Augment(crop=1, policy="auto"), "regularizer": {"name": "cs_kd"}}
    )
    memory, disk = Reencoding(spec), ReencodedOnDisk(spec)
    for task in range(2):
        assert_identical(disk.learn(task_images(task)), memory.learn(task_images(task)))


def test_training_resumes_from_disk_to_the_bit(chain: Callable[..., Chain]) -> None:
    memory = chain("icarl")
    disk = OnDisk(memory.spec)
    for each in (memory, disk):
        each.learn(task_images(0))
    saved: list[Checkpoint] = []
    expected = copy.deepcopy(memory).learn(
        task_images(1), save=saved.append, save_due=lambda _epoch_end: True
    )
    assert any(made.step for made in saved)
    for made in saved:
        assert_identical(copy.deepcopy(disk).learn(task_images(1), resume=made), expected)


def test_mean_and_deviation_are_those_of_all_pixels() -> None:
    images = torch.cat([pictures(label, 400, seed=label) for label in range(2)])
    found = Preprocess.fitted(mapped(images))
    pixels = images.numpy().transpose(1, 0, 2, 3).reshape(3, -1) / 255
    np.testing.assert_allclose(found.mean, pixels.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.std, pixels.std(axis=1), rtol=1e-6)


def test_reading_ahead_hits_the_pages_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    size = 3 * 32 * 32  # three quarters of a page
    images = mapped(torch.zeros(20, 3, 32, 32, dtype=torch.uint8))
    base = images.data_ptr()

    class Kernel:
        @staticmethod
        def madvise(start: int, length: int, advice: int) -> int:
            assert advice == mmap.MADV_WILLNEED
            calls.append((start - base, length))
            return 0

    monkeypatch.setattr(on_disk, "_LIBC", Kernel)
    on_disk.read_ahead(images, torch.tensor([0, 3, 19]))
    assert [start % mmap.PAGESIZE for start, _ in calls] == [0, 0, 0]
    for position, (start, length) in zip((0, 3, 19), calls, strict=True):
        assert start <= position * size < start + mmap.PAGESIZE
        assert start + length == (position + 1) * size


def test_a_real_kernel_takes_the_advice() -> None:
    images = mapped(torch.zeros(4, 3, 32, 32, dtype=torch.uint8))
    first = images.data_ptr()
    assert on_disk._LIBC.madvise(first, images.nbytes, on_disk._MADV_WILLNEED) == 0


def test_the_second_form_is_read_ahead_where_it_is_wanted(asked: list[int]) -> None:
    images = torch.zeros(5, 3, 4, 4, dtype=torch.uint8)
    fresh = torch.tensor([False, False, True, True, True])
    data = ImageSet(images, torch.zeros(5).long(), fresh, images[2:], on_disk=True)
    plan = EpochPlan.draw(5, 0, False, 1, 0, 0)
    wanted = torch.tensor([True, True, False, True, False])[plan.order]
    data.read_ahead(plan.order, wanted)
    assert asked == [5, 1]


class Copies(TorchDispatchMode):
    """Records the most images in a tensor that an operation has made, beside the files' own."""

    def __init__(self, files: Collection[Tensor]) -> None:
        super().__init__()
        self.files = {each.untyped_storage().data_ptr() for each in files}
        self.most = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if (
            isinstance(made, Tensor)
            and made.dim() == 4
            and made.dtype == torch.uint8
            and made.untyped_storage().data_ptr() not in self.files
        ):
            self.most = max(self.most, len(made))
        return made


@pytest.mark.slow
@pytest.mark.parametrize("method", ["icarl", "joint", "piggyback"])
def test_no_copy_of_all_images_is_made(chain: Callable[..., Chain], method: str) -> None:
    """The most at once are the 1,000 on which the fit is measured, of 1,200 in a class."""
    learner = OnDisk(chain(method, epochs=1, batch_size=256).spec)
    data = learner.data(task_images(0, count=1200))
    held_out = torch.cat([pictures(column, 1100, seed=9) for column in range(2)])
    data = replace(
        data,
        held_out=mapped(held_out),
        held_out_columns=torch.arange(2).repeat_interleave(1100),
    )
    with Copies([data.images, data.held_out]) as copies:
        learn(learner.spec, None, data, device="cpu")
    assert fit.IMAGES == 1000
    assert 256 <= copies.most <= 1000

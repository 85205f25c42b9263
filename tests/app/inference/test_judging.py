"""An engine must give the labels, scores and distances that PyTorch gives."""

import pytest
import torch
from torch import Tensor

from app.inference.engines.judging import difference, relative_time
from models.classify import Output

IMAGES = torch.zeros(200, 3, 2, 2, dtype=torch.uint8)
IMAGES[:, 0, 0, 0] = torch.arange(200)


def number(images: Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


class Says:
    """Gives images the scores 0.7 and 0.3 and the distances 1 and 2, and some others."""

    def __init__(self, scores: dict[int, float] | None = None, distance: float = 1.0) -> None:
        self.scores = scores or {}
        self.distance = distance
        self.batches: list[int] = []

    def __call__(self, images: Tensor) -> Output:
        self.batches.append(len(images))
        first = torch.tensor([self.scores.get(each, 0.7) for each in number(images)])
        distances = torch.tensor([[self.distance, 2.0]]).expand(len(images), 2)
        return Output(torch.stack([first, 1 - first], 1).log(), distances=distances)


def test_equal_modules_do_not_differ() -> None:
    fast = Says()
    assert difference(Says(), fast, IMAGES, 16) is None
    # Every size of a batch that can come.
    assert fast.batches[:16] == list(range(1, 17))
    assert sum(fast.batches) == 200


@pytest.mark.parametrize(
    ("fast", "reason"),
    [
        (Says({3: 0.71}), None),
        (Says({3: 0.712}), "its scores differ by up to 0.012"),
        (Says({3: 0.4, 9: 0.4}), "it gives 2 of 200 images another label"),
        (Says({3: float("nan")}), "its scores differ by up to inf"),
        (Says(distance=1.019), None),
        (Says(distance=1.03), "its distances differ by up to 1.5%"),
    ],
)
def test_what_differs_is_said(fast: Says, reason: str | None) -> None:
    assert difference(Says(), fast, IMAGES, 16) == reason


def test_near_ties_may_flip_where_few_do() -> None:
    plain = Says({5: 0.5001})
    assert difference(plain, Says({5: 0.4999}), IMAGES, 16) is None
    plain = Says({5: 0.5001, 6: 0.5001})
    assert difference(plain, Says({5: 0.4999, 6: 0.4999}), IMAGES, 16) is not None


class Clock:
    """Stands in for the module `time`: goes on only where something takes time."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_the_time_is_relative_to_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("app.inference.engines.judging.time", clock)

    class Takes(Says):
        """Takes so many seconds, one after another, then the last again and again."""

        def __init__(self, *seconds: float) -> None:
            super().__init__()
            self.seconds = list(seconds)

        def __call__(self, images: Tensor) -> Output:
            clock.now += self.seconds[0] if len(self.seconds) == 1 else self.seconds.pop(0)
            return super().__call__(images)

    # The first times are of the setup, and one in between is of another process.
    plain, fast = Takes(9.0, 0.2, 0.2), Takes(5.0, 0.05, 3.0, 0.05)
    assert relative_time(plain, fast, IMAGES) == pytest.approx(0.25)
    # Three rounds, since these took more than a second.
    assert (len(plain.batches), len(fast.batches)) == (3, 3)
    plain, fast = Takes(0.01), Takes(0.02)
    assert relative_time(plain, fast, IMAGES) == pytest.approx(2.0)
    assert len(plain.batches) == 12

"""Re-encoded forms and the augmentation policy in training: who sees what, and resuming."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from models.batches import EpochPlan, ImageSet
from models.checkpoint import Checkpoint
from models.feeding import Feed
from models.spec import Augment
from models.step import StepData

from .conftest import Chain, task_images
from .test_trainer import assert_identical

FRESH = torch.tensor([False, False, True, True, True])


def image_set() -> ImageSet:
    """Return five images of one value each, of which three are fresh and re-encoded to others."""
    values = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 3, 4, 4)
    columns = torch.tensor([0, 0, 1, 1, 2])
    return ImageSet(values, columns, FRESH, values[2:] + 100)


def values(images: Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def test_re_encoded_forms_are_of_fresh_images_alone() -> None:
    images = image_set()
    positions = torch.tensor([4, 0, 2, 2])
    chosen = torch.tensor([True, True, False, True])
    assert values(images.pixels(positions, chosen)) == [104, 0, 2, 102]
    assert values(images.pixels(positions)) == [104, 0, 102, 102]
    assert values(images.as_sent(positions)) == [4, 0, 2, 2]
    plain = ImageSet(images.images, images.columns, images.fresh)
    assert values(plain.pixels(positions)) == [4, 0, 2, 2]


def test_half_of_the_images_are_re_encoded_in_an_epoch_and_others_in_the_next() -> None:
    def drawn(epoch: int) -> Tensor:
        plan = EpochPlan.draw(4000, 0, False, 5, 0, epoch).with_reencoded(4000, 5, 0, epoch)
        assert plan.reencoded is not None
        return plan.reencoded[plan.order.argsort()]  # by image, whatever the order

    first, second = drawn(0), drawn(1)
    assert float(first.float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float((first == second).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert torch.equal(first, drawn(0))
    # An image's pair of the same epoch has the form that the image has itself.
    plan = EpochPlan.draw(4000, 0, False, 5, 0, 0)
    columns = torch.zeros(4000, dtype=torch.int64)
    pairs = EpochPlan.draw_pairs(plan.order, columns, 0, False, 5, 0, 0).with_reencoded(
        4000, 5, 0, 0
    )
    assert pairs.reencoded is not None
    assert torch.equal(pairs.reencoded, first[pairs.order])


@dataclass
class Reencoding(Chain):
    """A chain whose new images have a re-encoded form: here their negative."""

    def data(self, new: dict[int, Tensor]) -> StepData:
        data = super().data(new)
        return replace(data, reencoded=255 - data.images[data.fresh])


def with_both(made: Chain) -> Chain:
    """Return a chain with re-encoded forms, the policy and CS-KD's pairs."""
    spec = made.spec.model_copy(
        update={"augment": Augment(crop=1, policy="auto"), "regularizer": {"name": "cs_kd"}}
    )
    return Reencoding(spec)


@pytest.mark.slow
def test_training_with_forms_and_policy_resumes_to_the_bit(chain: Callable[..., Chain]) -> None:
    learner = with_both(chain("replay"))
    learner.learn(task_images(0))
    saved: list[Checkpoint] = []
    expected = copy.deepcopy(learner).learn(
        task_images(1), save=saved.append, save_due=lambda _epoch_end: True
    )
    assert any(made.step for made in saved)
    for made in saved:
        assert_identical(copy.deepcopy(learner).learn(task_images(1), resume=made), expected)


def test_forms_and_policy_change_what_is_trained_on(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(learner: Chain) -> Tensor:
        images: list[Tensor] = []
        original = Feed.images
        with monkeypatch.context() as patch:
            patch.setattr(
                Feed, "images", lambda *given: images.append(original(*given)) or images[-1]
            )
            learner.learn(task_images(0))
        return torch.cat(images)

    plain = chain("replay")
    forms = Reencoding(plain.spec)
    policy = Chain(
        plain.spec.model_copy(update={"augment": Augment(crop=1, flip=True, policy="auto")})
    )
    usual = seen(plain)
    changed = (seen(forms) != usual).flatten(1).any(dim=1)
    assert 0.3 < float(changed.float().mean()) < 0.7
    # Cutout changes every image, but where it lies outside or its place had that colour.
    assert float((seen(policy) != usual).flatten(1).any(dim=1).float().mean()) > 0.95


def test_memory_is_chosen_by_the_forms_that_it_keeps(chain: Callable[..., Chain]) -> None:
    _, step = Reencoding(chain("replay").spec).begin(task_images(0))
    positions = torch.arange(len(step.data))
    _, negative = Chain(step.spec).begin({c: 255 - x for c, x in task_images(0).items()})
    negative._preprocess = step._preprocess
    assert torch.equal(step.features(positions), negative.features(positions))

"""AutoAugment and Cutout: against Pillow, torchvision's table, and pixels set by hand."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from models.augment.auto import auto_augment, cutout
from models.augment.operations import OPERATIONS
from models.augment.policy import NAMES, NOTHING, PolicyDraws, SubPolicies, magnitude
from models.batches import EpochPlan
from models.seeds import generator

FILL = torch.tensor([10, 20, 30], dtype=torch.uint8)
# Torchvision's names of the operations that it does not call as we do.
TORCHVISION = {name: name.replace("_", " ").title().replace(" ", "") for name in NAMES}


def pictures(count: int = 3, size: int = 24) -> Tensor:
    """Return images [N, 3, S, S] of smooth colours with noise, the first of low contrast."""
    draws = np.random.default_rng(5)
    waves = np.sin(np.linspace(0, 5, size))[:, None] + np.cos(np.linspace(0, 7, size))
    images = 128 + 50 * waves[None, None] * draws.uniform(0.3, 1, (count, 3, 1, 1))
    images += draws.normal(0, 12, (count, 3, size, size))
    images[0] = 100 + images[0] / 4
    return torch.from_numpy(images.clip(0, 255).astype(np.uint8))


def transformed(image: Image.Image, *entries: float) -> Image.Image:
    return image.transform(
        image.size, Image.Transform.AFFINE, entries, fillcolor=tuple(FILL.tolist())
    )


PILLOW = {
    "shear_y": lambda image, m: transformed(image, 1, 0, 0, m, 1, 0),
    "translate_x": lambda image, m: transformed(image, 1, 0, m, 0, 1, 0),
    "translate_y": lambda image, m: transformed(image, 1, 0, 0, 0, 1, m),
    "rotate": lambda image, m: image.rotate(m, fillcolor=tuple(FILL.tolist())),
    "brightness": lambda image, m: ImageEnhance.Brightness(image).enhance(1 + m),
    "color": lambda image, m: ImageEnhance.Color(image).enhance(1 + m),
    "contrast": lambda image, m: ImageEnhance.Contrast(image).enhance(1 + m),
    "sharpness": lambda image, m: ImageEnhance.Sharpness(image).enhance(1 + m),
    "posterize": lambda image, m: ImageOps.posterize(image, int(m)),
    "solarize": ImageOps.solarize,
    "auto_contrast": lambda image, _m: ImageOps.autocontrast(image),
    "equalize": lambda image, _m: ImageOps.equalize(image),
    "invert": lambda image, _m: ImageOps.invert(image),
}


@pytest.mark.parametrize("name", NAMES)
def test_operations_are_those_of_pillow(name: str) -> None:
    images = pictures()
    signed = NAMES.index(name) <= NAMES.index("sharpness")
    given = torch.tensor([magnitude(name, at, 24) for at in (4, 9, 7)])
    if signed:
        given[1] *= -1
    result = OPERATIONS[NAMES.index(name)](images, given, FILL).permute(0, 2, 3, 1).numpy()
    for image, got, own in zip(images, result, given.tolist(), strict=True):
        wanted = PILLOW[name](Image.fromarray(image.permute(1, 2, 0).numpy()), own)
        difference = np.abs(got.astype(int) - np.asarray(wanted).astype(int))
        # Between two pixels, rounding decides which one is nearest; values may round differently.
        moved = name in NAMES[:4]
        assert (difference > (0 if moved else 1)).mean() <= (0.02 if moved else 0)
        assert not moved or difference.any(axis=2).mean() < 0.02


def test_the_table_is_torchvisions() -> None:
    oracle = AutoAugment(AutoAugmentPolicy.CIFAR10)
    space = oracle._augmentation_space(10, (32, 32))
    table = SubPolicies.of(32)
    assert len(oracle.policies) == len(table.operations) == 25
    for sub_policy, *own in zip(oracle.policies, *table, strict=True):
        for half, operation, probability, given in zip(sub_policy, *own, strict=True):
            name, wanted_probability, at = half
            assert TORCHVISION[NAMES[operation]] == name
            assert float(probability) == pytest.approx(wanted_probability)
            magnitudes, signed = space[name]
            assert signed == (operation <= NAMES.index("sharpness"))
            if at is not None:
                wanted = float(magnitudes[at])
                if name.startswith("Translate"):
                    wanted = int(wanted)
                assert float(given) == pytest.approx(wanted, abs=1e-5)


def test_draws_have_the_tables_frequencies_and_directions() -> None:
    count = 50_000
    draws = PolicyDraws.draw(count, 32, generator(1, "test"))
    table = SubPolicies.of(32)
    for code in range(len(NAMES)):
        expected = float(table.probabilities[table.operations == code].sum()) / 25 * count
        found = draws.operations == code
        # Four standard deviations of a Poisson number.
        assert abs(int(found.sum()) - expected) <= 4 * math.sqrt(max(expected, 1))
        given = draws.magnitudes[found & (draws.magnitudes != 0)]
        if code <= NAMES.index("sharpness"):
            assert float((given < 0).float().mean()) == pytest.approx(0.5, abs=0.03)
        else:
            assert not (given < 0).any()
    assert draws.centres.min() == 0
    assert draws.centres.max() == 31
    assert draws.centres.float().mean() == pytest.approx(15.5, abs=0.15)


def test_each_image_gets_its_own_operations_in_turn_and_others_none() -> None:
    images = pictures(4)
    names = (("invert", "solarize"), ("brightness", "brightness"), (None, None), (None, "rotate"))
    given = torch.tensor([[0, 100.0], [0.5, -0.5], [0, 0], [0, 25.0]])
    codes = [[NOTHING if name is None else NAMES.index(name) for name in pair] for pair in names]
    outside = torch.full((4, 2), -100)
    result = auto_augment(images, PolicyDraws(torch.tensor(codes), given, outside), FILL)
    for index, pair in enumerate(names):
        wanted = Image.fromarray(images[index].permute(1, 2, 0).numpy())
        for name, own in zip(pair, given[index].tolist(), strict=True):
            wanted = wanted if name is None else PILLOW[name](wanted, own)
        got = result[index].permute(1, 2, 0).numpy().astype(int)
        assert (np.abs(got - np.asarray(wanted).astype(int)) > 1).mean() < 0.02
    assert torch.equal(images, pictures(4))  # what came in stays


def test_cutout_hides_half_the_side_around_the_centre() -> None:
    images = torch.full((2, 3, 8, 8), 200, dtype=torch.uint8)
    result = cutout(images, torch.tensor([[4, 3], [0, 7]]), FILL)
    wanted = images.clone()
    wanted[0, :, 2:6, 1:5] = FILL[:, None, None]
    wanted[1, :, 0:2, 5:8] = FILL[:, None, None]
    assert torch.equal(result, wanted)


def test_draws_depend_on_their_key_alone_and_split_as_batches_do() -> None:
    def plan(epoch: int, use: str = "epoch") -> EpochPlan:
        return EpochPlan.draw(70, 2, True, 7, 0, epoch).with_policy(16, 7, 0, epoch, use)

    def draws(of: EpochPlan) -> Tensor:
        assert of.policy is not None
        return torch.cat([of.policy.operations, of.policy.magnitudes, of.policy.centres], dim=1)

    assert torch.equal(draws(plan(3)), draws(plan(3)))
    assert not torch.equal(draws(plan(3)), draws(plan(4)))
    assert not torch.equal(draws(plan(3)), draws(plan(3, "pairs")))
    assert torch.equal(draws(plan(3)), torch.cat([draws(each) for each in plan(3).batches(32)]))

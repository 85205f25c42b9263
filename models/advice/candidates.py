"""What advice compares: methods on backbones, at image sizes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import methods, networks
from models.advice.images import JudgedImages
from models.spec import Spec

# Sizes for pretrained networks, the first being the default for such images.
SMALL_SIZES = (96, 64)
LARGE_SIZES = (160, 96, 224)
# Methods that train a network from random weights.
TRAINED = ("replay", "icarl")
# With so many images a class on average, training from random weights is worth a try.
_MANY = 100


@dataclass(frozen=True)
class Candidate:
    """What a classifier is made of."""

    method: str
    backbone: str
    weights: str | None
    image_size: int

    @property
    def named(self) -> str:
        """How a sentence names it."""
        return f"{self.method} on {self.backbone} at {self.image_size} pixels"

    def spec(self, **more: Any) -> Spec:
        """Return its spec with every default filled in. Raises InvalidSpecError."""
        return methods.validate(Spec.model_validate({**vars(self), **more}))


def pretrained(images: JudgedImages, weights_dir: Path | None) -> list[Candidate]:
    """Return `analytic` on every pretrained backbone that is installed, the default one first.

    Then on that one at other sizes.
    """
    size, *others = SMALL_SIZES if images.small else LARGE_SIZES
    default = methods.get("analytic").setup.backbone
    installed = sorted(networks.installed(weights_dir), key=lambda found: found[0] != default)
    sized = [(*found, size) for found in installed] + [
        (*found, other) for found in installed[:1] for other in others
    ]
    return [
        Candidate("analytic", backbone, weights, side)
        for backbone, weights, side in sized
        if networks.accepts(backbone, side)
    ]


def trained(images: JudgedImages) -> Sequence[Candidate]:
    """Return the methods to train from random weights, where these images may be enough for it."""
    many = images.sent >= _MANY * images.classes
    measurable = images.classes > 1 and bool(images.held_out.any())
    return tuple(_from_scratch()) if measurable and (images.small or many) else ()


def _from_scratch() -> Iterator[Candidate]:
    for name in TRAINED:
        setup = methods.get(name).setup
        assert setup.image_size is not None  # noqa: S101 - only pretrained networks leave it open
        yield Candidate(name, setup.backbone, setup.weights, setup.image_size)

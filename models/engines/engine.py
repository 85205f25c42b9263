"""The interface of engines."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from models.engines.names import EngineName, Precision
from models.trunks import Trunk


class Kind(NamedTuple):
    """What networks have in common that differ in their numbers alone."""

    method: str
    backbone: str
    image_size: int


class Runner(Protocol):
    """A trunk as an engine runs it. Several threads may call it at a time."""

    # About how many bytes it holds.
    bytes: int

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Return float32 tensors of uint8 images [B, 3, S, S], of any number."""


class Engine(Protocol):
    """Makes runners."""

    name: EngineName

    @property
    def precision(self) -> Precision:
        """That of its convolutions on this machine."""

    def compile(self, trunk: Trunk, kind: Kind) -> Runner:
        """Return what runs a trunk in eval mode; the trunk itself stays as it is.

        Raises whatever a network makes it raise that it cannot run.
        """

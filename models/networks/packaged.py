"""Published weights that an installed package holds, as a file of tensors."""

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from models.networks.weight_files import WeightsUnavailableError, WeightsUnfitError
from models.state import load_into


@dataclass(frozen=True)
class PackagedWeights:
    """Where a package holds weights, and the mean and deviation of the images they expect.

    `renamed` has patterns of the file's names and what stands for them in the network. `mean` and
    `std` are in [0, 1] units of RGB, the same for each channel.
    """

    package: str
    file: str
    sha256: str
    mean: float
    std: float
    renamed: Mapping[str, str]

    def load_into(self, module: nn.Module) -> tuple[Tensor, Tensor]:
        """Load the weights into a module and return the mean and deviation [3].

        The package is not imported. Raises WeightsUnavailableError where it is not installed and
        WeightsUnfitError where its file is another.
        """
        data = self.path().read_bytes()
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise WeightsUnfitError(
                f"{self.file} of the package {self.package} is not the published file: "
                "install the package again"
            )
        # A pickle, read so that no code in it runs.
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        offered = {self._name(key): tensor for key, tensor in found.items()}
        # The classifier of the file is left out here.
        load_into(module, {key: offered[key] for key in module.state_dict()})
        return torch.full((3,), self.mean), torch.full((3,), self.std)

    @property
    def is_installed(self) -> bool:
        """Whether the package with the file is installed."""
        try:
            self.path()
        except WeightsUnavailableError:
            return False
        return True

    def path(self) -> Path:
        """Return where the file is. Raises WeightsUnavailableError."""
        spec = find_spec(self.package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            if (path := Path(folder) / self.file).is_file():
                return path
        raise WeightsUnavailableError(
            f"the weights are in the package {self.package.replace('_', '-')}, which is not "
            "installed: install it where the worker runs"
        )

    def _name(self, key: str) -> str:
        for pattern, replacement in self.renamed.items():
            key = re.sub(pattern, replacement, key)
        return key

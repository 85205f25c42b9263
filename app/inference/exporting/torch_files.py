"""The zip of a version for PyTorch: tensors, what is computed, and a loader."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save

from app.inference.exporting import torch_loader
from models.torch_program import Program

# The same bytes whenever a version is exported.
_TIME = (1980, 1, 1, 0, 0, 0)


def pack(file: Path, program: Program, about: Mapping[str, object]) -> None:
    """Write the zip. `about` goes into ``model.json``, with the names of what the network gives."""
    described = json.dumps({**about, "outputs": program.outputs}, ensure_ascii=False, indent=1)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (
            ("load.py", Path(torch_loader.__file__).read_bytes()),
            ("model.json", described.encode()),
            ("network.py", program.source.encode()),
            ("model.safetensors", save(program.tensors)),
        ):
            # Not compressed: tensors hardly get smaller.
            archive.writestr(zipfile.ZipInfo(name, _TIME), content)

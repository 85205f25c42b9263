"""What runs the trunk of a version's network: PyTorch, or an engine that is faster here."""

from importlib.util import find_spec

import torch

from app.inference.budget import inference_threads
from app.settings import Settings
from models.engines.engine import Engine
from models.engines.names import PLAIN
from models.engines.openvino import OpenVINO
from models.engines.torchscript import TorchScript


def of(settings: Settings) -> list[Engine]:
    """Return the engines that may take PyTorch's place; none on a GPU or where it is asked for."""
    if settings.engine == PLAIN or torch.device(settings.predict_device).type != "cpu":
        return []
    engines: list[Engine] = []
    if find_spec("openvino") is not None:
        engines.append(OpenVINO(inference_threads(settings), settings.inference_batch))
    engines.append(TorchScript())
    return [engine for engine in engines if settings.engine in ("auto", engine.name)]

"""From a version's state to the module that predicts."""

from textwrap import shorten
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models import calibrated, evaluate, known, methods
from models.calibration import calibrate
from models.classify import Output, Servable, restrict
from models.compute import to_device
from models.errors import LearningError
from models.inference import Pause, no_pause
from models.learner import restore
from models.measuring import CPU
from models.spec import Spec
from models.state import State
from models.step import Sample
from models.trunks import Compile, as_it_is

# How far log-scores may be from those after training, relative to the largest, but at least 1.
# The same operations compute both on the same CPU, so they differ by rounding at most: libraries
# may sum in another order where memory is aligned otherwise. A tensor that is not restored changes
# far more.
_TOLERANCE = 1e-4
# What a module takes in memory besides the numbers of its tensors: measured as the growth of a
# process for each network loaded, of 15 to 220 modules.
_MODULE_BYTES = 3000
# The reason why a state cannot be loaded may name every tensor; it is cut to this length.
_REASON_LENGTH = 500


def load_servable(
    spec: Spec,
    state: State,
    *,
    task: int | None = None,
    classify: str = "auto",
    device: str = "cpu",
) -> Servable:
    """Return a module that takes uint8 images [B, 3, S, S] and returns an `Output`.

    It is frozen and in eval mode. Raises ValueError for a task or a way to classify that the
    method does not have.
    """
    method = restore(spec, state, torch.device(device))
    servable = calibrated.servable(method, state.parts.get(calibrated.PART, {}), task, classify)
    servable.requires_grad_(False).eval()
    return to_device(servable, torch.device(device))


class Predictions(NamedTuple):
    """What a version says of n images.

    `log_scores` [n, C] are over the classes considered, -inf for others. `p_known` [n] are the
    p-values of images of known classes, and `least` the smallest that one can have; None where the
    version cannot tell.
    """

    log_scores: Tensor
    p_known: Tensor | None
    least: float | None


def predictions(
    spec: Spec,
    state: State,
    images: Tensor,
    *,
    task: int | None = None,
    classify: str = "auto",
    device: torch.device = CPU,
    pause: Pause = no_pause,
    compile_trunk: Compile = as_it_is,
) -> Predictions:
    """Return what a version predicts for uint8 images [n, 3, S, S], as it does when it serves.

    `compile_trunk` makes what runs the trunk of each of its networks.

    Raises ValueError as `load_servable` does, and Cancelled where `pause` does.
    """
    method = methods.get(spec.method)
    given = task if method.needs.task_id else None
    servable = load_servable(spec, state, task=given, classify=classify, device=str(device))
    output = evaluate.predict(
        servable, images, device, pause, whole=True, compile_trunk=compile_trunk
    )
    log_scores = output.log_scores
    if task != given:
        within = torch.tensor([each == task for each in state.tasks])
        log_scores = restrict(log_scores, within)
        way = method.classify[0] if classify == "auto" else classify
        curve = state.parts.get(calibrated.PART, {}).get(calibrated.name(way, task))
        if curve is not None:
            log_scores = calibrate(Output(log_scores), curve).log_scores
    # Images are known among all classes, by the default way to classify.
    default = task is None and classify in ("auto", method.classify[0])
    held_out = state.parts.get(known.PART, {}) if default else {}
    p_known = known.p_values(known.scores(output), held_out) if held_out else None
    return Predictions(log_scores, p_known, known.smallest_p(held_out))


def size_of(servable: nn.Module) -> int:
    """Return the bytes of a module: its parameters and buffers, and about what its modules take."""
    tensors = (*servable.parameters(), *servable.buffers())
    storages = {item.untyped_storage().data_ptr(): item.untyped_storage() for item in tensors}
    modules = sum(1 for _ in servable.modules())
    return sum(storage.nbytes() for storage in storages.values()) + _MODULE_BYTES * modules


def check_read_back(spec: Spec, state: State, sample: Sample) -> None:
    """Load a version as serving does, and compare what it predicts with what was trained.

    Raises LearningError where that differs, and whatever loading a state raises that does not fit.
    """
    method = restore(spec, state)
    for (task, classify), expected in sample.log_scores.items():
        servable = calibrated.servable(method, state.parts.get(calibrated.PART, {}), task, classify)
        servable = to_device(servable.requires_grad_(False), CPU)
        output = evaluate.predict(servable, sample.image, CPU)
        found = output.log_scores
        within = "" if task is None else f" within task {task}"
        if bool(found.isnan().any()):
            raise read_back_failed(spec, f"it gives an image no finite scores{within}")
        if not _close(found, expected):
            raise read_back_failed(spec, f"it gives an image other scores{within} than before")
        deviations = sample.deviations.get((task, classify))
        if deviations is not None and (
            output.deviations is None or not _close(output.deviations, deviations)
        ):
            raise read_back_failed(
                spec, f"its distances from an image{within} are others than before"
            )


def read_back_failed(spec: Spec, reason: str) -> LearningError:
    """Return the error of a version that could not be used once it is published."""
    return LearningError(
        "read-back-failed",
        f"the version was not published: read back from what is stored, {reason}; use another "
        f"method than {spec.method} or another backbone than {spec.backbone}",
    )


def why(error: Exception) -> str:
    """Return in few words why a version could not be loaded."""
    return f"{type(error).__name__}: {shorten(str(error), _REASON_LENGTH, placeholder=' …')}"


def _close(found: Tensor, expected: Tensor) -> bool:
    """Say whether log-scores [1, C] are equal but for rounding; -inf only equals itself."""
    if found.shape != expected.shape:
        return False
    largest = float(expected[expected.isfinite()].abs().max())
    return torch.allclose(found, expected, rtol=0, atol=_TOLERANCE * max(1.0, largest))

"""A version in memory: its class map, and an LRU cache of the modules that predict with it."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from weakref import WeakSet

import numpy as np
import torch
from numpy.typing import NDArray

from app.imaging.decode import decode
from app.imaging.reading import ImageLimits, UnreadableImageError
from app.inference.batcher import Run
from app.inference.errors import ClassifyNotOfferedError, UnknownTaskError, VersionUnreadableError
from app.inference.lru import LruCache
from app.inference.stored import StoredVersion
from app.storage import TensorStore
from models import calibrated, known, methods, state
from models.calibration import calibrate
from models.classify import Output, Servable, restrict
from models.compute import is_out_of_memory
from models.preprocess import pixel_rules
from models.serving import load_servable, size_of, why
from models.spec import Spec

# Predictors cached for one version besides its default: other ways to classify, single tasks.
_CACHED_PREDICTORS = 8


@dataclass(frozen=True, slots=True)
class Prediction:
    """One image's log-scores by column, -inf where a column was not considered.

    `p_known` is the p-value of an image of a known class, None where it is not known.
    """

    log_scores: NDArray[np.float32]
    distances: NDArray[np.float32] | None
    p_known: float | None = None


class ServablePredictor:
    """Decodes a batch and runs one forward pass. Compared by identity: one batch, one module."""

    def __init__(
        self,
        servable: Servable,
        spec: Spec,
        rules: int,
        limits: ImageLimits,
        held_out: known.Scores,
    ) -> None:
        """Take a module, and the ascending scores of held-out images, none where it has none."""
        self._servable = servable
        self._held_out = held_out
        self._size = spec.image_size
        self._to_pixels = partial(
            decode, size=spec.image_size, limits=limits, resize=spec.resize, rules=rules
        )
        self.bytes = size_of(servable)

    def __del__(self) -> None:
        # Hooks refer to the module that they belong to. Such a cycle would hold the tensors of an
        # evicted version until the next garbage collection, which may be hours away.
        for module in self._servable.modules():
            module._forward_hooks.clear()
            module._forward_pre_hooks.clear()

    def run(self, images: Sequence[bytes]) -> Run:
        """Return a `Prediction` or an UnreadableImageError for each image."""
        begun = time.perf_counter()
        decoded = [self._decode(image) for image in images]
        pixels = [item for item in decoded if isinstance(item, np.ndarray)]
        inferring = time.perf_counter()
        predictions = iter(self._forward(np.stack(pixels)) if pixels else ())
        ended = time.perf_counter()
        outcomes = [next(predictions) if isinstance(item, np.ndarray) else item for item in decoded]
        return Run(outcomes, inferring - begun, ended - inferring)

    def warm(self) -> None:
        """Run once, so that the first request does not pay for the setup of a forward pass."""
        self._forward(np.zeros((1, self._size, self._size, 3), np.uint8))

    def _decode(self, image: bytes) -> NDArray[np.uint8] | UnreadableImageError:
        try:
            return self._to_pixels(image)
        except UnreadableImageError as error:
            return error

    @torch.inference_mode()
    def _forward(self, pixels: NDArray[np.uint8]) -> list[Prediction]:
        output = self._servable(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        scores = output.log_scores.numpy()
        nothing = [None] * len(scores)
        distances = nothing if output.distances is None else output.distances.numpy()
        p_known = (
            known.p_values(known.scores(output), self._held_out).tolist()
            if self._held_out
            else nothing
        )
        return [Prediction(*row) for row in zip(scores, distances, p_known, strict=True)]


class RestrictedPredictor:
    """Another predictor, with the scores restricted to the columns of one task.

    They are calibrated by a curve, where the version has one.
    """

    def __init__(
        self, whole: ServablePredictor, columns: torch.Tensor, curve: torch.Tensor | None
    ) -> None:
        self._whole = whole
        self._columns = columns
        self._curve = curve

    def run(self, images: Sequence[bytes]) -> Run:
        """Return a `Prediction` or an UnreadableImageError for each image."""
        run = self._whole.run(images)
        return Run([self._restricted(item) for item in run.outcomes], run.decode, run.infer)

    def _restricted(
        self, outcome: Prediction | UnreadableImageError
    ) -> Prediction | UnreadableImageError:
        if isinstance(outcome, UnreadableImageError):
            return outcome
        scores = restrict(torch.from_numpy(outcome.log_scores)[None], self._columns)
        if self._curve is not None:
            scores = calibrate(Output(scores), self._curve).log_scores
        # How surely it is known was judged among all classes.
        return Prediction(scores[0].numpy(), outcome.distances)


AnyPredictor = ServablePredictor | RestrictedPredictor


class LoadedVersion:
    """A version ready to predict."""

    def __init__(self, stored: StoredVersion, store: TensorStore, limits: ImageLimits) -> None:
        """Read, build and warm up the default predictor.

        Raises VersionUnreadableError, which tells missing or damaged bytes from tensors that do
        not fit the network, and from a storage that does not answer.
        """
        self.id = stored.id
        self.number = stored.number
        self.labels = stored.labels
        self.tasks = stored.tasks
        self._stored = stored
        self._spec = stored.spec
        self._store = store
        self._limits = limits
        self._columns = torch.tensor(stored.tasks)
        # Two requests for a predictor that is not cached build it once.
        self._building = threading.Lock()
        self._cached: LruCache[tuple[int | None, str], AnyPredictor] = LruCache(_CACHED_PREDICTORS)
        self._built: WeakSet[ServablePredictor] = WeakSet()
        # The scores of its held-out images, by which images are known.
        self.held_out: known.Scores = {}
        self._curves: state.Tensors = {}
        self._default = self._build(None, "auto", warm=True)

    @property
    def false_alarms(self) -> float:
        """The share of images of known classes that may be called unknown."""
        return self._spec.false_alarms

    @property
    def bytes(self) -> int:
        """The bytes of the predictors in memory: tensors, and about what modules take."""
        return sum(predictor.bytes for predictor in list(self._built))

    def ready(self, task: int | None, classify: str) -> AnyPredictor | None:
        """Return the predictor if it is in memory. Never blocks for long."""
        if task is None and classify == "auto":
            return self._default
        return self._cached.get((task, classify))

    def predictor(self, task: int | None, classify: str) -> AnyPredictor:
        """Return the predictor, and build it if it is not in memory: call from a thread.

        Raises UnknownTaskError, ClassifyNotOfferedError and VersionUnreadableError.
        """
        if task is not None and task not in self.tasks:
            raise UnknownTaskError(f"Version {self.number} has no task {task}.")
        method = methods.get(self._spec.method)
        offered = method.offered(self._stored.part_names)
        if classify in method.classify and classify not in offered:
            raise ClassifyNotOfferedError(
                f"Version {self.number} was learnt by a release that did not have {classify}. "
                f"Ask for {' or '.join(offered)}, or for a newer version."
            )
        if classify != "auto" and classify not in offered:
            raise ClassifyNotOfferedError(
                f"{self._spec.method} classifies by {' or '.join(offered)} only."
            )
        with self._building:
            if (built := self.ready(task, classify)) is None:
                built = self._variant(task, classify)
                self._cached.put((task, classify), built)
            return built

    def _variant(self, task: int | None, classify: str) -> AnyPredictor:
        if task is None or methods.needs(self._spec.method).task_id:
            return self._build(task, classify)
        whole = self._default if classify == "auto" else self._build(None, classify)
        way = methods.get(self._spec.method).classify[0] if classify == "auto" else classify
        curve = self._curves.get(calibrated.name(way, task))
        return RestrictedPredictor(whole, self._columns == task, curve)

    def _build(self, task: int | None, classify: str, *, warm: bool = False) -> ServablePredictor:
        loaded = state.State(self._stored.tensors(self._store), self.tasks)
        try:
            servable = load_servable(self._spec, loaded, task=task, classify=classify)
            rules = pixel_rules(loaded.parts["preprocess"])
            own = self._judged(loaded, task, classify)
            predictor = ServablePredictor(servable, self._spec, rules, self._limits, own)
            if warm:
                predictor.warm()
        except Exception as error:  # methods and backbones of other packages may raise anything
            if is_out_of_memory(error):
                raise VersionUnreadableError(
                    f"This server has too little memory to load version {self.number}."
                ) from error
            raise VersionUnreadableError(
                f"The stored bytes of version {self.number} are whole, but they do not fit the "
                f"backbone {self._spec.backbone} and the method {self._spec.method} as they are "
                f"installed here ({why(error)}). Install the release that made the version, or "
                "promote another one."
            ) from error
        if warm:
            self.held_out = own
            self._curves = loaded.parts.get(calibrated.PART, {})
        self._built.add(predictor)
        return predictor

    def _judged(self, loaded: state.State, task: int | None, classify: str) -> known.Scores:
        """Return the scores of the held-out images, which are those of the default predictor."""
        default = methods.get(self._spec.method).classify[0]
        if task is not None or classify not in ("auto", default):
            return {}
        return loaded.parts.get(known.PART, {})

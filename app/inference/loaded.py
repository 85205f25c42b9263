"""A version in memory: its class map, and an LRU cache of the modules that predict with it."""

import threading
from collections.abc import Callable
from functools import partial
from weakref import WeakSet, ref

import torch

from app.imaging.reading import ImageLimits
from app.imaging.rules import CURRENT
from app.inference import devices
from app.inference.engines.accelerator import Job
from app.inference.errors import (
    ClassifyNotOfferedError,
    NoHeatMapError,
    UnknownTaskError,
    VersionUnreadableError,
)
from app.inference.explaining import ExplainingPredictor
from app.inference.lru import LruCache
from app.inference.predictor import AnyPredictor, RestrictedPredictor, ServablePredictor
from app.inference.similar import SimilarImages
from app.inference.stored import StoredVersion
from app.services.classifiers.version_views import EngineView
from app.storage import TensorStore
from models import calibrated, known, methods, state
from models.compute import is_out_of_memory
from models.engines.engine import Kind
from models.explaining import NoFeatureMapError
from models.measuring import CPU
from models.preprocess import pixel_rules
from models.serving import load_servable, why

# Predictors cached for one version besides its default: other ways to classify, single tasks.
_CACHED_PREDICTORS = 8
# Those that explain, or find similar images, hold a network of their own, and share it.
_CACHED_EXPLAINING = 1


class LoadedVersion:
    """A version ready to predict."""

    def __init__(
        self,
        stored: StoredVersion,
        store: TensorStore,
        limits: ImageLimits,
        *,
        device: torch.device = CPU,
        accelerate: Callable[[Job], None] = lambda _job: None,
        on_resize: Callable[["LoadedVersion"], None] = lambda _version: None,
    ) -> None:
        """Read, build and warm up the default predictor.

        `accelerate` is called with each predictor that has turned out to be busy, and `on_resize`
        once that has another engine. Raises VersionUnreadableError, which tells missing or damaged
        bytes from tensors that do not fit the network, and from a storage that does not answer.
        """
        self.id = stored.id
        self.number = stored.number
        self.labels = stored.labels
        self.tasks = stored.tasks
        self._stored = stored
        self._spec = stored.spec
        self._store = store
        self._limits = limits
        self._device = device
        self._accelerate = accelerate
        self._on_resize = on_resize
        self._columns = torch.tensor(stored.tasks)
        # Two requests for a predictor that is not cached build it once.
        self._building = threading.Lock()
        self._cached: LruCache[tuple[int | None, str], AnyPredictor] = LruCache(_CACHED_PREDICTORS)
        self._explaining: LruCache[tuple[int | None, str], ExplainingPredictor] = LruCache(
            _CACHED_EXPLAINING
        )
        self._similar: LruCache[int | None, SimilarImages] = LruCache(_CACHED_EXPLAINING)
        self._in_pytorch: LruCache[tuple[int | None, str], ServablePredictor] = LruCache(
            _CACHED_EXPLAINING
        )
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

    @property
    def engine(self) -> EngineView:
        """What runs the network of the default predictor."""
        return self._default.engine

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

    def explaining(self, task: int | None, classify: str) -> ExplainingPredictor:
        """Return what predicts like `predictor` and explains: call from a thread.

        Raises what that raises, and NoHeatMapError.
        """
        answering = self.predictor(task, classify)
        with self._building:
            if (built := self._explaining.get((task, classify))) is None:
                own = task if methods.needs(self._spec.method).task_id else None
                try:
                    built = ExplainingPredictor(answering, self._plain(own, classify))
                except NoFeatureMapError:
                    raise NoHeatMapError(
                        f"{self._spec.backbone} has no feature map, so there is nothing to show of "
                        "where it looks: leave out explain, or use another backbone."
                    ) from None
                self._explaining.put((task, classify), built)
            return built

    def similar(self, label: str) -> SimilarImages:
        """Return what finds images that look alike to the network of a class: call from a thread.

        Raises ValueError for a label that the version does not know.
        """
        task = self.tasks[self.labels.index(label)]
        own = task if methods.needs(self._spec.method).task_id else None
        with self._building:
            if (found := self._similar.get(own)) is None:
                found = SimilarImages(self._plain(own, "auto"))
                self._similar.put(own, found)
            return found

    def _plain(self, task: int | None, classify: str) -> ServablePredictor:
        """Return a predictor that PyTorch runs itself: the others may run in an engine."""
        if (built := self._in_pytorch.get((task, classify))) is None:
            built = self._build(task, classify)
            built.on_busy = None
            self._in_pytorch.put((task, classify), built)
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
            servable = load_servable(
                self._spec, loaded, task=task, classify=classify, device=str(self._device)
            )
            module = devices.module_on(servable, self._device)
            rules = pixel_rules(loaded.parts["preprocess"])
            self._require_known(rules)
            own = self._judged(loaded, task, classify)
            predictor = ServablePredictor(module, self._spec, rules, self._limits, own)
            if warm:
                predictor.warm()
        except VersionUnreadableError:
            raise
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
        predictor.on_busy = partial(self._accelerate, self._job(predictor))
        return predictor

    def _require_known(self, rules: int) -> None:
        if rules > CURRENT:
            raise VersionUnreadableError(
                f"Version {self.number} was made by a newer release, which turns files into pixels "
                f"by rules {rules}; this one knows them up to {CURRENT}. Install that release, or "
                "promote another version."
            )

    def _job(self, predictor: ServablePredictor) -> Job:
        spec, own, on_resize = self._spec, ref(self), self._on_resize

        def done() -> None:
            if (version := own()) is not None:
                on_resize(version)

        kind = Kind(spec.method, spec.backbone, spec.image_size)
        return Job(ref(predictor), self.id, kind, done)

    def _judged(self, loaded: state.State, task: int | None, classify: str) -> known.Scores:
        """Return the scores of the held-out images, which are those of the default predictor."""
        default = methods.get(self._spec.method).classify[0]
        if task is not None or classify not in ("auto", default):
            return {}
        return loaded.parts.get(known.PART, {})

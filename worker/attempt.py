"""One attempt at a job, as its training process sees it."""

import threading
from dataclasses import dataclass, field
from functools import cached_property

from app.services.jobs.checkpoints import SavedCheckpoint
from app.services.steps.plans import ClassifierPlan, JobPlan, LearnPlan
from app.storage import BlobStore, TensorStore, open_store, with_cache
from models import methods
from models.spec import Spec
from worker.protocol import Resources, Send
from worker.reporter import Reporter


class StopOrder:
    """The worker's order to stop, which may ask for a checkpoint first."""

    def __init__(self) -> None:
        self._given = threading.Event()
        self.saving = False

    def give(self, *, saving: bool) -> None:
        """Have the step stop. `saving` is set first: a thread that sees the order sees it too."""
        self.saving |= saving
        self._given.set()

    def is_set(self) -> bool:
        """Say whether the order was given."""
        return self._given.is_set()

    @property
    def cancels(self) -> bool:
        """Whether neither the result nor a checkpoint is wanted any more."""
        return self._given.is_set() and not self.saving


@dataclass(frozen=True)
class Attempt:
    """What a training process works with: the plan, this machine's resources, and its worker.

    `send` takes messages to the worker, `stop` has its order to stop, and `checkpoint` is what an
    earlier attempt saved.
    """

    plan: JobPlan
    resources: Resources
    send: Send
    stop: StopOrder = field(default_factory=StopOrder)
    checkpoint: SavedCheckpoint | None = None

    @cached_property
    def reporter(self) -> Reporter:
        """What reports progress through `send`."""
        return Reporter(self.send)

    @cached_property
    def store(self) -> BlobStore:
        """The service's storage. Raises what `open_store` does."""
        return open_store(self.resources.storage_url)

    @cached_property
    def tensors(self) -> TensorStore:
        """The storage with this machine's cache before it, which tensors of versions go through."""
        return with_cache(self.store, self.resources.cache)

    @property
    def version_plan(self) -> ClassifierPlan:
        """The plan of a job that makes a version, or is about one."""
        assert isinstance(self.plan, ClassifierPlan)  # noqa: S101 - others do not ask
        return self.plan

    @cached_property
    def spec(self) -> Spec:
        """The classifier's spec with every default filled in. Raises InvalidSpecError."""
        plan = self.version_plan
        if isinstance(plan, LearnPlan) and plan.base_spec is not None:
            return methods.complete(methods.going_on(plan.spec, plan.base_spec.options))
        return methods.complete(plan.spec)

"""The annotated tasks of a project as a source of labelled images."""

from collections.abc import Callable, Iterator, Sequence

from app.services.label_studio.annotations import AnnotatedTask, UnclearError, label_of
from app.services.label_studio.labelling_config import LabellingConfig
from app.services.label_studio.server import NotFetchedError
from app.services.uploads.sources import Item, Rejection, UploadLimits

# Images that are fetched side by side, and are in memory.
_AT_ONCE = 8

Fetch = Callable[[Sequence[AnnotatedTask]], Sequence[bytes | NotFetchedError]]


class AnnotatedSource:
    """Tasks whose annotations name a class. Images are named by their task: ``task 12``."""

    def __init__(
        self, tasks: Sequence[AnnotatedTask], config: LabellingConfig, fetch: Fetch
    ) -> None:
        """Take the tasks, and what fetches the images of some of them, in their order."""
        self._fetch = fetch
        self._unclear: list[Rejection] = []
        self._labelled: list[tuple[AnnotatedTask, str]] = []
        for task in tasks:
            try:
                label = label_of(task, config)
            except UnclearError as error:
                self._unclear.append(Rejection(_name(task), str(error)))
            else:
                if label is not None:
                    self._labelled.append((task, label))

    @property
    def annotated(self) -> int:
        """How many tasks have annotations that name a class, or several."""
        return len(self._labelled) + len(self._unclear)

    def items(self, limits: UploadLimits) -> Iterator[Item | Rejection]:
        """Yield the images in the order of their tasks."""
        yield from self._unclear
        for start in range(0, len(self._labelled), _AT_ONCE):
            some = self._labelled[start : start + _AT_ONCE]
            files = self._fetch([task for task, _ in some])
            for (task, label), file in zip(some, files, strict=True):
                if isinstance(file, NotFetchedError):
                    yield Rejection(_name(task), str(file), label)
                else:
                    yield Item(_name(task), label, file)

    def close(self) -> None:
        """Do nothing: no file is open."""


def _name(task: AnnotatedTask) -> str:
    return f"task {task.id}"

"""Collecting: sanitise the images of a source and store them, before any row is written.

So a refused upload leaves no row, and a sweep removes its blobs.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TypeVar

import structlog

from app.db.repositories.blobs import ImageRow
from app.errors import FieldError, ServiceError
from app.imaging.reading import UnreadableImageError
from app.imaging.sanitise import SanitisedImage, sanitise
from app.services.labels import clean_group, clean_label, named
from app.services.stored import StorageChangedError, StorageFullError, StorageUnavailableError
from app.services.uploads import rejections
from app.services.uploads.sources import (
    GroupBy,
    Item,
    Rejection,
    Source,
    Split,
    UploadLimits,
    Warned,
    WrappingFolder,
    shown,
)
from app.storage import BlobStore, is_full

# Threads that decode images, which releases the interpreter's lock. A remote store is worth more
# threads for storing, but not for decoding: decoded images are large.
_DECODERS = 4
# Images that a thread takes at once: handing over one of a few kilobytes costs as much as it does.
_GROUP, _GROUP_BYTES = 32, 1 << 16
# Images of fewer bytes hardly release the lock, so that threads only take it from one another.
_SMALL_BYTES = 1 << 13

_In = TypeVar("_In")
_Out = TypeVar("_Out")

log = structlog.get_logger(__name__)


class NoUsableImagesError(ServiceError, status=422, code="no-usable-images"):
    """Nothing that was sent can be trained on."""


class RejectedImagesError(ServiceError, status=422, code="rejected-images"):
    """Some images are refused, and `strict` makes it all or nothing."""


class TooManyImagesError(ServiceError, status=413, code="too-many-images"):
    """The upload holds more images than this server accepts in one upload."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"An upload holds at most {limit} images. Use several uploads.")


# What `collect` may raise, besides what its source raises.
COLLECT_ERRORS = (
    NoUsableImagesError,
    RejectedImagesError,
    TooManyImagesError,
    StorageFullError,
    StorageChangedError,
    StorageUnavailableError,
)


@dataclass(frozen=True)
class PreparedImage:
    """A labelled image in the blob store, ready for its rows."""

    row: ImageRow
    label: str
    split: Split
    name: str
    group: str | None


@dataclass(frozen=True)
class Collected:
    """The images of a source, stored but without rows. Each (label, picture) occurs once."""

    images: tuple[PreparedImage, ...]
    duplicates: int
    rejected: tuple[Rejection, ...]
    # The folder around the folders of classes that was taken off.
    wrapping_folder: str | None
    warnings: tuple[str, ...]
    # Whether an image with two labels is to be refused.
    strict: bool
    # Whether the upload is the group of the images that have no other.
    one_group: bool
    store: BlobStore

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of their first image."""
        return tuple(dict.fromkeys(image.label for image in self.images))


def collect(
    store: BlobStore,
    source: Source,
    *,
    limits: UploadLimits,
    strict: bool = False,
    split: Split = "train",
    group_by: GroupBy | None = None,
) -> Collected:
    """Sanitise and store every image of the source, write no row, and close the source.

    Raises one of `COLLECT_ERRORS`, or what the source raises where it is refused as a whole.
    """
    decoding = _Decoding(remote=store.parallel > 1)
    wrapping_folder = None
    warnings: list[str] = []

    def files() -> Iterator[Item | Rejection]:
        nonlocal wrapping_folder
        for found in source.items(limits):
            if isinstance(found, WrappingFolder):
                wrapping_folder = shown(found.name)
            elif isinstance(found, Warned):
                warnings.append(found.text)
            else:
                yield found

    images: dict[tuple[str, str], PreparedImage] = {}
    rejected: list[Rejection] = []
    duplicates = 0
    regrouped: list[str] = []
    try:
        with _bulk(store) as put:
            prepare = partial(_prepare, put=put, limits=limits, split=split, decoding=decoding)
            groups = _grouped(_counted(files(), limits.images))
            threads = max(_DECODERS, store.parallel)
            prepared = _in_order(prepare, groups, threads)
            for result in chain.from_iterable(prepared):
                if isinstance(result, Rejection):
                    rejected.append(result)
                elif first := images.get(key := (result.label, result.row.picture)):
                    duplicates += 1
                    if result.group not in (None, first.group):
                        regrouped.append(result.name)
                else:
                    images[key] = result
    finally:
        source.close()
    if strict and rejected:
        sent = len(images) + duplicates + len(rejected)
        raise RejectedImagesError(
            f"{len(rejected)} of {sent} files cannot be used, and strict=true refuses them all: "
            f"{rejections.in_words(rejections.grouped(rejected))}.",
            errors=_listed(rejected),
        )
    if not images:
        why = f": {rejections.in_words(rejections.grouped(rejected))}" if rejected else ""
        raise NoUsableImagesError(
            f"Nothing that was sent is an image under a class name{why}.", errors=_listed(rejected)
        )
    warnings += regrouped_warnings(regrouped)
    return Collected(
        images=tuple(images.values()),
        duplicates=duplicates,
        rejected=tuple(rejected),
        wrapping_folder=wrapping_folder,
        warnings=tuple(warnings),
        strict=strict,
        one_group=group_by == "upload",
        store=store,
    )


@contextmanager
def _bulk(store: BlobStore) -> Iterator[Callable[[bytes], str]]:
    """Give a `put` for many images, with the errors of a service."""
    try:
        with store.bulk() as put:
            yield put
    except OSError as error:
        log.error("image_not_stored", error=error)
        if is_full(error):
            raise StorageFullError("The storage is full, so the image was not stored.") from error
        raise StorageUnavailableError from error


def regrouped_warnings(names: Sequence[str]) -> list[str]:
    """Return what is said of images that were left out, as their class has them in other groups."""
    if not names:
        return []
    return [
        f"{len(names)} images are the same as another one of their class that is in another group, "
        f"or in none, and that one counts: {named(names)}. If their groups are the same thing, "
        "send them again under one name."
    ]


class _Decoding:
    """Says how many threads decode at once: several, but one where images are small.

    `remote`: storing is waiting for the network.
    """

    def __init__(self, *, remote: bool) -> None:
        self.remote = remote
        self._large = threading.BoundedSemaphore(_DECODERS)
        self._small = threading.Lock()

    def turn(self, group: Sequence[Item | Rejection]) -> AbstractContextManager[object]:
        """Return what a thread holds while it decodes a group."""
        size = sum(len(item.data) for item in group if isinstance(item, Item))
        return self._small if size < _SMALL_BYTES * len(group) else self._large


def _prepare(
    group: Sequence[Item | Rejection],
    *,
    put: Callable[[bytes], str],
    limits: UploadLimits,
    split: Split,
    decoding: _Decoding,
) -> list[PreparedImage | Rejection]:
    with ExitStack() as turn:
        turn.enter_context(decoding.turn(group))
        checked = [_checked(item, limits) for item in group]
        if decoding.remote:
            turn.close()  # others decode while these are sent
        return [
            each if isinstance(each, Rejection) else _stored(each, put(each.image.data), split)
            for each in checked
        ]


@dataclass(frozen=True)
class _Checked:
    """An image that can be trained on, with what is said of it."""

    item: Item
    label: str
    group: str | None
    image: SanitisedImage


def _checked(item: Item | Rejection, limits: UploadLimits) -> _Checked | Rejection:
    if isinstance(item, Rejection):
        return _as_shown(item)
    try:
        label = clean_label(item.label)
        group = None if item.group is None else clean_group(item.group)
    except ValueError as error:
        return Rejection(shown(item.name), str(error))
    try:
        return _Checked(item, label, group, sanitise(item.data, limits.image))
    except UnreadableImageError as error:
        return Rejection(shown(item.name), str(error), label)


def _stored(checked: _Checked, sha256: str, split: Split) -> PreparedImage:
    image = checked.image
    return PreparedImage(
        row=ImageRow(
            sha256,
            len(image.data),
            image.media_type,
            image.width,
            image.height,
            pixels_sha256=image.identity.pixels,
            perceptual_hash=image.identity.look,
        ),
        label=checked.label,
        split=checked.item.split or split,
        name=shown(checked.item.name),
        group=checked.group,
    )


def _as_shown(rejection: Rejection) -> Rejection:
    try:
        label = None if rejection.label is None else clean_label(rejection.label)
    except ValueError:  # not the label of any class
        label = None
    return Rejection(shown(rejection.name), rejection.reason, label)


def _counted(items: Iterable[Item | Rejection], limit: int) -> Iterator[Item | Rejection]:
    for count, item in enumerate(items, start=1):
        if count > limit:
            raise TooManyImagesError(limit)
        yield item


def _grouped(items: Iterable[Item | Rejection]) -> Iterator[list[Item | Rejection]]:
    """Yield the items in groups for one thread each: one by one where they are large."""
    group: list[Item | Rejection] = []
    size = 0
    for item in items:
        group.append(item)
        size += len(item.data) if isinstance(item, Item) else 0
        if len(group) == _GROUP or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _in_order(
    function: Callable[[_In], _Out], values: Iterable[_In], threads: int
) -> Iterator[_Out]:
    """Map over threads: results in order, few values in memory."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_Out]] = deque()
        for value in values:
            waiting.append(pool.submit(function, value))
            if len(waiting) > threads + _DECODERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _listed(rejected: Sequence[Rejection]) -> list[FieldError]:
    return [FieldError(f"/{rejection.name}", rejection.reason) for rejection in rejected[:100]]

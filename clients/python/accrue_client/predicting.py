"""Predictions: of one image as it is, of many in forms of bounded size."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypedDict

from accrue_client.http_api import Api, classifier_path
from accrue_client.images import data_of, size_of
from accrue_client.parts import GUESSED_BYTES, PART_BYTES, files_form
from accrue_client.steps import Steps, work
from accrue_client.views import Prediction, Unreadable

# Images in one request: enough that the network, not HTTP, takes the time.
BATCH = 32
# Requests under way at once: the next images are sent while the last ones are predicted.
AT_ONCE = 4


class AskedFields(TypedDict, total=False):
    """What may be asked of a prediction. What is left out, or None, the service chooses."""

    version: int | str | None
    top_k: int | None
    task: int | None
    classify: Literal["auto", "nearest_mean", "softmax", "discriminant"] | None
    false_alarms: float | None
    explain: bool | None


def predict_one(api: Api, classifier: str, image: Any, asked: AskedFields) -> Steps[Prediction]:
    """Return what one image shows. Raises UnreadableImageError where it cannot be read."""
    data = yield from work(lambda: data_of(image))
    headers = {"Content-Type": "image/jpeg"}  # or another: it is known by its first bytes
    path = f"{classifier_path(classifier)}/predict"
    answer = yield from api.post_bytes(path, data, headers, repeatable=True, **asked)
    return Prediction.of(answer["results"][0])


def predict_batch(
    api: Api, classifier: str, images: Sequence[Any], asked: AskedFields
) -> Steps[list[Prediction | Unreadable]]:
    """Return what images show, in their order."""
    form = yield from work(lambda: files_form([data_of(image) for image in images]))
    path = f"{classifier_path(classifier)}/predict"
    answer = yield from api.post_bytes(path, form.content, form.headers, repeatable=True, **asked)
    return [_outcome(result) for result in answer["results"]]


def batches(
    images: Iterable[Any], size: int = BATCH, limit: int = PART_BYTES
) -> Iterator[list[Any]]:
    """Yield images in batches of at most `limit` bytes or one image, one image ahead."""
    batch: list[Any] = []
    filled = 0
    for image in images:
        expected = size_of(image) or GUESSED_BYTES
        if batch and (len(batch) == size or filled + expected > limit):
            yield batch
            batch, filled = [], 0
        batch.append(image)
        filled += expected
    if batch:
        yield batch


def _outcome(result: dict[str, Any]) -> Prediction | Unreadable:
    if "error" in result:
        return Unreadable.of(result["error"])
    return Prediction.of(result)

"""Of which class annotations say that an image is."""

from typing import Any

import pytest

from app.services.label_studio.annotations import AnnotatedTask, UnclearError, label_of
from app.services.label_studio.labelling_config import parse
from tests.app.services.label_studio.site import CONFIG, annotated


def task(*annotations: tuple[tuple[str, ...], dict[str, Any]]) -> AnnotatedTask:
    """A task with one annotation for each of (labels, what else it says)."""
    made = [annotated(1, "/x.png", *labels, **given) for labels, given in annotations]
    whole = {**made[0], "annotations": [each["annotations"][0] for each in made]}
    return AnnotatedTask.model_validate(whole)


@pytest.mark.parametrize(
    ("annotations", "label"),
    [
        ([(("a",), {})], "a"),
        ([(("a",), {}), (("a",), {})], "a"),
        ([(("a",), {}), (("b",), {"was_cancelled": True})], "a"),
        ([(("a",), {}), (("b",), {"ground_truth": True})], "b"),
        ([((), {})], None),
        ([(("a",), {"was_cancelled": True})], None),
        ([(("a",), {"result": []})], None),
    ],
)
def test_the_class(annotations: list[Any], label: str | None) -> None:
    assert label_of(task(*annotations), parse(CONFIG)) == label


def test_parts_of_other_tags_do_not_count() -> None:
    given = annotated(1, "/x.png", "a")
    (result,) = given["annotations"][0]["result"]
    given["annotations"][0]["result"] = [
        {**result, "from_name": "other", "value": {"choices": ["b"]}},
        {**result, "type": "textarea", "value": {"text": ["c"]}},
        result,
    ]
    assert label_of(AnnotatedTask.model_validate(given), parse(CONFIG)) == "a"


@pytest.mark.parametrize(
    ("annotations", "why"),
    [
        ([(("a",), {}), (("b",), {})], "differ: 'a', 'b'"),
        ([(("a", "b"), {})], "several classes: 'a', 'b'"),
    ],
)
def test_unclear_ones(annotations: list[Any], why: str) -> None:
    with pytest.raises(UnclearError, match=why):
        label_of(task(*annotations), parse(CONFIG))

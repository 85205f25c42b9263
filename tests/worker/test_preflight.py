"""What is said of a step before it starts."""

from dataclasses import replace
from typing import Any

import pytest

from app.db.repositories.learning import SizedImage
from app.services.classifiers.spec import Promotion
from app.services.steps.plans import FreshImage, LearnPlan, PlannedClass
from models.errors import LearningError
from models.spec import Spec
from worker import preflight


def a_class(label: str, **fields: Any) -> PlannedClass:
    given = {
        "index": 0,
        "task": 0,
        "known": False,
        "train_images": 10,
        "ranking_id": None,
        "exemplars": (),
        "held_out": (),
        "new_held_out": ("h",),
    }
    return PlannedClass(label=label, **{**given, **fields})


def a_plan(*classes: PlannedClass, fresh: dict[int, list[int]]) -> LearnPlan:
    """`fresh` are the sizes of the new images by column."""
    images = [FreshImage("f", size, column) for column in fresh for size in fresh[column]]
    return LearnPlan(
        job_id="job_1",
        classifier_id="cls_1",
        spec=Spec(),
        promotion=Promotion(),
        base_version_id=None,
        parts={},
        history=None,
        classes=classes,
        last_index=-1,
        last_task=-1,
        fresh=tuple(images),
    )


KNOWN = a_class("known", known=True, exemplars=(SizedImage("e", 600), SizedImage("f", 100)))
NEW = a_class("new")


@pytest.mark.parametrize(
    ("memory", "too_small"),
    [
        ({"megabytes": 0.001199}, "'known'"),  # its first exemplar stays the first
        ({"megabytes": 0.0012}, None),
        ({"exemplars": 1}, "'known', 'new'"),
        ({"exemplars": 2}, None),
    ],
)
def test_a_memory_that_must_be_too_small_is_found_before_training(
    memory: dict[str, Any], too_small: str | None
) -> None:
    plan = a_plan(KNOWN, NEW, fresh={1: [700, 500]})
    if too_small is None:
        preflight.check_memory(plan, Spec(memory=memory), [700, 500])
        return
    with pytest.raises(LearningError, match=too_small) as refused:
        preflight.check_memory(plan, Spec(memory=memory), [700, 500])
    assert refused.value.code == "memory-too-small"
    preflight.check_memory(plan, Spec(method="finetune", memory=memory), [700, 500])


def test_new_images_may_replace_the_first_exemplar() -> None:
    plan = a_plan(KNOWN, NEW, fresh={0: [900], 1: [500]})
    preflight.check_memory(plan, Spec(memory={"megabytes": 0.001}), [900, 500])


def test_what_accuracy_suffers_from_is_said() -> None:
    one = a_class("one", train_images=1)
    bare = a_class("bare", new_held_out=())
    plan = a_plan(KNOWN, one, bare, fresh={1: [9], 2: [9] * 3})
    single, unmeasured = preflight.warnings(plan)
    assert single == "only one image to train on: 'one'"
    assert unmeasured.startswith("nothing is held out to measure on")
    assert unmeasured.endswith(": 'bare'")


def test_of_many_classes_the_first_are_named() -> None:
    classes = [a_class(f"c{number}", new_held_out=()) for number in range(30)]
    plan = a_plan(*classes, fresh={column: [9] * 10 for column in range(30)})
    (unmeasured,) = preflight.warnings(plan)
    assert unmeasured.endswith("'c19' and 10 more")


def test_analytic_learns_no_image_twice() -> None:
    plan = a_plan(KNOWN, NEW, fresh={0: [1], 1: [2, 3]})
    old, *new = plan.fresh
    plan = replace(plan, fresh=(old._replace(again=True), *new))
    analytic = Spec(method="analytic")
    assert preflight.without_learnt(plan, analytic).fresh == tuple(new)
    assert preflight.without_learnt(plan, Spec(method="finetune")) is plan
    with pytest.raises(LearningError, match="send new images"):
        preflight.without_learnt(replace(plan, fresh=plan.fresh[:1]), analytic)

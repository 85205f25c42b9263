"""No image is ever both trained on and measured on, whatever is sent and was learnt before."""

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from random import Random

from hypothesis import assume, given, settings, strategies as st

from app.db.repositories.learning import LabelledImage, SizedImage
from app.services.steps import learning
from app.services.steps.learning import NoTrainingImagesError
from app.services.steps.plans import BaseVersion, FreshImage, PlannedClass

KNOWN, NEW = ("a", "b"), ("c", "d")
FRACTIONS = st.sampled_from([0, 0.1, 0.29, 0.5, 0.9])
SEEDS = st.integers(0, 2**63 - 1)
# What became of an image before.
NEVER_SEEN, TRAINED_ON, EXEMPLAR, HELD_OUT, HELD_OUT_OF_A_FORGOTTEN_CLASS = range(5)


@dataclass(frozen=True)
class Case:
    """A job's images, the version they are learnt on, and all that was ever trained on for it."""

    images: list[LabelledImage]
    base: BaseVersion
    trained_on: frozenset[str]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = [f"image {number}" for number in range(draw(st.integers(1, 12)))]
    fates = {name: draw(st.integers(NEVER_SEEN, HELD_OUT_OF_A_FORGOTTEN_CLASS)) for name in names}
    owners = {name: draw(st.sampled_from(KNOWN)) for name in names}

    def of(*fate: int, label: str | None = None) -> list[str]:
        return [n for n in names if fates[n] in fate and label in (None, owners[n])]

    base = BaseVersion(
        version_id="ver_1",
        classes=tuple(
            PlannedClass(
                label=label,
                index=column,
                task=0,
                known=True,
                train_images=20,
                ranking_id=f"rnk_{label}",
                exemplars=tuple(SizedImage(name, 1) for name in of(EXEMPLAR, label=label)),
                held_out=tuple(of(HELD_OUT, label=label)),
                new_held_out=(),
            )
            for column, label in enumerate(KNOWN)
        ),
        ever_held_out=frozenset(of(HELD_OUT, HELD_OUT_OF_A_FORGOTTEN_CLASS)),
        learnt_before=frozenset((owners[name], name) for name in of(TRAINED_ON, EXEMPLAR)),
        learnt_as_now=frozenset((owners[name], name) for name in of(TRAINED_ON, EXEMPLAR)),
        last_index=4,
        last_task=2,
    )
    sent = st.builds(
        LabelledImage,
        st.sampled_from(names),
        st.just(1),
        st.sampled_from(KNOWN + NEW),
        st.sampled_from(["train", "train", "test"]),
        # Recognised by their files only.
        name=st.just(""),
        pixels_sha256=st.none(),
        perceptual_hash=st.none(),
        group=st.none(),
    )
    images = draw(st.lists(sent, min_size=1, max_size=25))
    # Each new class has some images of its own, so that it is seldom left without any.
    for label in NEW:
        if any(image.label == label for image in images):
            images += [LabelledImage(f"{label} {n}", 1, label, "train") for n in range(3)]
    return Case(images, base, frozenset(of(TRAINED_ON, EXEMPLAR)))


Planned = tuple[tuple[PlannedClass, ...], tuple[FreshImage, ...]]


def planned(case: Case, fraction: float, seed: int) -> Planned:
    try:
        return learning.plan(case.images, case.base, fraction, seed)[:2]
    except NoTrainingImagesError:
        assume(False)
        raise


def fresh_by_label(plan: Planned) -> set[tuple[str, str]]:
    classes, fresh = plan
    return {(classes[image.column].label, image.sha256) for image in fresh}


def measured_on(plan: Planned) -> set[str]:
    return {sha256 for c in plan[0] for sha256 in (*c.held_out, *c.new_held_out)}


@given(cases(), FRACTIONS, SEEDS)
@settings(max_examples=150, deadline=None)
def test_no_image_is_both_trained_on_and_measured_on(
    case: Case, fraction: float, seed: int
) -> None:
    plan = planned(case, fraction, seed)
    trained = case.trained_on | {image.sha256 for image in plan[1]}
    assert not trained & (measured_on(plan) | case.base.ever_held_out)


@given(cases(), FRACTIONS, SEEDS)
@settings(max_examples=150, deadline=None)
def test_every_image_is_accounted_for(case: Case, fraction: float, seed: int) -> None:
    plan = planned(case, fraction, seed)
    fresh, measured = fresh_by_label(plan), measured_on(plan)
    assert len(fresh) == len(plan[1])  # none twice
    assert not fresh & case.base.exemplars
    for image in case.images:
        own = (image.label, image.sha256)
        if image.split == "train":
            assert own in fresh | case.base.exemplars or image.sha256 in measured
        else:
            # A test image that was trained on before is of no use.
            assert image.sha256 in measured | case.trained_on
    assert fresh <= {(image.label, image.sha256) for image in case.images}
    assert measured - case.base.held_out <= {image.sha256 for image in case.images}


@given(cases(), FRACTIONS, SEEDS)
@settings(max_examples=150, deadline=None)
def test_the_fraction_of_each_class_s_new_images_is_held_out(
    case: Case, fraction: float, seed: int
) -> None:
    classes, _ = planned(case, fraction, seed)
    seen = case.base.learnt | case.base.ever_held_out
    sent_as_test = {image.sha256 for image in case.images if image.split == "test"}
    for c in classes:
        new = {i.sha256 for i in case.images if i.label == c.label} - seen - sent_as_test
        others = {i.sha256 for i in case.images if i.label != c.label}
        room = math.floor(Fraction(str(fraction)) * len(new))
        held_out = len(new.intersection(c.new_held_out))
        # An image under several labels is held out under all of them or none.
        assert held_out == room or new & others
        assert held_out <= max(room, len(new) // 2)


@given(cases(), FRACTIONS, SEEDS, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_of_images_decides_nothing_but_the_order(
    case: Case, fraction: float, seed: int, random: Random
) -> None:
    plan = planned(case, fraction, seed)
    shuffled = list(case.images)
    random.shuffle(shuffled)
    again = planned(Case(shuffled, case.base, case.trained_on), fraction, seed)
    assert fresh_by_label(again) == fresh_by_label(plan)
    sets = [{c.label: set(c.new_held_out) for c in classes} for classes, _ in (plan, again)]
    assert sets[0] == sets[1]


@given(cases(), FRACTIONS, SEEDS)
@settings(max_examples=100, deadline=None)
def test_known_classes_stay_and_new_ones_follow(case: Case, fraction: float, seed: int) -> None:
    plan = planned(case, fraction, seed)
    known, new = plan[0][: len(KNOWN)], plan[0][len(KNOWN) :]
    added = Counter(label for label, _ in fresh_by_label(plan) - case.base.learnt_before)
    for before, after in zip(case.base.classes, known, strict=True):
        assert (after.label, after.index, after.task) == (before.label, before.index, before.task)
        assert (after.exemplars, after.held_out) == (before.exemplars, before.held_out)
        assert after.train_images == before.train_images + added[after.label]
        assert not set(after.held_out) & set(after.new_held_out)
    order = [image.label for image in case.images if image.label in NEW]
    assert [c.label for c in new] == list(dict.fromkeys(order))
    assert [(c.index, c.task) for c in new] == [(5 + number, 3) for number in range(len(new))]
    counts = Counter(label for label, _ in fresh_by_label(plan))
    assert all(c.train_images == counts[c.label] > 0 for c in new)

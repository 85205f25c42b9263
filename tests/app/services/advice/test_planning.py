"""What advice is measured on."""

from collections import Counter

import pytest

from app.db.repositories.learning import LabelledImage
from app.services.advice import planning
from app.services.advice.planning import AdvicePlan
from app.services.steps.learning import NoTrainingImagesError

# A perceptual hash.
LOOK = "5a" * 35


def image(label: str, number: int, split: str = "train", look: str | None = None) -> LabelledImage:
    name = f"{label}{number}{split}"
    return LabelledImage(name, 100 + number, label, split, name, name, look)


def plan(*images: LabelledImage) -> AdvicePlan:
    return planning.plan("job_1", 60, images, small=True)


def test_a_part_of_each_class_is_held_out() -> None:
    found = plan(*(image(label, number) for label in "ab" for number in range(20)))
    assert found.labels == ("a", "b")
    assert Counter((each.column, each.held_out) for each in found.images) == {
        (column, held_out): count
        for column in (0, 1)
        for held_out, count in ((True, 4), (False, 16))
    }
    assert (found.sent, found.look_alikes, found.apart) == (40, 0, False)
    assert found.warnings == ()
    sizes = {each.sha256: each.size for each in found.images}
    assert sizes["a7train"] == 107


def test_test_images_are_held_out_and_no_others() -> None:
    found = plan(
        *(image(label, number) for label in "ab" for number in range(20)),
        *(image("a", number, "test") for number in range(3)),
    )
    assert found.apart
    assert {each.sha256 for each in found.images if each.held_out} == {
        f"a{number}test" for number in range(3)
    }


def test_groups_are_held_out_and_every_method_is_measured_on_them() -> None:
    """An image that is left out would be predicted from others of its group."""
    found = plan(
        *(
            image(label, number)._replace(group=f"{label} {number % 5}")
            for label in "ab"
            for number in range(20)
        )
    )
    assert found.apart
    held_out = {each.group for each in found.images if each.held_out}
    assert len(held_out) == 2
    assert held_out.isdisjoint(each.group for each in found.images if not each.held_out)


def test_of_look_alikes_one_is_judged() -> None:
    alike = [image("a", number, look=LOOK) for number in range(100, 106)]
    found = plan(*(image(label, n) for label in "ab" for n in range(12)), *alike)
    judged = {each.sha256 for each in found.images}
    assert len(judged & {each.sha256 for each in alike}) == 1
    assert (found.sent, found.look_alikes, len(found.images)) == (30, 5, 25)
    apart = plan(image("b", 1), image("b", 2, "test"), *alike)
    assert (apart.look_alikes, len(apart.images)) == (0, 8)


def test_a_picture_with_two_labels_is_warned_of() -> None:
    twice = [image(label, 100, look=LOOK) for label in "ab"]
    found = plan(*(image(label, n) for label in "ab" for n in range(12)), *twice)
    assert any("has several labels" in warning for warning in found.warnings)


def test_shortages_and_near_equal_labels_are_warned_of() -> None:
    found = plan(
        image("one", 1),
        *(image("few", number) for number in range(5)),
        *(image("Many", number) for number in range(20)),
        *(image("many", number) for number in range(20, 40)),
    )
    said = "\n".join(found.warnings)
    assert "only one picture, which cannot be left out to measure on, of: 'one'" in said
    assert "fewer than 10 different pictures of: 'few'" in said
    assert "nearly equal" in said
    alone = plan(*(image("a", number) for number in range(20)))
    assert "one class only" in alone.warnings[0]


def test_very_many_images_are_judged_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MOST", 60)
    found = plan(
        *(image("a", number) for number in range(100)), *(image("b", number) for number in range(9))
    )
    counts = Counter((each.column, each.held_out) for each in found.images)
    assert counts == {(0, False): 24, (0, True): 6, (1, False): 8, (1, True): 1}
    assert found.sent == 109


def test_a_class_of_test_images_alone_is_refused() -> None:
    with pytest.raises(NoTrainingImagesError):
        plan(image("a", 1), image("b", 2, "test"))

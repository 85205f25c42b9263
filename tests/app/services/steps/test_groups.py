"""No group is ever on both sides of the split, whatever is sent and was learnt before."""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from app.db.engine import Database
from app.db.repositories import groups as group_rows, trained as trained_rows
from app.db.repositories.learning import IdentifiedImage, LabelledImage, SizedImage
from app.services.classifiers import versions
from app.services.steps import learning
from app.services.steps.learning import Decision, NoTrainingImagesError
from app.services.steps.plans import BaseVersion
from app.services.upkeep import manifests, reindexing
from app.services.uploads import uploads
from app.services.uploads.sources import Item, UploadLimits
from app.settings import Settings as ServiceSettings
from app.storage import open_store
from tests.app.services.steps.test_learning import finish, start
from tests.databases import ONE_KIND_AT_FIRST
from tests.pictures import png
from tests.worker.harness import WORKSPACE, Service

# What a picture is like: pictures of one look are nearly the same, those of two are not.
LOOKS = [np.random.default_rng(number).bytes(35).hex() for number in range(6)]


@st.composite
def uploads_of_steps(draw: st.DrawFn) -> list[list[LabelledImage]]:
    """The images of several steps, of pictures that each have a group and a look, or none."""
    pictures = [
        LabelledImage(
            f"image {number}",
            1,
            "",
            "",
            perceptual_hash=draw(st.sampled_from([None, None, None, *LOOKS])),
            group=draw(st.sampled_from([None, "g0", "g1", "g2", "g3", "g4"])),
        )
        for number in range(draw(st.integers(4, 24)))
    ]
    sent = st.tuples(
        st.sampled_from(pictures),
        st.sampled_from("abc"),
        st.sampled_from(["train", "train", "train", "test"]),
    )
    return [
        [image._replace(label=label, split=split) for image, label, split in step]
        for step in draw(st.lists(st.lists(sent, min_size=1, max_size=25), min_size=1, max_size=5))
    ]


def after(base: BaseVersion, images: Sequence[LabelledImage], made: Decision) -> BaseVersion:
    """The base version of the next step, as publication and the queries make it."""
    fresh = [(made.classes[image.column].label, image.sha256) for image in made.fresh]
    known = {image.sha256: image for image in images}
    classes = tuple(
        replace(
            planned,
            known=True,
            exemplars=(
                *planned.exemplars,
                *(SizedImage(sha256, 1) for label, sha256 in fresh if label == planned.label),
            )[:3],
            held_out=(*planned.held_out, *planned.new_held_out),
            new_held_out=(),
        )
        for planned in made.classes
    )
    held_out = {(c.label, sha256) for c in classes for sha256 in c.held_out}
    return BaseVersion(
        version_id="ver",
        classes=classes,
        ever_held_out=frozenset(sha256 for _, sha256 in held_out),
        learnt_before=base.learnt_before.union(fresh),
        learnt_as_now=base.learnt_as_now.union(fresh),
        identities=(
            *base.identities,
            *(
                IdentifiedImage(sha256, perceptual_hash=known[sha256].perceptual_hash)
                for sha256 in {s for _, s in (*fresh, *held_out)}.intersection(known)
            ),
        ),
        trained_group={
            **base.trained_group,
            **{key: made.groups[key] for key in fresh if key in made.groups},
        },
        held_out_groups={key: made.groups[key] for key in held_out if key in made.groups},
        last_index=len(classes) - 1,
    )


@given(uploads_of_steps(), st.sampled_from([0, 0.1, 0.3, 0.5, 0.9]), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_nothing_of_a_group_is_on_both_sides(
    steps: list[list[LabelledImage]], fraction: float, seed: int
) -> None:
    base = BaseVersion()
    every = {image.sha256: image for images in steps for image in images}
    for images in steps:
        try:
            made = learning.plan(images, base, fraction, seed)
        except NoTrainingImagesError:
            continue
        base = after(base, images, made)
        trained = [every[sha256] for sha256 in base.learnt]
        measured = [every[sha256] for sha256 in base.held_out]
        for side in ("sha256", "perceptual_hash", "group"):
            both = {getattr(i, side) for i in trained} & {getattr(i, side) for i in measured}
            assert both <= {None}, f"{side} on both sides"
        assert base.trained_groups == {i.group for i in trained} - {None}
        assert base.held_out_group_names == {i.group for i in measured} - {None}


def grouped(
    sizes: dict[str, int], label: str = "a", name: str = "", **fields: str
) -> list[LabelledImage]:
    return [
        LabelledImage(f"{label} {name} {group} {n}", 1, label, "train", group=group)._replace(
            **fields
        )
        for group, size in sizes.items()
        for n in range(size)
    ]


def plan(*images: list[LabelledImage], base: BaseVersion | None = None, seed: int = 1) -> Decision:
    sent = [image for each in images for image in each]
    return learning.plan(sent, base or BaseVersion(), 0.1, seed)


def held_out(made: Decision) -> list[Counter[str]]:
    """By class, how many images of each group are newly held out."""
    return [
        Counter(made.groups[c.label, sha256] for sha256 in c.new_held_out) for c in made.classes
    ]


@pytest.mark.parametrize("seed", range(5))
def test_about_the_fraction_is_held_out_in_whole_groups(seed: int) -> None:
    sizes = {f"track {n}": 30 for n in range(10)}
    (groups,) = held_out(plan(grouped(sizes), seed=seed))
    assert list(groups.values()) == [30]
    # Where a tenth is less than a group, the one that is nearest to it.
    (groups,) = held_out(plan(grouped({"long": 60, "longer": 90, "short": 40}), seed=seed))
    assert groups == {"short": 40}


def test_the_seed_draws_other_groups() -> None:
    sizes = {f"track {n}": 30 for n in range(10)}
    drawn = {tuple(held_out(plan(grouped(sizes), seed=seed))[0]) for seed in range(20)}
    assert len(drawn) > 3


def test_a_group_of_several_classes_is_held_out_of_all() -> None:
    sizes = {f"patient {n}": 10 for n in range(20)}
    made = plan(grouped(sizes), grouped(sizes, "b"))
    one, other = held_out(made)
    assert one == other
    assert sum(one.values()) == 20


def test_a_class_with_a_single_group_is_trained_on_and_said() -> None:
    made = plan(grouped({"session": 40}), grouped({"one": 20, "two": 20}, "b"))
    assert [len(c.new_held_out) for c in made.classes] == [0, 20]
    assert made.classes[0].train_images == 40
    (said,) = made.warnings
    assert said.startswith("Nothing is held out of a class whose images are all of one group")
    assert said.endswith("'a'")


def test_a_group_stays_on_its_side_in_later_steps() -> None:
    first = grouped({f"track {n}": 10 for n in range(10)})
    made = plan(first)
    base = after(BaseVersion(), first, made)
    (name,) = held_out(made)[0]
    other = "track 0" if name != "track 0" else "track 1"
    # New images of both, of a new class, and one of the trained group to measure on.
    more = grouped({name: 5, other: 5, "new": 1}, "b")
    tests = grouped({other: 3}, "b", "test", split="test")
    later = plan(more, tests, base=base)
    assert held_out(later)[1] == {name: 5}
    assert later.classes[1].train_images == 6
    said = " ".join(later.warnings)
    assert "5 images that were sent to train on are held out" in said
    assert "3 test images are not measured on" in said


def test_an_image_like_the_other_side_puts_nothing_else_aside() -> None:
    """A group that was trained on has an image like one that was held out."""
    first = [i._replace(perceptual_hash=None) for i in grouped({"left": 10, "right": 10})]
    made = plan(first)
    (name,) = held_out(made)[0]
    first = [i._replace(perceptual_hash=LOOKS[0]) if i.group == name else i for i in first]
    base = after(BaseVersion(), first, made)
    other = "left" if name == "right" else "right"
    more = grouped({other: 9}, name="more")
    bridge = grouped({other: 1}, name="bridge", perceptual_hash=LOOKS[0])
    later = plan(more, bridge, base=base)
    assert [image.sha256 for image in later.fresh] == [image.sha256 for image in more]
    assert later.classes[0].new_held_out == ()
    assert any("1 images are not trained on" in said for said in later.warnings)


class Tracks:
    """A source of pictures in groups."""

    def __init__(self, label: str, groups: dict[str, range]) -> None:
        self.label, self.groups = label, groups

    def items(self, _limits: UploadLimits) -> Iterator[Item]:
        for group, seeds in self.groups.items():
            for seed in seeds:
                yield Item(f"{seed}.png", self.label, png(seed), group=group)

    def close(self) -> None:
        pass


@ONE_KIND_AT_FIRST
def test_groups_are_remembered_after_upload_and_version_are_gone(
    database: Database, settings: ServiceSettings, migrated_sqlite: Path, tmp_path: Path
) -> None:
    service = Service(database, settings)
    service.classifier(validation_fraction=0.2)
    store, limits = open_store(settings.storage_url), UploadLimits.of(settings)

    def send(label: str, groups: dict[str, range]) -> str:
        source = Tracks(label, groups)
        return uploads.create(database, store, WORKSPACE, source, limits=limits).id

    upload = send("a", {f"track {n}": range(4 * n, 4 * n + 4) for n in range(5)})
    lease, first = start(service, upload)
    (measured,) = first.classes
    held = {first.groups["a", sha256] for sha256 in measured.new_held_out}
    assert (len(held), len(measured.new_held_out)) == (1, 4)
    finish(service, lease, first)
    lease, second = start(service, send("b", {"x": range(50, 54), "y": range(54, 58)}))
    finish(service, lease, second)
    versions.delete(database, WORKSPACE, "toy", "1")
    uploads.delete(database, WORKSPACE, upload)
    later = {f"track {n}": range(100 + 4 * n, 104 + 4 * n) for n in range(5)}
    _, plan = start(service, send("c", later))
    new = plan.classes[2]
    assert {plan.groups["c", sha256] for sha256 in new.new_held_out} == held
    assert len(new.new_held_out) == 4
    (version,) = service.versions()
    manifests.write(database, store, version.classifier_id)
    shutil.copy(migrated_sqlite, tmp_path / "new.db")
    restored = Database(f"sqlite:///{tmp_path / 'new.db'}")
    assert reindexing.reindex(restored, store).problems == []
    for each in (database, restored):
        with each.reading() as session:
            trained = {row.group for _, row in trained_rows.trained(session, version.id)}
            assert trained - {"x", "y", None} == {f"track {n}" for n in range(5)} - held
            assert held <= set(group_rows.held_out(session, version.id).values())
    restored.close()

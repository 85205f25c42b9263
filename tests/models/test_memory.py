"""Herding, trimming and the budget (invariants I1 to I7)."""

import itertools

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor
from torch.nn import functional

from models.memory import ExemplarMemory, herd, trim
from models.spec import Budget


def unit(count: int, dim: int = 6, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(count, dim, generator=draws), dim=1)


def brute_force(features: Tensor, count: int) -> list[int]:
    """Alg. 4 word for word: try every image not yet chosen, measure the distance, take the best."""
    features = features.double()
    mean = features.mean(dim=0)
    chosen: list[int] = []
    while len(chosen) < min(count, len(features)):
        count_now = len(chosen) + 1
        distance = {
            image: float((mean - features[[*chosen, image]].mean(dim=0)).norm() * count_now) ** 2
            for image in range(len(features))
            if image not in chosen
        }
        best = min(distance.values())
        chosen.append(min(image for image in distance if distance[image] <= best + 1e-9))
    return chosen


@given(st.integers(1, 25), st.integers(0, 30), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_herding_is_the_greedy_search(images: int, count: int, seed: int) -> None:
    features = unit(images, seed=seed)
    assert herd(features, count).tolist() == brute_force(features, count)


def test_herding_is_greedy_for_any_length_of_features() -> None:
    features = torch.randn(30, 5, generator=torch.Generator().manual_seed(3))
    assert herd(features, 30).tolist() == brute_force(features, 30)


def test_a_shorter_ranking_is_a_prefix() -> None:
    features = unit(40)
    whole = herd(features, 40)
    for count in (1, 7, 39):
        assert torch.equal(herd(features, count), whole[:count])


def test_all_images_have_the_mean_of_the_class() -> None:
    features = unit(17)
    ranking = herd(features, 17)
    assert sorted(ranking.tolist()) == list(range(17))
    torch.testing.assert_close(features[ranking].mean(dim=0), features.mean(dim=0))


def dot_product_form(features: Tensor, count: int) -> list[int]:
    """The released code's form, w ← w + μ − φ and argmax wᵀφ, among images not yet chosen."""
    mean = features.mean(dim=0)
    direction, chosen = mean.clone(), []
    for _ in range(count):
        scores = features @ direction
        scores[chosen] = -torch.inf
        chosen.append(int(scores.argmax()))
        direction += mean - features[chosen[-1]]
    return chosen


def test_dot_product_form_agrees_for_unit_features_only() -> None:
    features = unit(20).double()
    assert herd(features, 20).tolist() == dot_product_form(features, 20)
    # Of different lengths the two forms are different algorithms.
    stretched = features * torch.linspace(0.2, 5, 20)[:, None]
    assert herd(stretched, 20).tolist() != dot_product_form(stretched, 20)


def test_ties_go_to_the_first_image() -> None:
    features = unit(4)[[0, 1, 1, 2, 0, 3]]
    ranking = herd(features, 6).tolist()
    assert ranking.index(1) < ranking.index(2)
    assert ranking.index(0) < ranking.index(4)
    assert ranking == brute_force(features, 6)


def test_order_of_the_images_does_not_matter() -> None:
    features = unit(25, seed=5)
    shuffle = torch.randperm(25, generator=torch.Generator().manual_seed(1))
    assert torch.equal(shuffle[herd(features[shuffle], 12)], herd(features, 12))


def test_no_images_no_exemplars() -> None:
    assert herd(unit(5), 0).tolist() == []


@pytest.mark.parametrize(("budget", "classes"), [*itertools.product((10, 23, 100), (1, 3, 7, 10))])
def test_a_count_is_shared_equally_and_never_exceeded(budget: int, classes: int) -> None:
    kept = trim([torch.ones(1000)] * classes, Budget(exemplars=budget))
    assert sum(kept) <= budget
    assert set(kept) == {budget // classes}


def test_a_class_with_fewer_images_keeps_them_all() -> None:
    assert trim([torch.ones(3), torch.ones(50)], Budget(exemplars=20)) == (3, 10)


def test_bytes_are_counted_along_the_ranking() -> None:
    sizes = [torch.tensor([400_000, 300_000, 200_000, 1]), torch.tensor([600_000]), torch.ones(9)]
    # 0.75 MB a class: 400 + 300 kB fit, the next does not; what comes behind it is not skipped to.
    assert trim(sizes, Budget(megabytes=2.25)) == (2, 1, 9)


def memory_of(*counts: tuple[int, int]) -> tuple[ExemplarMemory, Tensor]:
    """A step with (exemplars, new images) of each class: the memory and random features."""
    columns = torch.cat(
        [torch.full((old,), c) for c, (old, _) in enumerate(counts)]
        + [torch.full((new,), c) for c, (_, new) in enumerate(counts)]
    )
    fresh = torch.arange(len(columns)) >= sum(old for old, _ in counts)
    memory = ExemplarMemory(columns, fresh, torch.ones(len(columns)), len(counts))
    return memory, unit(len(columns))


def test_old_classes_lose_their_last_exemplars_and_are_not_looked_at() -> None:
    memory, features = memory_of((10, 0), (0, 30), (0, 30))
    asked: list[int] = []

    def embed(positions: Tensor) -> Tensor:
        asked.extend(positions.tolist())
        return features[positions]

    memory.select(embed, Budget(exemplars=15))
    assert memory.exemplars(0).tolist() == [0, 1, 2, 3, 4]
    assert not set(asked) & set(range(10))
    assert memory.kept == (5, 5, 5)


def test_an_extended_class_is_herded_from_old_and_new_images() -> None:
    memory, features = memory_of((4, 6), (5, 0))
    memory.select(lambda positions: features[positions], Budget(exemplars=8))
    pool = torch.tensor([0, 1, 2, 3, *range(9, 15)])
    assert memory.exemplars(0).tolist() == pool[brute_force(features[pool], 4)].tolist()
    assert memory.exemplars(1).tolist() == [4, 5, 6, 7]
    assert memory.changed == [True, False]


def test_keep_all_keeps_the_order() -> None:
    memory, _ = memory_of((2, 0), (0, 3))
    memory.keep_all()
    assert memory.exemplars(0).tolist() == [0, 1]
    assert memory.exemplars(1).tolist() == [2, 3, 4]

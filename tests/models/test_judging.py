"""What a version says of labelled images: order, suspects, and images that are left out."""

import hashlib

import numpy as np
import pytest
import torch

from models.classify import Output
from models.discriminant import Discriminant, Statistics
from models.judging import Judged, LeftOut, suspects, usual_scores
from models.kept_features import KeptFeatures
from models.methods.analytic import Analytic
from models.state import decode, encode
from tests.models.conftest import Chain, pictures


def digests(count: int, first: int = 0) -> torch.Tensor:
    hashes = [hashlib.sha256(bytes([number])).digest() for number in range(first, first + count)]
    return torch.tensor(np.frombuffer(b"".join(hashes), np.uint8).reshape(count, 32).copy())


def judged(scores: list[list[float]], columns: list[int], first: int = 0) -> Judged:
    table = torch.tensor(scores, dtype=torch.float64)
    return Judged.of(table.log(), torch.tensor(columns), digests(len(columns), first))


def test_the_most_surely_wrong_come_first_and_the_surest_right_last() -> None:
    scores = [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.55, 0.45], [1.0, 0.0], [0.99, 0.01]]
    found = judged(scores, [0, 0, 0, 0, 1, 0]).ordered()
    names = [hashlib.sha256(bytes([number])).hexdigest() for number in range(6)]
    assert [names.index(row.sha256) for row in found] == [4, 1, 2, 3, 0, 5]
    assert [row.wrong for row in found] == [True] * 3 + [False] * 3
    assert found[1].margin == pytest.approx(np.log(0.8 / 0.2), rel=1e-6)


def test_a_part_gives_back_what_was_judged() -> None:
    found = judged([[0.9, 0.1], [0.2, 0.8]], [0, 0])
    assert Judged.load(decode(encode(found.part()))).ordered() == found.ordered()


def test_suspects_are_those_of_confident_learning_by_brute_force() -> None:
    generator = np.random.default_rng(0)
    columns = generator.integers(0, 3, 60)
    scores = generator.dirichlet(np.full(3, 2.0), 60)
    scores[np.arange(60), columns] += 0.2  # right more often than not
    scores /= scores.sum(axis=1, keepdims=True)
    sets = [
        judged(scores[:20].tolist(), columns[:20].tolist()),
        judged(scores[20:].tolist(), columns[20:].tolist(), 20),
    ]
    usual = usual_scores(sets, 4)
    expected = [scores[columns == column, column].mean() for column in range(3)]
    assert usual[:3] == pytest.approx(expected, rel=1e-6)
    assert usual[3] is None
    found = suspects(sets, 4)
    best = scores.argmax(axis=1)
    wanted = (best != columns) & (scores.max(axis=1) >= np.array(expected)[best])
    names = [bytes(digest).hex() for digest in torch.cat([each.digests for each in sets]).numpy()]
    assert {(row.sha256, number) for row, number in found} == {
        (names[position], int(position >= 20)) for position in wanted.nonzero()[0]
    }
    assert 0 < len(found) < (best != columns).sum()
    margins = [row.margin for row, _ in found]
    assert margins == sorted(margins, reverse=True)


def test_left_out_images_are_judged_as_if_the_head_had_been_solved_without_them(chain) -> None:  # type: ignore[no-untyped-def]
    taught: Chain = chain("analytic")
    method, step = taught.begin({0: pictures(0, 5), 1: pictures(1, 5)})
    assert isinstance(method, Analytic)
    step.digests = digests(10)
    method.end(step)
    left = method.left_out()
    assert left is not None
    found = left.judged()
    assert found is not None
    assert method.kept is not None
    assert method.choice is not None
    assert sorted(row.sha256 for row in found.ordered()) == sorted(
        bytes(digest).hex() for digest in step.digests.numpy()
    )
    features, columns = method.kept.all()
    for position in range(10):
        rest = torch.arange(10) != position
        alone = Discriminant(Statistics.of(features[rest], columns[rest], 2))
        weight, bias = alone.solve(method.choice.alpha)
        scores = weight @ features[position].double() + bias
        expected = (scores / method.choice.temperature).log_softmax(dim=0)
        name = bytes(step.digests[position].numpy()).hex()
        (row,) = [row for row in found.ordered() if row.sha256 == name]
        assert row.column == columns[position]
        assert row.own == pytest.approx(float(expected[row.column]), rel=1e-5, abs=1e-6)
        assert row.log_score == pytest.approx(float(expected.max()), rel=1e-5, abs=1e-6)


def test_images_of_older_releases_have_no_names_and_are_not_judged() -> None:
    kept = KeptFeatures()
    kept.add(torch.zeros(2, 3).half(), torch.tensor([0, 1]), None, 2)
    kept.add(torch.ones(1, 3).half(), torch.tensor([1]), digests(1), 2)
    output = Output(torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]).log())
    found = LeftOut(output, kept.all()[1], kept.digests()).judged()
    assert found is not None
    assert torch.equal(found.digests, digests(1))
    assert (found.columns.tolist(), found.predicted.tolist()) == ([1], [0])

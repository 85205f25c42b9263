"""Known or not: conformal p-values, their promise, and what is stored of a version."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

from models import evaluate, known
from models.classify import Output
from models.discriminant import Discriminant, Statistics, choose
from models.edits import forget
from models.errors import LearningError
from models.learner import learn, restore
from models.mahalanobis import Mahalanobis
from models.measuring import CPU
from models.methods import describe_methods
from models.serving import check_read_back, load_servable
from models.state import State, decode, encode
from models.step import Remaining, StepResult
from tests.models.conftest import Chain, pictures, task_images

METHODS = [method.name for method in describe_methods()]
WITH_MEANS = {"analytic", "icarl", "joint", "packnet", "piggyback", "replay"}


def brute(score: float, held_out: list[float]) -> float:
    """The conformal p-value, by counting."""
    return (1 + sum(other >= score for other in held_out)) / (len(held_out) + 1)


def test_p_values_by_counting() -> None:
    draws = np.random.default_rng(3)
    # Rounded, so that many are equal.
    held_out = {kind: draws.normal(size=57).round(1) for kind in ("doubt", "distance")}
    found = {kind: draws.normal(size=200).round(1) for kind in held_out}
    p = known.p_values(
        {kind: torch.tensor(values, dtype=torch.float32) for kind, values in found.items()},
        known.ascending(
            {kind: torch.tensor(values, dtype=torch.float32) for kind, values in held_out.items()}
        ),
    )
    expected = [
        min(1.0, 2 * min(brute(found[kind][i], held_out[kind].tolist()) for kind in held_out))
        for i in range(200)
    ]
    assert p.tolist() == pytest.approx(expected, abs=1e-15)
    assert p.max() == 1.0


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_known_images_are_called_unknown_no_more_often_than_promised(alpha: float) -> None:
    trials, held_out, tested = 400, 99, 20
    draws = torch.Generator().manual_seed(5)
    alarms = 0
    for _ in range(trials):
        # Two scores that depend on each other, heavy-tailed and with ties.
        base = torch.randn(held_out + tested, 2, generator=draws)
        both = {"doubt": base[:, 0].exp().round(decimals=1), "distance": base.sum(dim=1) ** 3}
        reference = known.ascending({kind: values[:held_out] for kind, values in both.items()})
        p = known.p_values({kind: values[held_out:] for kind, values in both.items()}, reference)
        alarms += int((p <= alpha).sum())
    # Images of a trial share their held-out ones, which adds about tested/held_out to the variance.
    error = (alpha * (1 - alpha) / (trials * tested) * (1 + tested / held_out)) ** 0.5
    share = alarms / (trials * tested)
    assert share <= alpha + 3 * error
    assert share > alpha / 3  # and the promise is not kept by never saying unknown


def test_groups_count_once() -> None:
    """Films whose frames are alike: the promise is one about frames of new films."""
    draws = torch.Generator().manual_seed(0)
    alpha, films, frames, trials = 0.1, 30, 20, 400
    groups = torch.arange(films).repeat_interleave(frames)
    shares = {}
    for name in ("one of each", "all"):
        alarms = 0.0
        for trial in range(trials):
            film = torch.randn(films + 10, 1, generator=draws)
            scores = film + 0.3 * torch.randn(films + 10, frames, generator=draws)
            rows = known.one_of_each(groups, trial) if name == "one of each" else slice(None)
            reference = known.ascending({"doubt": scores[:films].flatten()[rows]})
            p = known.p_values({"doubt": scores[films:].flatten()}, reference)
            alarms += float((p <= alpha).double().mean())
        shares[name] = alarms / trials
    # 400 trials of 10 films: the standard error is about 0.006.
    assert shares["one of each"] <= alpha + 0.015
    assert shares["one of each"] > alpha / 2
    assert shares["all"] > shares["one of each"]


def test_one_image_of_each_group_is_drawn() -> None:
    groups = torch.tensor([4, 4, -1, 7, 7, 7, -2])
    drawn = {tuple(known.one_of_each(groups, seed).tolist()) for seed in range(60)}
    assert drawn == {(i, 2, j, 6) for i in (0, 1) for j in (3, 4, 5)}
    assert torch.equal(known.one_of_each(groups, 3), known.one_of_each(groups, 3))


@pytest.mark.parametrize(("images", "promised"), [(18, False), (19, True), (38, True)])
def test_one_score_promises_a_twentieth_from_19_images(images: int, promised: bool) -> None:
    least = known.smallest_p({"doubt": torch.arange(images)})
    assert least == pytest.approx(1 / (images + 1))
    assert (least <= 0.05) is promised


@pytest.mark.parametrize(("images", "promised"), [(38, False), (39, True)])
def test_two_scores_promise_a_twentieth_from_39_images(images: int, promised: bool) -> None:
    values = torch.arange(images)
    least = known.smallest_p({"doubt": values, "distance": values})
    assert least is not None
    assert (least <= 0.05) is promised


def test_mahalanobis_by_numpy() -> None:
    draws = np.random.default_rng(1)
    columns = np.array([0] * 9 + [1] * 5 + [2] * 4)
    features = draws.normal(size=(18, 6)) @ draws.normal(size=(6, 6)) + 3 * columns[:, None]
    alpha = 0.3
    means = np.stack([features[columns == c].mean(axis=0) for c in range(3)])
    centred = features - means[columns]
    covariance = centred.T @ centred / (18 - 3)
    shrunken = (1 - alpha) * covariance + alpha * np.trace(covariance) / 6 * np.eye(6)
    images = draws.normal(size=(7, 6))
    expected = np.array(
        [[(z - m) @ np.linalg.solve(shrunken, z - m) for m in means] for z in images]
    )
    statistics = Statistics.of(torch.tensor(features), torch.tensor(columns), 3)
    module = Mahalanobis.of(Discriminant(statistics), alpha)
    found = module(torch.tensor(images, dtype=torch.float32))
    np.testing.assert_allclose(found.square().numpy(), expected, rtol=1e-4)
    again = torch.cat([module(torch.tensor(z[None], dtype=torch.float32)) for z in images])
    torch.testing.assert_close(again, found)


def test_mahalanobis_of_single_images_is_euclidean() -> None:
    features = torch.eye(3, 4)
    module = Mahalanobis.of(Discriminant(Statistics.of(features, torch.arange(3), 3)), 0.1)
    images = torch.tensor([[0.5, 2.0, -1.0, 3.0]])
    expected = (images[:, None] - features).square().sum(dim=2).sqrt()
    torch.testing.assert_close(module(images), expected)


@pytest.mark.parametrize("with_means", [True, False])
def test_detection_leaves_each_class_out(with_means: bool) -> None:
    draws = torch.Generator().manual_seed(2)
    columns = torch.arange(4).repeat_interleave(30)
    logits = 2 * torch.randn(120, 4, generator=draws, dtype=torch.float64)
    logits[torch.arange(120), columns] += torch.tensor([3.0, 4.0, 60.0, 3.0])[columns]
    deviations = 3 + torch.rand(120, 4, generator=draws)
    deviations[torch.arange(120), columns] -= 0.4
    output = Output(
        logits.log_softmax(dim=1).float(), deviations=deviations if with_means else None
    )
    alpha, hits = 0.2, 0
    for c in range(4):
        others = [column for column in range(4) if column != c]
        doubt = -output.log_scores[:, others].double().softmax(dim=1).amax(dim=1)
        distance = deviations[:, others].amin(dim=1)
        for i in (columns == c).nonzero().flatten().tolist():
            ps = [brute(float(doubt[i]), doubt[columns != c].tolist())]
            if with_means:
                ps.append(brute(float(distance[i]), distance[columns != c].tolist()))
            hits += min(1.0, len(ps) * min(ps)) <= alpha
    found = known.measure(output, columns, alpha)
    assert 0 < hits < 120
    assert found == {
        "false_alarms": alpha,
        "images": 120,
        "classes": 4,
        "rests_on": "held_out",
        "scores": ["doubt", "distance"] if with_means else ["doubt"],
        "detected": pytest.approx(hits / 120),
    }


def test_detection_is_not_estimated_without_images_enough() -> None:
    output = Output(torch.randn(12, 3).log_softmax(dim=1))
    assert known.measure(output, torch.arange(3).repeat(4), 0.05)["detected"] is None
    nothing = known.measure(None, torch.empty(0, dtype=torch.int64), 0.05)
    assert (nothing["images"], nothing["scores"], nothing["detected"]) == (0, [], None)


def test_a_single_class_is_never_in_doubt() -> None:
    logs = torch.zeros(5, 1)
    assert known.scores(Output(logs)) == {}
    assert known.smallest_p({}) is None
    assert list(known.scores(Output(logs, deviations=torch.ones(5, 1)))) == ["distance"]


def test_a_task_of_one_class_leaves_no_doubt_when_it_is_left_out() -> None:
    logs = torch.tensor([[0.0, -torch.inf, -torch.inf]]).repeat(40, 1)
    logs[20:] = torch.tensor([-torch.inf, -0.5, -0.9]).log_softmax(dim=0)
    columns = torch.tensor([0] * 20 + [1] * 10 + [2] * 10)
    found = known.measure(Output(logs, deviations=torch.rand(40, 3) + 1), columns, 0.2)
    assert found["detected"] is not None


def stored(result: StepResult) -> State:
    """The state as a later process reads it."""
    parts = {name: decode(encode(part)) for name, part in result.state.parts.items()}
    return State(parts, result.state.tasks)


def promising(chain: Callable[..., Chain], method: str) -> Chain:
    """A chain whose held-out images, 10 of a class, are enough for what it promises."""
    steps = chain(method)
    steps.spec = steps.spec.model_copy(update={"false_alarms": 0.2})
    return steps


def assert_scores_are_those_served(
    chain: Chain, result: StepResult, held_out: torch.Tensor
) -> None:
    """Check the stored scores against those that the stored version serves, as `/predict` does."""
    state = stored(result)
    output = evaluate.predict(load_servable(chain.spec, state), held_out, CPU)
    expected = known.ascending(known.scores(output))
    assert state.parts[known.PART].keys() == expected.keys()
    for kind, values in expected.items():
        torch.testing.assert_close(state.parts[known.PART][kind], values, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_version_keeps_the_scores_of_its_held_out_images(
    chain: Callable[..., Chain], method: str
) -> None:
    steps = promising(chain, method)
    for task in (0, 1):
        result = steps.learn(task_images(task))
        held_out = torch.cat(list(steps.held_out.values()))
        assert_scores_are_those_served(steps, result, held_out)
        unknown = result.metrics["unknown"]
        assert unknown["images"] == len(held_out)
        has_means = method in WITH_MEANS
        assert unknown["scores"] == (["doubt", "distance"] if has_means else ["doubt"])
    check_read_back(steps.spec, stored(result), result.sample)


@pytest.mark.parametrize("method", ["analytic", "icarl", "finetune"])
def test_forgetting_computes_the_scores_again(chain: Callable[..., Chain], method: str) -> None:
    steps = promising(chain, method)
    steps.learn(task_images(0))
    result = steps.learn(task_images(1))
    left = [steps.held_out[column] for column in (0, 2, 3)]
    remaining = Remaining(
        held_out=torch.cat(left),
        held_out_columns=torch.arange(3).repeat_interleave(10),
        kept=tuple(kept for column, kept in enumerate(result.kept) if column != 1),
    )
    after = forget(steps.spec, result.state, [1], remaining, device="cpu")
    assert_scores_are_those_served(steps, after, torch.cat(left))
    assert after.metrics["unknown"]["images"] == 30
    if method == "analytic":  # exact: as if the class had never been
        never = chain(method)
        never.learn({0: task_images(0)[0]})
        never.learn({1: task_images(1)[2], 2: task_images(1)[3]})
        images = pictures(5, 6)
        one, other = (
            evaluate.predict(load_servable(steps.spec, stored(each)), images, CPU).deviations
            for each in (after, never.results[-1])
        )
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_other_distances_are_not_published(chain: Callable[..., Chain]) -> None:
    steps = chain("analytic")
    result = steps.learn(task_images(0))
    parts = dict(result.state.parts)
    parts["deviation"] = {name: 2 * each for name, each in parts["deviation"].items()}
    damaged = dataclasses.replace(result.state, parts=parts)
    with pytest.raises(LearningError, match="distances"):
        check_read_back(steps.spec, damaged, result.sample)


def test_versions_of_releases_without_distances_still_predict(chain: Callable[..., Chain]) -> None:
    steps = chain("analytic")
    result = steps.learn(task_images(0))
    parts = {
        name: part
        for name, part in result.state.parts.items()
        if name not in ("deviation", known.PART)
    }
    old = dataclasses.replace(result.state, parts=parts)
    images = pictures(0, 4)
    found = evaluate.predict(load_servable(steps.spec, old), images, CPU)
    assert found.deviations is None
    now = evaluate.predict(load_servable(steps.spec, result.state), images, CPU)
    torch.testing.assert_close(found.log_scores, now.log_scores)


@pytest.mark.slow
@pytest.mark.parametrize(("counts", "dimensions"), [([12, 20, 9], 6), ([15, 15, 15], 80)])
def test_left_out_images_keep_the_promise(counts: list[int], dimensions: int) -> None:
    """Fresh images of Gaussian classes, judged by what left-out images of few were judged by."""
    trials, tested, alpha = 150, 20, 0.1
    draws = torch.Generator().manual_seed(11)
    alarms: dict[str, int] = {"doubt": 0, "distance": 0, "both": 0}
    share = torch.tensor(counts, dtype=torch.float64)
    for _ in range(trials):
        means = 1.5 * torch.randn(3, dimensions, generator=draws)
        columns = torch.arange(3).repeat_interleave(torch.tensor(counts))
        features = means[columns] + torch.randn(len(columns), dimensions, generator=draws)
        discriminant = Discriminant(Statistics.of(features, columns, 3))
        chosen = choose(discriminant, features, columns)
        assert chosen is not None
        scores, squared = discriminant.judged_without(features, columns, chosen.alpha)
        logs = (scores / chosen.temperature).log_softmax(dim=1)
        held_out = known.ascending(known.scores(Output(logs, deviations=squared.sqrt())))
        drawn = torch.multinomial(share, tested, replacement=True, generator=draws)
        fresh = means[drawn] + torch.randn(tested, dimensions, generator=draws)
        weight, bias = discriminant.solve(chosen.alpha)
        new = (fresh.double() @ weight.T + bias) / chosen.temperature
        deviations = Mahalanobis.of(discriminant, chosen.alpha)(fresh).double()
        found = known.scores(Output(new.log_softmax(dim=1), deviations=deviations))
        for kind, values in held_out.items():
            p = known.p_values({kind: found[kind]}, {kind: values})
            alarms[kind] += int((p <= alpha).sum())
        alarms["both"] += int((known.p_values(found, held_out) <= alpha).sum())
    # Images of a trial share those that they are compared with.
    error = (alpha * (1 - alpha) / (trials * tested) * (1 + tested / sum(counts))) ** 0.5
    for alarm in alarms.values():
        assert alpha / 4 < alarm / (trials * tested) < alpha + 3 * error


@pytest.mark.parametrize("held_out", [0, 4])
def test_left_out_images_stand_in_for_few_held_out(
    chain: Callable[..., Chain], held_out: int
) -> None:
    steps = chain("analytic")
    data = steps.data(task_images(0, 30))
    few = torch.arange(20)[:held_out]
    data = dataclasses.replace(
        data, held_out=data.held_out[few], held_out_columns=data.held_out_columns[few]
    )
    result = learn(steps.spec, None, data, device="cpu")
    unknown = result.metrics["unknown"]
    assert (unknown["images"], unknown["rests_on"]) == (60, "left_out")
    assert result.metrics["measured_on"] == held_out
    # A fresh image is judged alike: those that were learnt are nearly as strange as others.
    state = stored(result)
    fresh = torch.cat([pictures(column, 100, seed=7) for column in (0, 1)])
    found = known.scores(evaluate.predict(load_servable(steps.spec, state), fresh, CPU))
    p = known.p_values(found, state.parts[known.PART])
    assert float((p <= 0.1).double().mean()) < 0.1 + 3 * (0.1 * 0.9 * (1 / 200 + 1 / 60)) ** 0.5
    noise = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
    strange = known.scores(evaluate.predict(load_servable(steps.spec, state), noise, CPU))
    assert float((known.p_values(strange, state.parts[known.PART]) <= 0.1).double().mean()) > 0.8
    # Measured again from what is stored, without an image, it is the same.
    empty = Remaining(data.held_out, data.held_out_columns, result.kept)
    again = forget(steps.spec, state, [], empty, device="cpu")
    assert again.metrics["unknown"] == unknown


def test_left_out_images_of_groups_promise_nothing(chain: Callable[..., Chain]) -> None:
    """Others of its group judge each of them, and none judges an image of a new group."""
    steps = chain("analytic")
    data = steps.data(task_images(0, 30))
    few = torch.arange(20)[:4]
    data = dataclasses.replace(
        data, held_out=data.held_out[few], held_out_columns=data.held_out_columns[few], grouped=True
    )
    result = learn(steps.spec, None, data, device="cpu")
    unknown = result.metrics["unknown"]
    assert (unknown["images"], unknown["rests_on"]) == (4, "held_out")
    least = known.smallest_p(stored(result).parts[known.PART])
    assert least is not None
    assert least > steps.spec.false_alarms


@pytest.mark.parametrize("method", ["icarl", "replay", "joint"])
def test_distances_of_trained_networks_by_numpy(chain: Callable[..., Chain], method: str) -> None:
    steps = chain(method, exemplars=24)
    result = steps.learn(task_images(0))
    network = restore(steps.spec, result.state)

    def features(images: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            found = network.network(network.preprocess(images)).features
        return functional.normalize(found).double().numpy()

    kept = [images for _, images in sorted(steps.memory.items())]
    if method != "joint":
        kept = [torch.cat([images, images.flip(3)]) for images in kept]
    classes = [features(images) for images in kept]
    means = [each.mean(axis=0) for each in classes]
    apart = np.concatenate([each - mean for each, mean in zip(classes, means, strict=True)])
    spread = apart.T @ apart / (len(apart) - 2)
    # 12 exemplars of a class, or all 16 images.
    alpha = {"joint": 0.5 - 0.4 * 8 / 12}.get(method, 0.5 - 0.4 * 4 / 12)
    shrunk = (1 - alpha) * spread + alpha * np.trace(spread) / len(spread) * np.eye(len(spread))
    images = torch.cat([pictures(column, 5, seed=4) for column in (0, 1, 7)])
    expected = [
        [(z - mean) @ np.linalg.solve(shrunk, z - mean) for mean in means] for z in features(images)
    ]
    output = evaluate.predict(load_servable(steps.spec, result.state), images, CPU)
    assert output.deviations is not None
    np.testing.assert_allclose(output.deviations.square().numpy(), expected, rtol=2e-2)

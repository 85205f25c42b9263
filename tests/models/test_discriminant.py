"""The discriminant against solving the equations one by one."""

import pytest
import torch
from torch import Tensor

from models.discriminant import ALPHAS, Discriminant, Statistics, choose, to_leave_out


def _images(counts: list[int], dimensions: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return features [N, M] in float16, as they are kept, and columns [N] of classes."""
    draws = torch.Generator().manual_seed(seed)
    columns = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    means = 0.7 * torch.randn(len(counts), dimensions, generator=draws)
    noise = torch.randn(len(columns), dimensions, generator=draws)
    return (means[columns] + noise).half(), columns


def _solved(features: Tensor, columns: Tensor, classes: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Return weights and biases from the formulas, image by image."""
    rows = features.double()
    counts = torch.bincount(columns, minlength=classes).double()
    means = torch.stack([rows[columns == column].mean(dim=0) for column in range(classes)])
    spread = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
    for row, column in zip(rows, columns, strict=True):
        spread += torch.outer(row - means[column], row - means[column])
    spread /= len(rows) - classes
    ridge = alpha * spread.trace() / len(spread) * torch.eye(len(spread)).double()
    shrunk = (1 - alpha) * spread + ridge
    weight = torch.linalg.solve(shrunk, means.T).T
    correction = 0.5 * torch.linalg.solve(shrunk, spread).trace() / counts
    return weight, correction - 0.5 * (means * weight).sum(dim=1)


def _squared_distances(
    image: Tensor, features: Tensor, columns: Tensor, classes: int, alpha: float
) -> Tensor:
    """Return the squared Mahalanobis distances [C] of an image to the means of classes."""
    rows = features.double()
    means = torch.stack([rows[columns == column].mean(dim=0) for column in range(classes)])
    centred = rows - means[columns]
    spread = centred.T @ centred / (len(rows) - classes)
    ridge = alpha * spread.trace() / len(spread) * torch.eye(len(spread)).double()
    shrunk = (1 - alpha) * spread + ridge
    return torch.stack([(image - m) @ torch.linalg.solve(shrunk, image - m) for m in means])


def _close(found: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("alpha", [*ALPHAS, 1.0])
@pytest.mark.parametrize(("counts", "dimensions"), [([9, 3, 6], 5), ([4, 2, 5], 30)])
def test_solution_is_the_formulas(counts: list[int], dimensions: int, alpha: float) -> None:
    features, columns = _images(counts, dimensions)
    found = Discriminant(Statistics.of(features, columns, 3)).solve(alpha)
    for one, other in zip(found, _solved(features, columns, 3, alpha), strict=True):
        _close(one, other)


@pytest.mark.parametrize("alpha", [0.02, 0.3, 1.0])
@pytest.mark.parametrize(
    ("counts", "dimensions"), [([9, 3, 6], 5), ([4, 2, 5], 30), ([1, 3, 2], 4)]
)
def test_left_out_is_solving_without_the_image(
    counts: list[int], dimensions: int, alpha: float
) -> None:
    features, columns = _images(counts, dimensions)
    able = torch.tensor(counts)[columns] > 1
    discriminant = Discriminant(Statistics.of(features, columns, len(counts)))
    found, squared = discriminant.judged_without(features[able], columns[able], alpha)
    expected, distances = [], []
    for index in able.nonzero().flatten().tolist():
        others = torch.arange(len(features)) != index
        left = features[others], columns[others], len(counts), alpha
        weight, bias = _solved(*left)
        image = features[index].double()
        expected.append(weight @ image + bias)
        distances.append(_squared_distances(image, *left))
    _close(found, torch.stack(expected), 1e-8)
    _close(squared, torch.stack(distances), 1e-8)


def test_parts_in_any_order_give_the_same() -> None:
    features, columns = _images([20, 7, 13], 24)
    whole = Discriminant(Statistics.of(features, columns, 3)).solve(0.1)
    draws = torch.Generator().manual_seed(1)
    shuffled = torch.randperm(len(features), generator=draws)
    parts = shuffled.tensor_split(sorted(torch.randint(1, 40, (11,), generator=draws).tolist()))
    total = Statistics.of(features[:0], columns[:0], 0)
    for part in parts:
        # A part knows no classes after its own.
        classes = int(columns[part].max()) + 1 if len(part) else 0
        total = total + Statistics.of(features[part], columns[part], classes)
    for one, other in zip(Discriminant(total).solve(0.1), whole, strict=True):
        _close(one, other)


def test_the_order_decides_not_which_images_are_left_out() -> None:
    """Features that are kept in half precision have few values, so that many begin alike."""
    features, columns = _images([600, 500], 8)
    features = (features / 8).half()
    features[:, 0] = features[:, 0].round(decimals=1)
    counts = torch.tensor([600, 500])
    chosen = to_leave_out(features, columns, counts, 100)
    order = torch.randperm(1100, generator=torch.Generator().manual_seed(1))
    again = to_leave_out(features[order], columns[order], counts, 100)
    assert torch.equal(features[order][again], features[chosen])


def test_the_order_of_classes_does_not_matter() -> None:
    features, columns = _images([20, 7, 13], 24)
    weight, bias = Discriminant(Statistics.of(features, columns, 3)).solve(0.1)
    order = torch.tensor([2, 0, 1])
    moved, moved_bias = Discriminant(Statistics.of(features, order[columns], 3)).solve(0.1)
    _close(moved[order], weight)
    _close(moved_bias[order], bias)


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("counts", [[9, 3, 6], [4, 1, 2], [1, 1, 1], [1]])
def test_few_images_are_solved_within_what_they_span(counts: list[int], alpha: float) -> None:
    """The same as with all M dimensions, of which images reach as many as there are images."""
    features, columns = _images(counts, 30)
    whole = Discriminant(Statistics.of(features, columns, len(counts)))
    few = Discriminant.of(features, columns, len(counts))
    assert few.basis.shape == (30, len(features))
    for one, other in zip(few.solve(alpha), whole.solve(alpha), strict=True):
        _close(one, other)
    for one, other in zip(few.whitened(alpha), whole.whitened(alpha), strict=True):
        _close(one, other)
    able = torch.tensor(counts)[columns] > 1
    if able.any():
        judged = [
            each.judged_without(features[able], columns[able], alpha) for each in (few, whole)
        ]
        for one, other in zip(*judged, strict=True):
            _close(one, other, 1e-8)


def test_distances_are_the_formulas_where_no_image_reaches() -> None:
    features, columns = _images([4, 2, 5], 30)
    root, means = Discriminant.of(features, columns, 3).whitened(0.3)
    probe = torch.randn(30, generator=torch.Generator().manual_seed(8)).double()
    found = torch.stack([(root @ probe - mean).square().sum() for mean in means])
    _close(found, _squared_distances(probe, features, columns, 3, 0.3), 1e-8)


@pytest.mark.parametrize(
    "counts",
    [[1, 1, 1], [1], [5], [1, 4], [2, 1]],
    ids=["one image each", "one image", "one class", "uneven", "one to leave out"],
)
def test_little_gives_finite_scores(counts: list[int]) -> None:
    features, columns = _images(counts, 12)
    discriminant = Discriminant(Statistics.of(features, columns, len(counts)))
    for alpha in (0.02, 1.0):
        weight, bias = discriminant.solve(alpha)
        assert bool(weight.isfinite().all())
        assert bool(bias.isfinite().all())
    able = torch.tensor(counts)[columns] > 1
    left_out = discriminant.left_out(discriminant.rotated(features[able]), columns[able], 0.1)
    assert bool(left_out.isfinite().all())


def test_equal_images_give_the_nearest_mean() -> None:
    points = torch.tensor([[1.0, 0.5], [-0.25, 2.0]]).half()
    columns = torch.tensor([0, 0, 0, 1, 1])
    weight, bias = Discriminant(Statistics.of(points[columns], columns, 2)).solve(0.1)
    _close(weight, points.double())
    _close(bias, -points.double().square().sum(dim=1) / 2)


def test_alpha_1_is_the_nearest_mean() -> None:
    features, columns = _images([30, 30, 30], 16)
    weight, bias = Discriminant(Statistics.of(features, columns, 3)).solve(1.0)
    probes = torch.randn(200, 16, generator=torch.Generator().manual_seed(5)).double()
    means = torch.stack([features[columns == column].double().mean(dim=0) for column in range(3)])
    nearest = torch.cdist(probes, means).argmin(dim=1)
    assert torch.equal((probes @ weight.T + bias).argmax(dim=1), nearest)


def test_alpha_is_that_of_greatest_likelihood() -> None:
    features, columns = _images([12, 5, 9], 20)
    discriminant = Discriminant(Statistics.of(features, columns, 3))
    chosen = choose(discriminant, features, columns)
    assert chosen is not None
    costs = {}
    rotated = discriminant.rotated(features)
    for alpha in ALPHAS:
        scores = discriminant.left_out(rotated, columns, alpha)
        # The temperature by trying many.
        costs[alpha] = min(
            float(torch.nn.functional.cross_entropy(scores * inverse, columns))
            for inverse in torch.logspace(-4, 2, 2000).tolist()
        )
    assert chosen.alpha == min(costs, key=lambda alpha: costs[alpha])
    hits = discriminant.left_out(rotated, columns, chosen.alpha).argmax(dim=1) == columns
    assert (chosen.hits, chosen.images) == (int(hits.sum()), 26)


def test_nothing_can_be_left_out() -> None:
    features, columns = _images([1, 1], 8)
    assert choose(Discriminant(Statistics.of(features, columns, 2)), features, columns) is None

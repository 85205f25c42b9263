"""The figures of an evaluation, against counting by hand and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn import metrics

from models import figures
from models.figures import measure, reliability

CLASSES = 4


def drawn(images: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-scores that are often right, and the right classes; class 3 has no image."""
    generator = torch.Generator().manual_seed(0)
    columns = torch.randint(0, CLASSES - 1, (images,), generator=generator)
    logits = torch.randn(images, CLASSES, generator=generator)
    logits[torch.arange(images), columns] += 1.0
    return logits.log_softmax(dim=1), columns


def test_confusion_precision_and_recall_are_those_of_scikit_learn() -> None:
    log_scores, columns = drawn()
    found = measure(log_scores, columns)
    predicted = log_scores.argmax(dim=1).numpy()
    labels = range(CLASSES)
    expected = metrics.confusion_matrix(columns.numpy(), predicted, labels=labels)
    assert np.array_equal(found["confusion"], expected)
    precision, recall, f1, images = metrics.precision_recall_fscore_support(
        columns.numpy(), predicted, labels=labels, zero_division=np.nan
    )
    for column, row in enumerate(found["per_class"]):
        assert row["images"] == images[column]
        assert row["precision"] == pytest.approx(precision[column])
        if column < CLASSES - 1:
            assert row["recall"] == pytest.approx(recall[column])
        assert row["f1"] == pytest.approx(f1[column])
    assert found["per_class"][3]["recall"] is None  # there is no image of it
    assert found["accuracy"] == metrics.accuracy_score(columns.numpy(), predicted)


def test_standard_error_is_that_of_repeated_draws() -> None:
    log_scores, columns = drawn()
    found = measure(log_scores, columns)
    hits = np.random.default_rng(0).binomial(200, found["accuracy"], 200_000) / 200
    assert found["standard_error"] == pytest.approx(hits.std(), rel=0.02)
    assert figures.standard_error(1.0, 25) > 0.01  # few images are not a certainty


def test_images_of_a_group_are_no_independent_draws() -> None:
    """40 groups of 5 images that are right or wrong together count as 40 images."""
    generator = np.random.default_rng(0)
    means = []
    for _ in range(300):
        right = generator.random(40) < 0.8
        columns = torch.zeros(200, dtype=torch.int64)
        log_scores = torch.full((200, 2), -5.0)
        log_scores[torch.arange(200), torch.tensor(np.repeat(1 - right, 5))] = -0.01
        found = measure(log_scores, columns, torch.arange(40).repeat_interleave(5))
        means.append((found["accuracy"], found["standard_error"]))
    accuracies, errors = np.array(means).T
    assert errors.mean() == pytest.approx(accuracies.std(), rel=0.1)
    perfect = torch.tensor([[0.0, -50.0]]).repeat(200, 1)
    zeros = torch.zeros(200, dtype=torch.int64)
    assert measure(perfect, zeros, torch.arange(200))["standard_error"] > 0
    assert measure(perfect, zeros, zeros)["standard_error"] is None


def test_the_bins_give_the_expected_calibration_error() -> None:
    log_scores, columns = drawn()
    bins = reliability(log_scores, columns, bins=15)
    confidence = log_scores.exp().max(dim=1).values.numpy()
    right = (log_scores.argmax(dim=1) == columns).numpy()
    for number, row in enumerate(bins):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        assert row["images"] == inside.sum()
        if inside.any():
            assert row["score"] == pytest.approx(confidence[inside].mean())
            assert row["accuracy"] == pytest.approx(right[inside].mean())
        else:
            assert row["score"] is None
            assert row["accuracy"] is None
    gap = sum(abs(row["accuracy"] - row["score"]) * row["images"] for row in bins if row["images"])
    assert measure(log_scores, columns)["calibration"]["expected_error"] == pytest.approx(gap / 200)


def test_a_class_that_never_occurs_has_no_figures() -> None:
    counts = torch.tensor([[3, 0], [0, 0]])
    assert figures.by_class(counts)[1] == {
        "images": 0,
        "precision": None,
        "recall": None,
        "f1": None,
    }

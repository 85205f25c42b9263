"""Training that held-out images end: which epoch is kept, what is said, and resuming."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from models import methods
from models.checkpoint import Checkpoint
from models.early_stopping import EarlyStopping, Plateaus
from models.errors import InvalidSpecError
from models.learner import learn
from models.methods import sgd
from models.preprocess import Preprocess
from models.progress import Progress
from models.spec import Spec
from models.state import load_into

from .conftest import Chain, pictures, task_images
from .test_trainer import assert_identical

RULE = EarlyStopping(patience=2, falls=1, decay=0.1)
IMAGES = task_images(0, 20)


def test_the_rate_falls_where_accuracy_stops_rising_and_then_training_ends() -> None:
    seen = Plateaus()
    told = [0.5, 0.6, 0.6, 0.55, 0.7, 0.6, 0.7]
    #       best      same  wait: the rate falls
    best = [seen.add(accuracy, RULE) for accuracy in told[:4]]
    assert best == [True, True, True, False]
    assert (seen.best_epoch, seen.fallen, seen.over(RULE)) == (3, 1, False)
    assert [seen.add(accuracy, RULE) for accuracy in told[4:]] == [True, False, True]
    assert (seen.best_epoch, seen.best, seen.epochs) == (7, 0.7, 7)
    assert (seen.fallen, seen.over(RULE)) == (2, True)
    assert Plateaus.decode(seen.encode()) == seen


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sgd, "PATIENCE", 1)
    monkeypatch.setattr(sgd, "MAX_EPOCHS", 8)


@pytest.mark.usefixtures("quick")
def test_the_weights_of_the_best_epoch_are_kept(chain: Callable[..., Chain]) -> None:
    """Each epoch's accuracy is measured here anew, from its checkpoint."""
    learner = chain("finetune", epochs=None, lr=0.02)
    saved: list[Checkpoint] = []
    result = learner.learn(IMAGES, save=saved.append)
    method, step = chain("finetune", lr=0.02).begin(IMAGES)
    pixels = Preprocess.fitted(step.data.images)(step.held_out.images)
    accuracies = []
    for checkpoint in saved:
        load_into(method.network.backbone, checkpoint.parts["backbone"])
        load_into(method.network.head.blocks["0"], checkpoint.parts["head.0"])
        with torch.no_grad():
            named = method.network.eval()(pixels).logits.argmax(dim=1)
        accuracies.append(float((named == step.held_out.columns).double().mean()))
    best = max(index for index, each in enumerate(accuracies) if each == max(accuracies))
    kept = result.state.parts["backbone"]
    assert all(torch.equal(kept[name], t) for name, t in saved[best].parts["backbone"].items())
    assert result.metrics["report"]["epochs"] == [
        {"trained": len(saved), "best": best + 1, "held_out_accuracy": max(accuracies)}
    ]
    assert any(f"(epochs kept: {best + 1};" in said for said in result.warnings)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("method", ["finetune", "packnet"])
def test_every_step_can_be_resumed_from(chain: Callable[..., Chain], method: str) -> None:
    options = {"retrain_epochs": 1} if method == "packnet" else {}
    saved: list[bytes] = []
    expected = chain(method, epochs=None, **options).learn(
        IMAGES, save=lambda made: saved.append(made.encode()), save_due=lambda _: True
    )
    # The last is after the end, the one before it within the last epoch.
    for data in [*saved[:: max(1, len(saved) // 5)], *saved[-2:]]:
        resume = Checkpoint.decode(data)
        assert resume.encode() == data
        assert_identical(
            chain(method, epochs=None, **options).learn(IMAGES, resume=resume), expected
        )


def test_without_held_out_images_the_usual_epochs_are_trained(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sgd, "usual_epochs", lambda _: 3)
    learner = chain("finetune", epochs=None)
    data = learner.data(IMAGES)
    none = replace(data, held_out=data.held_out[:0], held_out_columns=data.held_out_columns[:0])
    told: list[Progress] = []
    result = learn(learner.spec, None, none, device="cpu", report=told.append)
    assert max(each.epoch or 0 for each in told) == 3
    assert any("no image of the classes is held out" in said for said in result.warnings)
    assert "epochs" not in result.metrics["report"]


def test_a_schedule_that_has_to_know_its_end_is_refused() -> None:
    spec = Spec(method="replay", options={"epochs": None, "schedule": "cosine"})
    with pytest.raises(InvalidSpecError, match="give epochs, or take the schedule steps"):
        methods.validate(spec)


def test_held_out_images_of_classes_that_are_not_trained_on_do_not_count(
    chain: Callable[..., Chain],
) -> None:
    learner = chain("finetune")
    learner.learn(IMAGES)
    _, step = learner.begin({2: pictures(2, 8), 3: pictures(3, 8)})
    assert step.held_out.columns.unique().tolist() == [2, 3]
    rehearsing = chain("icarl")
    rehearsing.learn(IMAGES)
    _, step = rehearsing.begin({2: pictures(2, 8)})
    assert step.held_out.columns.unique().tolist() == [0, 1, 2]

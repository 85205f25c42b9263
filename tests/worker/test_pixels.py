"""Training, measuring and prediction see the same pixels.

They follow from the classifier's `resize`, and from the rules of its first version.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from app.db.tables import Job
from app.imaging.rules import CURRENT
from app.inference.loaded import LoadedVersion, Prediction
from app.inference.stored import StoredVersion
from app.services.steps.plans import LearnPlan
from app.services.steps.publication import Outcome
from app.services.steps.starting import planner
from app.services.uploads import uploads
from app.services.uploads.sources import Item, UploadLimits
from app.storage import open_store
from models import state
from models.serving import load_servable
from tests.databases import ONE_KIND_AT_FIRST
from tests.pictures import encode
from tests.worker.harness import NO_CACHE, SIZE, WORKSPACE, Service
from worker import child, reading
from worker.attempt import Attempt
from worker.protocol import Resources

pytestmark = ONE_KIND_AT_FIRST

RESIZES = ["squash", "pad", "crop"]
# Levels of a 12-bit camera.
LEVELS = [2048 + 64 * number for number in range(8)]


def photograph(level: int, resize: str) -> bytes:
    """A 16-bit PNG, four times as wide as high and of one level.

    To see that a crop does not look there, its sides are noise, by which no two look alike.
    """
    samples = np.full((SIZE, 4 * SIZE), level, np.uint16)
    if resize == "crop":
        noise = np.random.default_rng(level).choice(np.array([0, 4095], np.uint16), samples.shape)
        middle = slice(SIZE + SIZE // 2, -SIZE - SIZE // 2)
        noise[:, middle] = samples[:, middle]
        samples = noise
    return encode(Image.fromarray(samples))


def by_hand(level: int, resize: str, divisor: int = 16) -> np.ndarray:
    """What a photograph becomes, uint8 [3, SIZE, SIZE]; `divisor` takes 16 bits to 8."""
    square = np.full((3, SIZE, SIZE), level // divisor, np.uint8)
    if resize == "pad":
        square[:, : SIZE * 3 // 8] = square[:, SIZE * 5 // 8 :] = 128
    return square


def same_images(found: Iterable[np.ndarray], expected: Iterable[np.ndarray]) -> bool:
    """Whether they are the same in any order."""
    return sorted(image.tobytes() for image in found) == sorted(
        image.tobytes() for image in expected
    )


class Photographs:
    def __init__(self, resize: str) -> None:
        self.resize = resize

    def items(self, _limits: UploadLimits) -> Iterator[Item]:
        for number, level in enumerate(LEVELS):
            yield Item(f"{number}.png", "ab"[number % 2], photograph(level, self.resize))

    def close(self) -> None:
        pass


def first_step(service: Service, resize: str) -> Attempt:
    """A classifier's first step, to be run in this process."""
    service.classifier(method="finetune", resize=resize, validation_fraction=0.25)
    storage = service.settings.storage_url
    limits = UploadLimits.of(service.settings)
    upload = uploads.create(
        service.db, open_store(storage), WORKSPACE, Photographs(resize), limits=limits
    )
    job = service.learn(upload.id)
    with service.db.transaction() as session:
        plan = planner(session, session.get_one(Job, job))
    resources = Resources(storage, "cpu", 1, None, 60.0, NO_CACHE)
    return Attempt(plan(), resources, lambda _message: None)


@pytest.mark.parametrize("resize", RESIZES)
def test_training_and_measuring_see_what_arithmetic_says(service: Service, resize: str) -> None:
    attempt = first_step(service, resize)
    assert isinstance(attempt.plan, LearnPlan)
    data = reading.read(attempt, attempt.plan)
    assert (len(data.images), len(data.held_out)) == (6, 2)
    found = [*data.images.numpy(), *data.held_out.numpy()]
    assert same_images(found, [by_hand(level, resize) for level in LEVELS])


@pytest.mark.parametrize("resize", RESIZES)
def test_a_version_without_a_number_keeps_the_first_rules(service: Service, resize: str) -> None:
    attempt = first_step(service, resize)
    old = state.encode({"mean": torch.zeros(3), "std": torch.ones(3)})
    plan = replace(attempt.plan, parts={"preprocess": attempt.tensors.put(old)})
    assert isinstance(plan, LearnPlan)
    data = reading.read(replace(attempt, plan=plan), plan)
    found = [*data.images.numpy(), *data.held_out.numpy()]
    assert same_images(found, [by_hand(level, resize, 256) for level in LEVELS])


@pytest.mark.parametrize("resize", RESIZES)
def test_prediction_sees_what_the_version_was_trained_on(service: Service, resize: str) -> None:
    attempt = first_step(service, resize)
    outcome = child.run(attempt)
    assert isinstance(outcome, Outcome)
    assert outcome.spec.resize == resize
    hashes = {name: part.sha256 for name, part in outcome.parts.items()}
    stored = {name: state.decode(attempt.store.get(each)) for name, each in hashes.items()}
    assert int(stored["preprocess"]["pixel_rules"]) == CURRENT
    # Fitted on what was trained on: all but the two that were held out.
    means = [by_hand(level, resize).mean() / 255 for level in LEVELS]
    assert min(means) < float(stored["preprocess"]["mean"][0]) < max(means)

    def log_scores(hashes: dict[str, str]) -> np.ndarray:
        rows = StoredVersion(
            id="ver_1",
            number=1,
            spec=outcome.spec,
            labels=("a", "b"),
            tasks=(0, 0),
            part_names=frozenset(hashes),
            parts=hashes,
            bytes=0,
        )
        limits = UploadLimits.of(service.settings).image
        version = LoadedVersion(rows, attempt.store, limits)
        predictor = version.predictor(None, "auto")
        (prediction,) = predictor.run([photograph(LEVELS[3], resize)]).outcomes
        assert isinstance(prediction, Prediction)
        return prediction.log_scores

    servable = load_servable(outcome.spec, state.State(stored, (0, 0)))

    def expected(divisor: int) -> np.ndarray:
        pixels = torch.from_numpy(by_hand(LEVELS[3], resize, divisor))[None]
        with torch.inference_mode():
            scores: np.ndarray = servable(pixels).log_scores[0].numpy()
        return scores

    np.testing.assert_allclose(log_scores(hashes), expected(16), rtol=1e-4, atol=1e-4)
    # The same version as a release before the rules had numbers would have made it.
    part = {name: tensor for name, tensor in stored["preprocess"].items() if name != "pixel_rules"}
    old = {**hashes, "preprocess": attempt.store.put(state.encode(part))}
    np.testing.assert_allclose(log_scores(old), expected(256), rtol=1e-4, atol=1e-4)
    assert not np.allclose(expected(16), expected(256), atol=1e-3)

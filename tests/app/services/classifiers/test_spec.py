"""Stored specs, also those of other releases."""

from typing import Any

import pytest

from app.db.tables import Classifier
from app.services.classifiers.spec import ClassifierSpec, Promotion, Retention, spec_of
from models.spec import Augment, Budget, Spec

STORED = {
    "name": "signs",
    "method": "lwf",
    "options": {"epochs": 3, "lr": 0.1},
    "backbone": "convnet",
    "weights": None,
    "image_size": 16,
    "memory": {"exemplars": None, "megabytes": 2.5},
    "regularizer": None,
    "augment": {"crop": 1, "flip": False},
    "seed": 7,
    "validation_fraction": 0.2,
    "promotion": {"policy": "guarded", "max_accuracy_drop": 0.1},
}


def test_a_spec_is_read_as_it_was_stored() -> None:
    spec = ClassifierSpec(name="signs", options={"epochs": 3}, promotion=Promotion(policy="manual"))
    assert spec_of(Classifier(spec=spec.model_dump(mode="json"))) == spec


@pytest.mark.parametrize("more", [{}, {"field_of_a_newer_release": [1, 2]}])
def test_a_spec_of_another_release_is_read(more: dict[str, Any]) -> None:
    spec = spec_of(Classifier(spec={**STORED, **more}))
    assert (spec.name, spec.validation_fraction, spec.promotion.max_accuracy_drop) == (
        "signs",
        0.2,
        0.1,
    )
    # It was stored before there were these.
    assert (spec.keep_images, spec.hardware, spec.retention) == (False, "any", Retention())


def test_training_gets_a_job_s_options_over_the_classifier_s() -> None:
    spec = spec_of(Classifier(spec=STORED))
    assert spec.for_training({"epochs": 5}) == Spec(
        method="lwf",
        options={"epochs": 5, "lr": 0.1},
        backbone="convnet",
        image_size=16,
        memory=Budget(megabytes=2.5),
        augment=Augment(crop=1, flip=False),
        seed=7,
    )
    assert spec.for_training().options == spec.options


def test_the_name_comes_first_and_training_s_fields_next() -> None:
    assert list(ClassifierSpec.model_fields)[:2] == ["name", "method"]

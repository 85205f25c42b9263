"""Predictions as Label Studio reads them."""

from typing import Any

from app.inference.loaded import LoadedVersion
from app.inference.predictor import Prediction
from app.inference.results import describe
from app.services.label_studio.labelling_config import LabellingConfig

# What is said of a task that there is no prediction for.
NONE: list[Any] = []


def model_version(classifier: str, number: int) -> str:
    """Return the name of a version: Label Studio asks again for tasks once it changes."""
    return f"{classifier} {number}"


def predicted(
    version: LoadedVersion, prediction: Prediction, *, classifier: str, config: LabellingConfig
) -> Any:
    """Return the best class that the project has as a choice.

    There is none where the image is like those of no class: it may be of one that is to be learnt.
    """
    found = describe(version, prediction, top_k=len(version.labels))
    possible = (
        each for each in found["ranked"] if config.labels is None or each["label"] in config.labels
    )
    best = next(possible, None)
    if best is None or found["known"] is False:
        return NONE
    return {
        "model_version": model_version(classifier, version.number),
        "score": best["score"],
        "result": [
            {
                "from_name": config.choices,
                "to_name": config.image,
                "type": "choices",
                "value": {"choices": [best["label"]]},
            }
        ],
    }

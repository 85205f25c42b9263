"""Turns scores by column into the results that clients see."""

import base64
import math
from typing import Any

from app.inference.explaining import Explained
from app.inference.loaded import LoadedVersion
from app.inference.predictor import Prediction
from models import known

# Why an image is neither known nor unknown.
_OTHER_SCORES = (
    "an image is known among all classes, as the version classifies by default: leave out task "
    "and classify"
)
_NO_IMAGES = (
    "the version has no scores of held-out images: it was made by a release without them, no image "
    "was held out, or it has a single class and no class means; learn again, with images held out"
)


def describe(
    version: LoadedVersion,
    outcome: Prediction | Explained,
    top_k: int,
    false_alarms: float | None = None,
) -> dict[str, Any]:
    """Return one entry of ``results``: the best class, and the best `top_k` classes considered.

    Of images of known classes, a share of `false_alarms` may be called unknown; where None, the
    share that the version was made with. The values are ready for JSON. Equal scores are ranked by
    column.
    """
    prediction = outcome.prediction if isinstance(outcome, Explained) else outcome
    values = prediction.log_scores.tolist()
    considered = [column for column, value in enumerate(values) if value > -math.inf]
    # Not numpy's sort: it releases the interpreter lock, and under load waits to get it back.
    columns = sorted(considered, key=values.__getitem__, reverse=True)[:top_k]
    ranked: list[dict[str, Any]] = [
        {"label": version.labels[column], "score": math.exp(values[column])} for column in columns
    ]
    if prediction.distances is not None:
        for entry, column in zip(ranked, columns, strict=True):
            entry["distance"] = float(prediction.distances[column])
    found = {
        "label": ranked[0]["label"],
        "score": ranked[0]["score"],
        "task": version.tasks[columns[0]],
        **_known(version, prediction, false_alarms or version.false_alarms),
        "ranked": ranked,
    }
    if isinstance(outcome, Explained):
        found["heat_map"] = base64.b64encode(outcome.picture).decode()
    return found


def _known(version: LoadedVersion, prediction: Prediction, false_alarms: float) -> dict[str, Any]:
    p_known = prediction.p_known
    least = known.smallest_p(version.held_out)
    if least is None:
        return {"known": None, "p_known": None, "known_why": _NO_IMAGES}
    if p_known is None:
        return {"known": None, "p_known": None, "known_why": _OTHER_SCORES}
    if least > false_alarms:
        return {"known": None, "p_known": p_known, "known_why": _too_few(version, false_alarms)}
    return {"known": p_known > false_alarms, "p_known": p_known}


def _too_few(version: LoadedVersion, false_alarms: float) -> str:
    held_out = len(next(iter(version.held_out.values())))
    needed = math.ceil(round(len(version.held_out) / false_alarms, 9)) - 1
    return (
        f"the version has {held_out} images to compare with, and a share of {false_alarms:g} false "
        f"alarms takes {needed}: hold out more, or allow more false alarms"
    )

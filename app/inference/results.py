"""Turns scores by column into the results that clients see."""

import math
from heapq import nlargest
from typing import Any

from app.inference.loaded import LoadedVersion, Prediction


def describe(version: LoadedVersion, prediction: Prediction, top_k: int) -> dict[str, Any]:
    """Return one entry of ``results``: the best class, and the best `top_k` classes considered.

    The values are ready for JSON. Equal scores are ranked by column.
    """
    values = prediction.log_scores.tolist()
    considered = [column for column, value in enumerate(values) if value > -math.inf]
    # Not numpy's sort: it releases the interpreter lock, and under load waits to get it back.
    columns = nlargest(top_k, considered, key=values.__getitem__)
    ranked: list[dict[str, Any]] = [
        {"label": version.labels[column], "score": math.exp(values[column])} for column in columns
    ]
    if prediction.distances is not None:
        for entry, column in zip(ranked, columns, strict=True):
            entry["distance"] = float(prediction.distances[column])
    return {
        "label": ranked[0]["label"],
        "score": ranked[0]["score"],
        "task": version.tasks[columns[0]],
        "ranked": ranked,
    }

"""What a model gives: labels, scores and how surely an image is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.api.problems import InvalidRequestError
from app.api.v2.tensors import Made, OutputTensor
from app.inference.loaded import LoadedVersion
from app.inference.predictor import Prediction

LABEL, SCORES, P_KNOWN = "label", "scores", "p_known"
NAMES = (LABEL, SCORES, P_KNOWN)


@dataclass(frozen=True, slots=True)
class Row:
    """What is said of one image: the scores of all classes [C], 0 where one was not considered."""

    scores: NDArray[np.float32]
    p_known: float

    @classmethod
    def of(cls, prediction: Prediction) -> "Row":
        """Return the row of a prediction."""
        p_known = np.nan if prediction.p_known is None else prediction.p_known
        return cls(np.exp(prediction.log_scores), p_known)


def requested(outputs: list[OutputTensor]) -> list[OutputTensor]:
    """Return the outputs to give: all, where none is named. Raises InvalidRequestError."""
    for output in outputs:
        if output.name not in NAMES:
            raise InvalidRequestError(
                f"There is no output {output.name}: ask for {', '.join(NAMES)}."
            )
        if output.parameters.classification and output.name != SCORES:
            raise InvalidRequestError(f"classification is for {SCORES}, not for {output.name}.")
    return outputs or [OutputTensor(name=name) for name in NAMES]


def made(version: LoadedVersion, rows: list[Row], outputs: list[OutputTensor]) -> dict[str, Made]:
    """Return the tensors of these rows by name."""
    scores = np.stack([row.scores for row in rows])
    found = {
        LABEL: Made("BYTES", np.array(version.labels, object)[scores.argmax(axis=1)]),
        SCORES: Made("FP32", scores),
        P_KNOWN: Made("FP64", np.array([row.p_known for row in rows], np.float64)),
    }
    for output in outputs:
        if count := output.parameters.classification:
            found[SCORES] = Made("BYTES", _ranked(version, scores, count))
    return found


def _ranked(version: LoadedVersion, scores: NDArray[np.float32], count: int) -> NDArray[np.object_]:
    """Return the best classes [B, k] as Triton writes them: score, index and label."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    texts = [
        [f"{row[column]:f}:{column}:{version.labels[column]}" for column in columns]
        for row, columns in zip(scores, best.tolist(), strict=True)
    ]
    return np.array(texts, object).reshape(best.shape)

"""Whether scores mean what they say: the calibration of confidence, and the error that is left.

The confidence of a prediction is its largest score p. It is calibrated if of the images with a
confidence of 0.8, say, 80 % are right. A temperature τ scales the scores; then the curve of beta
calibration (Kull, Silva Filho & Flach, AISTATS 2017, eq. 3) makes of p the confidence ::

    σ(a·log p − b·log(1 − p) + c)      with a, b > 0

which for a = b, c = 0 is again a temperature of two classes. A curve is needed where heads of
different steps were never trained against each other, and for sigmoids: no temperature gets the
confidence of those right. Nor does one curve for all of these heads, since old heads may be too
sure and new ones not: see `fit_by_task`. Nothing of it changes which class is the best: see
`calibrate`.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from models import beta
from models.classify import Output, fit_temperature

# τ, a, b and c where nothing is known.
_NEUTRAL = (1.0, *beta.NEUTRAL)
# Variances of a, b and c around the curve of other tasks, whose c says little of a task's own.
_OF_TASK = (1.0, 1.0, 4.0)
# The score of a router's choice is that of one task's network, and says nothing of the choice.
_OF_CHOSEN_TASK = (1.0, 1.0, 16.0)
_FOLDS = 5
# Logarithms of p and 1 − p are cut off there: what lies beyond is rounding.
_CERTAIN = -30.0
# How much above an equal share, and above the next score, the best is kept, as a share of itself.
_LEAD, _GAP = 1e-3, 1e-4


class Curve(NamedTuple):
    """τ, a, b and c."""

    temperature: float
    low: float
    high: float
    shift: float

    def tensor(self) -> Tensor:
        """Return the curve as it is stored, float64 [4]."""
        return torch.tensor(self, dtype=torch.float64)


def expected_calibration_error(log_scores: Tensor, columns: Tensor, bins: int = 15) -> float | None:
    """Return the expected calibration error of predictions, None without images.

    `log_scores` [n, C] are logarithms of scores that sum to 1, `columns` [n] the right classes.
    Images are put into `bins` of equal width by their largest score; the error is the mean over
    images of |accuracy − mean score| of their bin (Guo et al., On Calibration of Modern Neural
    Networks, ICML 2017, eq. 3).
    """
    if not len(columns):
        return None
    confidence, predicted = log_scores.double().exp().max(dim=1)
    right = (predicted == columns).double()
    # The bins are (0, 1/bins], (1/bins, 2/bins], … as in the paper.
    number = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64, device=confidence.device)
    gaps.index_add_(0, number, right - confidence)
    return float(gaps.abs().sum() / len(columns))


def fit(log_scores: Tensor, columns: Tensor) -> Curve:
    """Return the curve for predictions with log-scores [n, C] of images of classes `columns` [n].

    τ is the likeliest: see `fit_temperature`; 1 where some columns were not considered. a, b and c
    maximise the likelihood of which predictions are right, times normal distributions of a and b
    around 1 and of c around 0, all of variance 1: a few images hardly bend the curve.
    """
    if not len(columns) or log_scores.shape[1] == 1:
        return Curve(*_NEUTRAL)
    temperature, features, right = _prepared(log_scores, columns)
    return Curve(temperature, *beta.fit(features, right))


def fit_by_task(output: Output, columns: Tensor, tasks: Tensor) -> Tensor:
    """Return a curve [C, 4] for each column: those of a task have one. A single task's is [4].

    `output` are predictions of images of classes `columns` [n], and `tasks` [C] has the task of
    each column. The images whose best class is of a task have a curve of their own, with τ in
    common. Its prior is around the curve of the other images, or as in `fit` where there are none,
    and wider for c. A task that no image is said to be of has the curve of all.
    """
    log_scores = output.log_scores
    if not len(columns) or len(tasks.unique()) == 1:
        return fit(log_scores, columns).tensor().to(log_scores.device)
    temperature, features, right = _prepared(log_scores, columns)
    common = Curve(temperature, *beta.fit(features, right)).tensor().to(log_scores.device)
    variances = _OF_TASK if output.tasks is None else _OF_CHOSEN_TASK
    predicted = tasks[log_scores.argmax(dim=1)]
    curves = common.repeat(len(tasks), 1)
    for task in predicted.unique():
        own = predicted == task
        around = beta.NEUTRAL if bool(own.all()) else beta.fit(features[~own], right[~own])
        values = beta.fit(features[own], right[own], around, variances)
        curves[tasks == task, 1:] = curves.new_tensor(values)
    return curves


def _prepared(log_scores: Tensor, columns: Tensor) -> tuple[float, Tensor, Tensor]:
    """Return τ, `_features`, and which are right [n]."""
    considered = bool(log_scores.isfinite().all())
    temperature = fit_temperature(-log_scores, columns) if considered else 1.0
    features = _features((log_scores.double() / temperature).log_softmax(dim=1))
    return temperature, features, (log_scores.argmax(dim=1) == columns).double()


def calibrate(output: Output, curve: Tensor) -> Output:
    """Return predictions with their log-scores calibrated by a curve [4], or one a column [C, 4].

    Of several, an image has that of its best class.

    The best class stays the best, and the others keep their order: they share what the best leaves,
    in proportion to their scores, but evened out as far as none exceeds the best. Where a router
    chose the task, what the best loses goes to the classes of other tasks, in equal shares.
    """
    # By the scores before, since a large τ makes some equal.
    best = output.log_scores.argmax(dim=1, keepdim=True)
    curve = curve.to(output.log_scores)
    own = curve if curve.ndim == 1 else curve[best]  # [4], or [B, 1, 4]
    temperature, low, high, shift = own.unbind(dim=-1)
    logs = (output.log_scores / temperature).log_softmax(dim=1)
    top, rest = _features(logs).unsqueeze(-1).unbind(dim=1)
    considered = torch.ones_like(logs) if output.tasks is not None else logs.isfinite().to(logs)
    others = considered.scatter(1, best, 0)
    count = others.sum(dim=1, keepdim=True)
    odds = low * top + high * rest + shift
    # Never below an equal share. Those that would be stay in order, as ties would hide the unknown.
    least = torch.log1p(count.new_tensor(_LEAD)) - torch.log1p(count)
    fitted = functional.logsigmoid(odds)
    in_order = torch.log1p(_LEAD * (fitted - least).clamp_max(0).exp())
    log_p = torch.maximum(fitted, least + in_order)
    left = torch.log(-torch.expm1(log_p.clamp_max(-1e-7)))
    left = torch.where(odds > 0, torch.minimum(functional.logsigmoid(-odds), left), left)
    # Of what is left, the part of each: in logarithms, since some are too small for a float.
    share = logs.scatter(1, best, -torch.inf)
    if output.tasks is not None:
        moved = (top.exp() - log_p.exp()).clamp_min(0)
        outside = others * logs.isinf()
        even = (moved * outside / outside.sum(dim=1, keepdim=True).clamp_min(1)).log()
        share = torch.where(outside > 0, even, share)
    share = (share - share.logsumexp(dim=1, keepdim=True)).nan_to_num(neginf=-torch.inf)
    # (1 − w)·share + w/count is at most the cap.
    cap = (log_p - left).exp() * (1 - _GAP)
    largest, equal = share.amax(dim=1, keepdim=True).exp(), 1 / count.clamp_min(1)
    w = ((largest - cap) / (largest - equal).clamp_min(1e-12)).clamp(0, 1)
    evened = torch.where(w > 0, torch.log((1 - w) * share.exp() + w * equal * others), share)
    found = (left + evened).scatter(1, best, log_p)
    # A class that is the only one considered.
    return output._replace(log_scores=torch.where(count > 0, found, logs))


def cross_fitted(output: Output, columns: Tensor, tasks: Tensor) -> Output:
    """Return predictions of images, each calibrated by curves that others were fitted to.

    Images and curves are those of `fit_by_task`, in 5 folds. Fitting and measuring on the same
    images would find too small an error. Every class is spread over the folds.
    """
    order = columns.argsort(stable=True)
    folds = torch.empty_like(order)
    folds[order] = torch.arange(len(order), device=order.device) % _FOLDS
    log_scores = output.log_scores.clone()
    for fold in range(min(_FOLDS, len(order))):
        own = folds == fold
        curves = fit_by_task(output.of(~own), columns[~own], tasks)
        log_scores[own] = calibrate(output.of(own), curves).log_scores
    return output._replace(log_scores=log_scores)


def _features(log_scores: Tensor) -> Tensor:
    """Return log p and −log(1 − p) [n, 2] for the largest scores p."""
    top, best = log_scores.max(dim=1, keepdim=True)
    # Not by 1 − p, which is 0 too soon.
    rest = log_scores.scatter(1, best, -torch.inf).logsumexp(dim=1, keepdim=True)
    return torch.cat([top, -rest.clamp_min(_CERTAIN)], dim=1)

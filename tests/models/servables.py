"""Servables that every form of export must answer like."""

from collections.abc import Iterator

import torch
from torch import Tensor

from models import known, methods, networks
from models.classify import Servable, Softmax
from models.preprocess import Preprocess
from models.serving import load_servable
from tests.models.conftest import Chain, pictures, task_images


def of_every_way(learner: Chain, method: str) -> Iterator[tuple[Servable, known.Scores, Tensor]]:
    """Teach two tasks; yield each way to classify, with its held-out scores and some images."""
    for task in (0, 1):
        learner.learn(task_images(task))
    state = learner.results[-1].state
    images = torch.cat([pictures(label, 6, seed=5) for label in range(5)])
    kind = methods.get(method)
    ways = [(None, way) for way in kind.offered(state.parts)]
    ways += [(1, "auto")] if kind.needs.task_id else []
    for task, classify in ways:
        servable = load_servable(learner.spec, state, task=task, classify=classify)
        default = task is None and classify == kind.classify[0]
        yield servable, state.parts.get(known.PART, {}) if default else {}, images


def with_images(name: str) -> tuple[Servable, Tensor]:
    """Return a backbone under a head of three classes, and images of a size that it takes."""
    size = 64 if networks.accepts(name, 64) else 224
    size = 96 if name == "inception_v3" else size
    draws = torch.Generator().manual_seed(3)
    return of_backbone(name), torch.randint(0, 256, (3, 3, size, size), generator=draws).byte()


def of_backbone(name: str) -> Servable:
    """Return a backbone under a head of three classes."""
    network = networks.build(name, seed=1)
    network.head.grow(0, 3, seed=1)
    servable = Softmax(Preprocess(torch.zeros(3), torch.ones(3)), network)
    return servable.requires_grad_(False).eval()

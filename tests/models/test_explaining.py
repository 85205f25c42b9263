"""Heat maps: against closed forms, and where a network is made to look."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models import methods, networks
from models.classify import NearestMean, Softmax
from models.explaining import NoFeatureMapError, Watched
from models.methods import describe_methods
from models.networks import Backbone, Features, Network
from models.preprocess import Preprocess
from models.serving import load_servable
from tests.models.backbones import ONE_OF_EACH_FAMILY_AT_FIRST
from tests.models.conftest import Chain, pictures, task_images

NEUTRAL = Preprocess(torch.zeros(3), torch.ones(3))
# An image with red on the upper left and blue on the lower right.
RED_AND_BLUE = torch.zeros(3, 8, 8, dtype=torch.uint8)
RED_AND_BLUE[0, :2, :2] = 255
RED_AND_BLUE[2, 6:, 6:] = 255


class Colours(Backbone):
    """Sees colours as they are."""

    feature_dim = 3

    def forward(self, images: Tensor) -> Features:
        maps = images * 1
        return Features(maps, maps.mean(dim=(2, 3)))


def colours(weight: Tensor) -> Network:
    network = Network(Colours())
    network.head.grow(0, len(weight), seed=1)
    (block,) = network.head.blocks.values()
    block.weight, block.bias = nn.Parameter(weight), nn.Parameter(torch.zeros(len(weight)))
    return network.eval().requires_grad_(False)


def every(count: int) -> Tensor:
    return torch.ones(count, dtype=torch.bool)


@pytest.mark.parametrize("sure", [1.0, 1e4])
def test_it_shows_what_speaks_for_the_answer(sure: float) -> None:
    """Also where the score is 1 to all digits."""
    watched = Watched(Softmax(NEUTRAL, colours(torch.eye(3) * sure)))
    red, blue = (watched.heat_map(RED_AND_BLUE, column, every(3)) for column in (0, 2))
    assert torch.equal(red, (RED_AND_BLUE[0] > 0).float())
    assert torch.equal(blue, (RED_AND_BLUE[2] > 0).float())


def test_nearest_means_have_the_map_of_their_closed_form() -> None:
    means = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0.6, 0.8]])
    network = colours(torch.eye(3))
    image = torch.randint(0, 256, (3, 8, 8), generator=torch.Generator().manual_seed(3)).byte()
    servable = NearestMean(NEUTRAL, network, means, torch.tensor(0.5))
    maps = NEUTRAL(image[None])[0]
    pooled = maps.mean(dim=(1, 2))
    unit = pooled / pooled.norm()
    # Of φ·(μ_c − mean of the others), through the normalisation of φ.
    evidence = means[2] - means[:2].mean(dim=0)
    weight = evidence - unit * (unit @ evidence)
    expected = torch.einsum("k,khw->hw", weight, maps).relu()
    found = Watched(servable).heat_map(image, 2, every(3))
    assert torch.allclose(found, expected / expected.max(), atol=1e-5)


def test_only_what_is_considered_competes() -> None:
    weight = torch.tensor([[1.0, 0, 0], [1.0, 0, 1.0], [0, 1.0, 0]])
    watched = Watched(Softmax(NEUTRAL, colours(weight)))
    among_all = watched.heat_map(RED_AND_BLUE, 1, every(3))
    against_first = watched.heat_map(RED_AND_BLUE, 1, torch.tensor([True, True, False]))
    assert among_all[0, 0] > 0
    assert against_first[0, 0] == 0
    assert against_first[7, 7] == 1


def test_a_single_class_shows_where_the_map_is_active() -> None:
    watched = Watched(Softmax(NEUTRAL, colours(torch.eye(3)[:1])))
    found = watched.heat_map(RED_AND_BLUE, 0, every(1))
    assert torch.equal(found > 0, RED_AND_BLUE.any(dim=0))


@pytest.mark.parametrize("method", [method.name for method in describe_methods()])
def test_every_method_and_way_to_classify_is_explained(
    chain: Callable[..., Chain], method: str
) -> None:
    learner = chain(method)
    for task in (0, 1):
        learner.learn(task_images(task))
    state, image = learner.results[-1].state, pictures(1, 1)[0]
    kind = methods.get(method)
    ways = [(None, way) for way in kind.offered(state.parts)]
    ways += [(1, "auto")] if kind.needs.task_id else []
    for task, classify in ways:
        servable = load_servable(learner.spec, state, task=task, classify=classify)
        with torch.inference_mode():
            scores = servable(image[None]).log_scores[0]
        found = Watched(servable).heat_map(image, int(scores.argmax()), scores.isfinite())
        assert found.max() in (0, 1)
        assert found.min() >= 0
        with torch.inference_mode():
            assert torch.equal(servable(image[None]).log_scores[0], scores)


@ONE_OF_EACH_FAMILY_AT_FIRST
def test_every_backbone_with_a_map_is_explained(name: str) -> None:
    size = 64 if networks.accepts(name, 64) else 224
    if name == "inception_v3":
        size = 96
    network = networks.build(name, seed=1)
    network.head.grow(0, 3, seed=1)
    servable = Softmax(NEUTRAL, network.requires_grad_(False).eval())
    if not networks.has_feature_map(name):
        with pytest.raises(NoFeatureMapError):
            Watched(servable)
        return
    image = torch.randint(0, 256, (3, size, size), generator=torch.Generator().manual_seed(3))
    found = Watched(servable).heat_map(image.byte(), 1, every(3))
    assert found.dim() == 2
    assert 0 <= found.min() <= found.max() <= 1
    assert not found.isnan().any()

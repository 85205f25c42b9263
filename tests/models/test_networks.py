"""Backbones, the growing head, and published weights."""

import copy
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from models import networks
from models.methods import validate
from models.networks import (
    Backbone,
    Features,
    WeightsUnavailableError,
    WeightsUnfitError,
    accepts,
    build,
    describe_backbones,
    has_feature_map,
    pretrained,
)
from models.networks.network import Head
from models.networks.torchvision import resolve_weights
from models.preprocess import Preprocess
from models.spec import Spec
from models.state import decode, encode


def test_resnet32_is_the_papers() -> None:
    network = build("resnet32", 0)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    # One before the blocks, two in each of 15; shortcuts have no weights.
    assert len(convolutions) == 31
    assert sum(p.numel() for p in network.backbone.parameters()) == 463_504
    network.head.grow(0, 2, 0)
    feature_map, features, _ = network(torch.randn(4, 3, 32, 32))
    assert feature_map.shape == (4, 64, 8, 8)
    assert features.shape == (4, 64)
    # No ReLU at the end: the map is signed, and its pooling is the mean.
    assert bool((feature_map < 0).any())
    torch.testing.assert_close(features, feature_map.mean(dim=(2, 3)))


def test_shortcuts_subsample_and_pad() -> None:
    block = build("resnet20", 0).backbone.blocks[3]
    inputs = torch.randn(2, 16, 8, 8)
    shortcut = block._shortcut(inputs)
    assert shortcut.shape == (2, 32, 4, 4)
    assert torch.equal(shortcut[:, 8:24], inputs[:, :, ::2, ::2])
    assert not shortcut[:, :8].any()
    assert not shortcut[:, 24:].any()


@pytest.mark.parametrize("size", [8, 17, 28, 32])
def test_convnet_takes_small_images(size: int) -> None:
    network = build("convnet", 0)
    network.head.grow(0, 3, 0)
    assert network(torch.randn(2, 3, size, size)).logits.shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "features"),
    [("resnet18", 512), ("squeezenet1_1", 512), ("mobilenet_v3_small", 1024), ("vit_b_32", 768)],
)
def test_torchvision_networks_are_cut_before_the_classifier(name: str, features: int) -> None:
    size = 224 if name.startswith("vit") else 64
    network = build(name, 1)
    network.head.grow(0, 5, 0)
    images = torch.randn(2, 3, size, size)
    for training in (True, False):
        network.train(training)
        outputs = network(images)
        assert outputs.features.shape == (2, features)
        assert outputs.logits.shape == (2, 5)
    # Cutting changes nothing: the removed layer on the features gives the whole network's answer.
    if name == "resnet18":
        from torchvision.models import resnet18

        whole = resnet18().eval()
        whole.load_state_dict(network.backbone.body.state_dict(), strict=False)
        torch.testing.assert_close(whole.fc(outputs.features), whole(images))
        torch.testing.assert_close(outputs.feature_map.mean(dim=(2, 3)), outputs.features)


def test_the_seed_decides_the_weights_and_nothing_else_moves() -> None:
    state = torch.random.get_rng_state()
    one, same, other = (build("resnet18", seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["backbone.body.conv1.weight"], other["backbone.body.conv1.weight"])


def test_sizes_that_do_not_fit() -> None:
    assert accepts("vit_b_16", 224)
    assert not accepts("vit_b_16", 225)
    assert accepts("resnet32", 8)
    assert not accepts("alexnet", 32)
    # Its constructor computes with tensors, so it cannot be made without any.
    assert accepts("regnet_x_400mf", 32)


@pytest.mark.parametrize(
    ("name", "pooled"),
    [
        ("convnet", True),
        ("resnet18", True),
        ("squeezenet1_1", True),
        ("regnet_y_400mf", True),
        ("shufflenet_v2_x0_5", True),  # by mean, not by a pooling layer
        ("mnasnet0_5", False),  # dropout follows
        ("mobilenet_v3_small", False),  # a hidden layer follows
    ],
)
def test_features_are_the_average_of_the_map_where_it_is_said(name: str, pooled: bool) -> None:
    backbone = build(name, 1).backbone
    assert has_feature_map(name)
    assert backbone.mean_pooled is pooled
    feature_map, features = backbone.train()(torch.randn(4, 3, 64, 64))
    assert feature_map is not None
    average = feature_map.mean(dim=(2, 3))
    assert (average.shape == features.shape and torch.allclose(average, features)) is pooled


def test_transformers_have_no_feature_map() -> None:
    assert not has_feature_map("vit_b_32")


def test_every_torchvision_classification_network_is_offered() -> None:
    names = [info.name for info in describe_backbones()]
    assert len(names) == len(set(names)) > 80
    assert {"resnet32", "convnet", "resnet50", "efficientnet_b0", "swin_t"} <= set(names)
    with pytest.raises(ValueError, match="unknown backbone"):
        build("resnet33", 0)


class Theirs(Backbone):
    feature_dim = 3

    def forward(self, images: Tensor) -> Features:
        return Features(images, images.mean(dim=(2, 3)))


def offer(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have a package offer `Theirs` under a name, until the caches are cleared."""
    entry = EntryPoint(name, f"{__name__}:Theirs", networks.ENTRY_POINTS)
    monkeypatch.setattr(networks, "entry_points", lambda **_: [entry])
    clear_caches()


def clear_caches() -> None:
    networks._registry.cache_clear()
    describe_backbones.cache_clear()


def test_torchvision_is_not_loaded_for_backbones_of_others() -> None:
    """It takes 170 MB and, like arithmetic on `meta`, seconds: PyTorch's compiler comes with it."""
    code = """if True:
        import sys
        from models import methods, networks
        from models.spec import Spec
        spec = Spec(method="analytic", backbone="efficientnet_lite0", weights="DEFAULT")
        methods.validate(spec)
        methods.get(spec.method).prepare(spec, networks.build(spec.backbone, 0))
        methods.validate(Spec(method="mas", backbone="resnet32"))
        methods.validate(Spec(method="lwm", backbone="convnet"))
        sys.exit(bool({"torchvision", "torch._dynamo"} & set(sys.modules)))
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_packages_bring_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "theirs")
    try:
        network = build("theirs", 0)
        assert isinstance(network.backbone, Theirs)
        network.head.grow(0, 2, 0)
        assert network(torch.randn(4, 3, 8, 8)).logits.shape == (4, 2)
        assert validate(Spec(method="lwm", backbone="theirs")).backbone == "theirs"
        (info,) = (info for info in describe_backbones() if info.name == "theirs")
        assert (info.source, info.weights) == ("tests", ())
    finally:
        clear_caches()


@pytest.mark.parametrize("name", ["resnet32", "resnet18"])
def test_a_backbone_of_a_name_that_is_taken_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    offer(monkeypatch, name)
    try:
        with pytest.raises(ValueError, match=f"two backbones are named '{name}'"):
            build("convnet", 0)
    finally:
        clear_caches()


def test_published_weights_from_a_folder(tmp_path: Path) -> None:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    published = squeezenet1_1().state_dict()
    record = resolve_weights("squeezenet1_1", "DEFAULT")
    torch.save(published, tmp_path / record.url.rsplit("/", 1)[-1])
    network = build("squeezenet1_1", 5)
    mean, std = pretrained(network, "squeezenet1_1", "DEFAULT", tmp_path)
    assert torch.equal(
        network.backbone.body.state_dict()["features.0.weight"], published["features.0.weight"]
    )
    assert mean.tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert std.tolist() == pytest.approx([0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    ("name", "key", "published_key"),
    [
        ("mnasnet0_5", "layers.0.weight", "layers.0.weight"),
        (
            "densenet121",
            "features.denseblock1.denselayer2.conv1.weight",
            "features.denseblock1.denselayer2.conv.1.weight",
        ),
    ],
)
def test_published_weights_of_older_releases(
    tmp_path: Path, name: str, key: str, published_key: str
) -> None:
    """MNASNet's need the version in their file; DenseNet's have other names and no counts."""
    published = models.get_model(name).state_dict()
    expected = published[key].clone()
    published[published_key] = published.pop(key)
    if name == "densenet121":
        for old in [old for old in published if old.endswith("num_batches_tracked")]:
            del published[old]
        del published._metadata
    record = resolve_weights(name, "DEFAULT")
    file = tmp_path / record.url.rsplit("/", 1)[-1]
    torch.save(published, file)
    network = build(name, 5)
    pretrained(network, name, "DEFAULT", tmp_path)
    assert torch.equal(network.backbone.published.state_dict()[key], expected)
    for unfit in ({**published, published_key: torch.ones(1)}, {}, []):
        torch.save(unfit, file)
        with pytest.raises(WeightsUnfitError, match="do not fit the backbone"):
            pretrained(network, name, "DEFAULT", tmp_path)


class _Intruder:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self._mark,)


@pytest.mark.parametrize("given", [True, False], ids=["in the folder", "in torch's cache"])
def test_what_is_in_a_file_of_weights_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    mark = tmp_path / "it was run"
    name = resolve_weights("squeezenet1_1", "DEFAULT").url.rsplit("/", 1)[-1]
    torch.save({"features.0.weight": _Intruder(mark)}, folder / name)
    with pytest.raises(WeightsUnfitError, match=rf"{name} holds more than tensors"):
        network = build("squeezenet1_1", 0)
        pretrained(network, "squeezenet1_1", "DEFAULT", folder if given else None)
    assert not mark.exists()


def test_weights_that_cannot_be_had_say_where_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(WeightsUnavailableError, match=r"squeezenet1_1-.*ACCRUE_WEIGHTS_DIR"):
        pretrained(build("squeezenet1_1", 0), "squeezenet1_1", "DEFAULT", tmp_path)
    with pytest.raises(ValueError, match="no published weights"):
        networks.pretrained(build("resnet32", 0), "resnet32", "DEFAULT", None)


def test_a_head_grown_by_blocks_is_one_linear_layer() -> None:
    head = Head(6)
    head.grow(0, 2, 1)
    head.grow(1, 1, 1)
    head.grow(3, 4, 1)
    features = torch.randn(5, 6)
    blocks = [block(features) for block in head.blocks.values()]
    torch.testing.assert_close(head(features), torch.cat(blocks, dim=1))
    assert head.tasks == (0, 0, 1, 3, 3, 3, 3)


def test_growing_leaves_old_rows_alone() -> None:
    head = Head(6)
    head.grow(0, 2, 1)
    before = head.blocks["0"].weight.clone()
    head.grow(1, 3, 1)
    assert torch.equal(head.blocks["0"].weight, before)


def test_preprocessing_is_fitted_to_the_images() -> None:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (700, 3, 5, 5), generator=draws).to(torch.uint8)
    images[:, 2] //= 4
    preprocess = Preprocess.fitted(images)
    pixels = preprocess(images).double()
    torch.testing.assert_close(
        pixels.mean(dim=(0, 2, 3)), torch.zeros(3).double(), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(
        pixels.std(dim=(0, 2, 3), correction=0), torch.ones(3).double(), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(preprocess.mean, (images.double() / 255).mean(dim=(0, 2, 3)).float())


def test_flat_colour_divides_by_no_zero() -> None:
    assert (
        Preprocess.fitted(torch.full((3, 3, 4, 4), 80).to(torch.uint8))(
            torch.full((1, 3, 4, 4), 80).to(torch.uint8)
        )
        .abs()
        .max()
        < 1e-4
    )


def test_parts_survive_storage_and_equal_parts_are_equal_bytes() -> None:
    part = {"b": torch.randn(3, 2), "a": torch.arange(4), "c": torch.tensor(1.5)}
    data = encode(part)
    assert data == encode(dict(sorted(part.items())))
    back = decode(data)
    assert back.keys() == part.keys()
    assert all(torch.equal(back[name], part[name]) for name in part)
    with pytest.raises(ValueError, match="safetensors"):
        decode(data[:-1])


def test_a_copy_has_nothing_of_a_forward_in_progress() -> None:
    """Engines copy a network while other threads predict with it."""
    backbone = build("resnet18", 0).backbone.eval()
    copies: list[Any] = []
    last = backbone.get_submodule("body.fc")
    hook = last.register_forward_hook(lambda *_: copies.append(copy.deepcopy(backbone)))
    backbone.levels(torch.zeros(1, 3, 32, 32))
    hook.remove()
    (made,) = copies
    assert not made._maps
    assert not made._levels
    assert [len(each.levels(torch.zeros(1, 3, 32, 32))) for each in (made, backbone)] == [4, 4]

"""Engines compute what PyTorch does, of backbones of every kind and batches of every size."""

import importlib.util
import threading
import weakref

import pytest
import torch
from torch import Tensor

from models import networks
from models.compute import to_device
from models.engines.engine import Engine, Kind
from models.engines.openvino import OpenVINO
from models.engines.torchscript import TorchScript
from models.networks.projected import Projected
from models.preprocess import Preprocess
from models.trunks import Trunk
from tests.models.test_folding import trained

NO_OPENVINO = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="OpenVINO is not installed: pip install 'accrue[fast]'",
)
NAMES = ["torchscript", pytest.param("openvino", marks=NO_OPENVINO)]
# Plain, with levels, without a map, and with features that are not the mean of their map.
BACKBONES = ["convnet", "resnet20", "efficientnet_lite0", "squeezenet1_1", "mobilenet_v3_small"]


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine that is installed, in float32, whose answers are nearly exact."""
    if request.param == "openvino":
        return OpenVINO(2, 16, precision="fp32")
    engine = TorchScript()
    engine.precision = "fp32"
    return engine


def trunk(name: str) -> Trunk:
    backbone = trained(networks.build(name, 0).backbone)
    to_device(backbone, torch.device("cpu"))
    return Trunk(Preprocess(torch.full((3,), 0.4), torch.full((3,), 0.25)), backbone).eval()


def kind(size: int) -> Kind:
    return Kind("icarl", "one", size)


def images(count: int, size: int) -> Tensor:
    draws = torch.Generator().manual_seed(count)
    pixels = torch.randint(256, (count, size, size, 3), dtype=torch.uint8, generator=draws)
    return pixels.permute(0, 3, 1, 2)


def check(runner: object, plain: Trunk, batch: Tensor, tolerance: float = 1e-4) -> None:
    with torch.inference_mode():
        found, expected = list(runner(batch)), list(plain(batch))  # type: ignore[operator]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * float(other.abs().max()))


@pytest.mark.parametrize("name", BACKBONES)
def test_an_engine_computes_what_pytorch_does(engine: Engine, name: str) -> None:
    plain = trunk(name)
    runner = engine.compile(plain, kind(32))
    for count in (1, 5, 16, 2):
        check(runner, plain, images(count, 32))
    # However the pixels lie in memory, as after a router has picked some.
    check(runner, plain, images(4, 32).contiguous())
    check(runner, plain, images(8, 32)[torch.tensor([0, 5, 2])])


def test_levels_pass_through_an_engine(engine: Engine) -> None:
    plain = trunk("efficientnet_lite0")
    channels = networks.level_channels("efficientnet_lite0", 64)
    projected = Projected(plain.backbone, channels, 32, 2).eval()
    plain = Trunk(plain.preprocess, projected).eval()
    check(engine.compile(plain, kind(64)), plain, images(3, 64))


def test_several_threads_share_a_runner(engine: Engine) -> None:
    plain = trunk("convnet")
    runner = engine.compile(plain, kind(16))
    failed: list[Exception] = []

    def work(seed: int) -> None:
        try:
            for count in range(1, 30):
                check(runner, plain, images(1 + (count * seed) % 16, 16))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (3, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


@pytest.mark.parametrize("name", ["convnet", "resnet20"])
def test_bf16_stays_within_the_rounding_of_eight_bits(name: str) -> None:
    # Emulated where the CPU does not multiply it.
    engine = TorchScript()
    engine.precision = "bf16"
    plain = trunk(name)
    check(engine.compile(plain, kind(32)), plain, images(6, 32), tolerance=0.05)


@NO_OPENVINO
def test_a_batch_may_run_on_several_cores() -> None:
    plain = trunk("resnet20")
    runner = OpenVINO(1, 16, cores=2, precision="fp32").compile(plain, kind(32))
    check(runner, plain, images(16, 32))


def test_an_engine_counts_its_weights(engine: Engine) -> None:
    plain = trunk("convnet")
    weights = sum(each.numel() * 4 for each in plain.parameters())
    assert engine.compile(plain, kind(16)).bytes > 0.9 * weights


def test_versions_of_one_kind_share_a_trace_and_no_number(engine: Engine) -> None:
    one, other = trunk("convnet"), trunk("convnet")
    with torch.no_grad():
        for tensor in other.backbone.parameters():
            tensor.mul_(1.5)
    other.preprocess.mean.fill_(0.1)
    runners = [engine.compile(each, kind(16)) for each in (one, other)]
    for runner, plain in zip(runners, (one, other), strict=True):
        check(runner, plain, images(4, 16))


def test_a_graph_is_freed_with_its_runner() -> None:
    plain = trunk("convnet")
    engine = TorchScript()
    seen: list[weakref.ref[torch.jit.ScriptModule]] = []
    runner = engine.compile(plain, kind(16))
    seen.append(weakref.ref(runner._run))
    del runner
    assert seen[0]() is None

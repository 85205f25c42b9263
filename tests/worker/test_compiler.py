"""What compiles a network for a job: checked against PyTorch, once, and announced."""

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs
from torch import Tensor

from models import networks
from models.engines.engine import Kind
from models.engines.openvino import OpenVINO
from models.networks.projected import Projected
from models.trunks import Trunk
from tests.models.test_engines import NO_OPENVINO, check, images, trunk
from worker.compiling import Compiler
from worker.protocol import Message, Quiet
from worker.reporter import Reporter

SIZE = 32
KIND = Kind("analytic", "convnet", SIZE)


class Off(OpenVINO):
    """An engine that is off by a part of the numbers, or that cannot run a network."""

    def __init__(self, by: float | None) -> None:
        super().__init__(1, 16, precision="fp32")
        self.by = by

    def compile(self, trunk: Trunk, kind: Kind) -> "Shifted":
        if self.by is None:
            raise RuntimeError("no such operator")
        return Shifted(trunk, self.by)


class Shifted:
    def __init__(self, trunk: Trunk, by: float) -> None:
        self.bytes, self._trunk, self._by = 0, trunk, by

    def __call__(self, pixels: Tensor) -> Sequence[Tensor]:
        *others, last = self._trunk(pixels)
        return [*others, last + self._by * last.abs().max()]


def compiler(engine: OpenVINO, said: list[Message]) -> Compiler:
    return Compiler(engine, KIND, Reporter(said.append))


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        (None, "RuntimeError: no such operator"),
        (0.01, "off by 0.01 of the largest number"),
        (float("nan"), "off by nan of the largest number"),
    ],
)
def test_an_engine_that_fails_or_is_wrong_is_not_taken(by: float | None, reason: str) -> None:
    backbone = networks.build("convnet", 0).backbone
    levels = Projected(backbone, networks.level_channels("convnet", SIZE), 16, 0)
    plain = Trunk(trunk("convnet").preprocess, levels).eval()
    with capture_logs() as logged:
        assert compiler(Off(by), [])(plain) is plain
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("network_not_compiled", "warning")
    assert reason in line["reason"]


@NO_OPENVINO
def test_one_network_is_compiled_and_it_says_so_before() -> None:
    said: list[Message] = []
    compile_trunk = compiler(OpenVINO(1, 16, precision="fp32"), said)
    plain, other = trunk("convnet"), trunk("convnet")
    runner = compile_trunk(plain)
    assert runner is not plain
    check(runner, plain, images(5, SIZE))
    # Another object for the same network.
    assert compile_trunk(Trunk(plain.preprocess, plain.backbone)) is runner
    assert compile_trunk(other) is other
    assert [type(message) for message in said] == [Quiet]

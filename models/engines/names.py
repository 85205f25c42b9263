"""The names of engines, for those who do without PyTorch."""

from typing import Literal

EngineName = Literal["torch", "torchscript", "openvino"]
# PyTorch, module by module: what every version is served by at first.
PLAIN: EngineName = "torch"

# In what the convolutions are computed.
Precision = Literal["fp32", "bf16"]

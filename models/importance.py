"""How much each weight matters to a network's output: MAS (Aljundi et al., ECCV 2018).

Importance Ω says how strongly a small change of a weight changes the output. It needs no label, so
any images will do. It is measured for the shared parameters: the backbone's without batch norm's,
which are frozen after the first task. Measuring leaves the network unchanged, in eval mode, and
draws no random numbers.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from models.inference import Pause, inference_batches, no_pause
from models.networks import Network, batch_norms
from models.networks.network import BatchNorm
from models.state import Tensors

Layer = nn.Conv2d | nn.Linear
Preprocessing = Callable[[Tensor], Tensor]

# The most images in a batch, as in a small training batch, and the most bytes of their gradients.
# More would leave a CPU's caches and be slower (measured on resnet32 and resnet18), and elsewhere
# take memory.
BATCH = 32
CPU_GRADIENT_BYTES = 2**25
GRADIENT_BYTES = 2**30


def shared_parameters(network: Network) -> dict[str, nn.Parameter]:
    """Return the parameters that later tasks share and may change, by name in the backbone."""
    fixed = {id(p) for norm in batch_norms(network) for p in norm.parameters()}
    return {name: p for name, p in network.backbone.named_parameters() if id(p) not in fixed}


def global_importance(
    network: Network,
    preprocess: Preprocessing,
    images: Tensor,
    columns: Tensor,
    pause: Pause = no_pause,
) -> Tensors:
    """Return Ω = mean over images of |∂‖F(x)‖²/∂θ|, by parameter.

    F are the logits of the columns that the boolean `columns` [N, C] selects for each of the uint8
    images [N, 3, S, S]. The absolute value is taken image by image: in the gradient of a whole
    batch the images' gradients partly cancel, which gives a lower bound only.
    """
    network.eval()
    parameters: Tensors = {f"backbone.{n}": p for n, p in shared_parameters(network).items()}

    def energy(values: Tensors, image: Tensor, own: Tensor) -> Tensor:
        logits: Tensor = functional_call(network, values, (image[None],)).logits[0]
        return (logits * own).square().sum()

    per_image = vmap(grad(energy), in_dims=(None, 0, 0))
    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    size = _batch_size(parameters.values())
    with torch.no_grad():
        for batch, own in zip(images.split(size), columns.split(size), strict=True):
            pause()
            for name, gradients in per_image(parameters, _pixels(preprocess, batch), own).items():
                total[name] += gradients.abs_().sum(dim=0)
        return {name.removeprefix("backbone."): t / len(images) for name, t in total.items()}


def local_importance(
    network: Network, preprocess: Preprocessing, images: Tensor, pause: Pause = no_pause
) -> Tensors:
    """Return the local Ω, which treats every layer as a function by itself: Hebb's rule.

    A layer is y = ReLU(γ(θx − μ)/σ + β), with the batch norm behind it if there is one, and
    |∂‖y‖²/∂θ| = |2 y (γ/σ) xᵀ| is the product of its input and output, summed over the positions of
    a convolution. Ω is its mean over uint8 images [N, 3, S, S], by parameter. This takes no
    backward pass and leaves out the head. Only convolutions and linear layers have such a rule;
    parameters of other layers (see `without_local_rule`) get zero.
    """
    network.eval()
    total = {name: torch.zeros_like(p) for name, p in shared_parameters(network).items()}
    layers = {m: name for name, m in network.backbone.named_modules() if isinstance(m, Layer)}

    with torch.no_grad():
        norms = _norms_behind(network, layers, _pixels(preprocess, images[:1]))

        def add(layer: Layer, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
            products, sums = _hebb(layer, inputs[0], 2 * _responses(outputs, norms.get(layer)))
            total[f"{layers[layer]}.weight"] += products
            if layer.bias is not None:
                total[f"{layers[layer]}.bias"] += sums

        with _forward_hooks(dict.fromkeys(layers, add)):
            for batch in inference_batches(images, images.device, pause, BATCH):
                network.backbone(_pixels(preprocess, batch))
        return {name: summed / len(images) for name, summed in total.items()}


def uniform_importance(network: Network) -> Tensors:
    """Return Ω = 1 for every parameter: the plain L2 penalty, the baseline of importance."""
    return {name: torch.ones_like(p) for name, p in shared_parameters(network).items()}


def without_local_rule(network: Network) -> list[str]:
    """Return the names of the shared parameters that `local_importance` has no rule for."""
    ruled = {
        id(p)
        for module in network.backbone.modules()
        if isinstance(module, Layer)
        for p in module.parameters()
    }
    return [name for name, p in shared_parameters(network).items() if id(p) not in ruled]


@torch.no_grad()
def proximal_step(
    parameters: Mapping[str, Tensor],
    anchor: Tensors,
    importance: Tensors,
    strength: float,
    lr: float,
) -> None:
    """Move θ in place by an implicit step on the penalty: to (θ + 2ηλΩθ*)/(1 + 2ηλΩ), η = `lr`.

    The penalty is λ Σ Ω (θ − θ*)², of `parameters` θ and their `anchor` θ*. The step minimises
    penalty + ‖· − θ‖²/2η. The explicit gradient step diverges where ηλΩ > 1; the implicit one is
    always stable.
    """
    for name, omega in importance.items():
        pull = 2 * lr * strength * omega
        parameters[name].lerp_(anchor[name], pull / (1 + pull))


def _pixels(preprocess: Preprocessing, images: Tensor) -> Tensor:
    return preprocess(images).contiguous(memory_format=torch.channels_last)


def _batch_size(parameters: Iterable[Tensor]) -> int:
    """Return how many images' gradients are computed at once."""
    tensors = list(parameters)
    room = CPU_GRADIENT_BYTES if tensors[0].device.type == "cpu" else GRADIENT_BYTES
    return max(1, min(BATCH, room // sum(p.nbytes for p in tensors)))


def _forward_hooks(hooks: Mapping[nn.Module, Callable[..., None]]) -> ExitStack:
    """Call a hook with (module, inputs, output) after each module's forward, inside a `with`."""
    stack = ExitStack()
    for module, hook in hooks.items():
        stack.enter_context(module.register_forward_hook(hook))
    return stack


def _norms_behind(
    network: Network, layers: Iterable[nn.Module], pixels: Tensor
) -> dict[nn.Module, BatchNorm]:
    """Return the batch norm that takes the output of each layer, where one does.

    It is found by running an image, since modules do not know what they are connected to.
    """
    made: dict[int, tuple[nn.Module, Tensor]] = {}  # the reference to a tensor keeps its id unique
    found: dict[nn.Module, BatchNorm] = {}

    def record(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        made[id(output)] = layer, output

    def find(norm: BatchNorm, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        if id(inputs[0]) in made:
            found[made[id(inputs[0])][0]] = norm

    hooks: dict[nn.Module, Callable[..., None]] = dict.fromkeys(layers, record)
    with _forward_hooks({**hooks, **dict.fromkeys(batch_norms(network), find)}):
        network.backbone(pixels)
    return found


def _responses(outputs: Tensor, norm: BatchNorm | None) -> Tensor:
    """Return y·γ/σ, shaped like a layer's outputs: half the gradient of ‖y‖² by them."""
    if norm is None:
        return functional.relu(outputs)
    assert norm.running_var is not None  # noqa: S101 - every norm here tracks it
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.affine:
        scale = scale * norm.weight
    return functional.relu(norm(outputs)) * scale.view(-1, *[1] * (outputs.ndim - 2))


def _hebb(layer: Layer, inputs: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Return Σ over a batch of |Σ over positions of slope · input| and of |Σ slope|.

    `slopes` are gradients by the layer's outputs. The sums are shaped like its weight and bias.
    """
    if isinstance(layer, nn.Linear):
        inputs, slopes = (t.reshape(len(t), -1, t.shape[-1]).mT for t in (inputs, slopes))
        groups = 1
    else:
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        inputs = functional.pad(inputs, layer._reversed_padding_repeated_twice, mode)
        inputs = functional.unfold(inputs, layer.kernel_size, layer.dilation, 0, layer.stride)
        groups = layer.groups
    # [B, G, O/G, P] and [B, G, I/G·k·k, P]
    slopes = slopes.reshape(len(slopes), groups, layer.weight.shape[0] // groups, -1)
    inputs = inputs.reshape(len(inputs), groups, -1, inputs.shape[-1])
    if inputs.shape[-1] == 1:  # |s·x| = |s|·|x|: one product for the whole batch
        products = torch.einsum("bgop,bgip->goi", slopes.abs(), inputs.abs())
    else:
        products = (slopes @ inputs.mT).abs_().sum(dim=0)
    return products.reshape(layer.weight.shape), slopes.sum(dim=3).abs_().sum(dim=0).flatten()

"""Zero-cost proxies: figures of one untrained network that go along with its trained accuracy, more or less.

`PROXIES` is where they are registered: each is a function of an `Untrained` network, larger is better.

Binary codes (NASWOT) are taken where an activation module has its input: the bit of a unit is 1 where that input is
positive, for all activations alike. ReLU6's upper bound makes no third region, and the ReLU inside
squeeze-and-excitation, which sees one pixel, is not counted. A block is a Layer; one that computes nothing (a skip
between equal shapes) is passed over, and the head counts for NASWOT, synflow and ZiCo only.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy, interpolate, pad, pixel_unshuffle

from nas.accuracy.one_thread import one_thread
from nas.blocks import modules
from nas.blocks.architecture import Architecture
from nas.blocks.attention_modules import Attention, LayerNorm
from nas.blocks.build import build
from nas.blocks.evonorm_module import EvoNorm

_ACTIVATIONS = (*modules.ACTIVATIONS.values(), EvoNorm)


def measure(
    architecture: Architecture, names: Sequence[str], *, shape: tuple[int, int], pictures: int, seed: int
) -> NDArray[np.float64]:
    """The named proxies of a network with random weights, `float64[len(names)]`; NaN where one is not defined.

    `shape` is the height and width of the pictures it is shown, which need not be those it is made for. The result
    depends on the arguments alone: on one thread, with generators of its own, whatever the caller's are.
    """
    with one_thread(), torch.enable_grad():
        network = Untrained(architecture, shape, pictures, seed)
        values = np.array([PROXIES[name](network) for name in names], dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


class Untrained:
    """A network with random weights, digits to show it, and what a pass of them through it leaves behind.

    Weights are normal with variance 2 / fan-in (arXiv:1502.01852, section 2.2), biases 0; batch normalisation uses
    the statistics of the batch.
    """

    def __init__(self, architecture: Architecture, shape: tuple[int, int], pictures: int, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        inputs, labels = digits(pictures, *shape)
        self.inputs = inputs.expand(-1, architecture.channels, -1, -1)  # N,C,H,W
        self.labels = labels % architecture.num_classes  # N
        with torch.device("meta"):
            network = build(architecture.for_training())
        self.network = network.to_empty(device="cpu").train().requires_grad_(False)
        self.weights = []
        for module in self.network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.normal_(0, math.sqrt(2 / module.weight[0].numel()), generator=self.generator)
                self.weights.append(module.weight)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.Dropout):
                module.p = 0.0
            elif callable(reset := getattr(module, "reset_parameters", None)):
                reset()

    @cached_property
    def passed(self) -> tuple[list[torch.Tensor], list[tuple[torch.Tensor, torch.Tensor]]]:
        """Codes of each activation, `bool[N, units]`; input and output of each block, each with its own graph."""
        codes: list[torch.Tensor] = []

        def note(module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
            codes.append((arguments[0] > 0).flatten(1))

        hooks = [m.register_forward_pre_hook(note) for m in self.network.modules() if isinstance(m, _ACTIVATIONS)]
        blocks, x = [], self.inputs
        for block in self.network.children():
            before = x.detach().requires_grad_()
            x = block(before)
            if x.dim() == 4 and len(list(block.children())):
                blocks.append((before, x))
        for hook in hooks:
            hook.remove()
        return codes, blocks

    @cached_property
    def entropies(self) -> NDArray[np.float64]:
        """Of the variances along the principal axes of each block's output, in nats: eq. 1-3 of AZ-NAS."""
        values = []
        for _, output in self.passed[1]:
            features = output.detach().permute(0, 2, 3, 1).flatten(0, 2)  # pixels, C
            features = features - features.mean(0)
            wide = features.shape[1] > features.shape[0]  # both products have the same eigenvalues but for zeros
            variances = torch.linalg.eigvalsh(features @ features.T if wide else features.T @ features).clamp_min(0)
            shares = variances / variances.sum()
            values.append(-float((shares * torch.log(shares + 1e-8)).sum()))
        return np.array(values)


def naswot(network: Untrained) -> float:
    """log |K|, K_ij the number of units whose codes agree on pictures i and j (arXiv:2006.04647, section 3)."""
    kernel = torch.zeros(len(network.inputs), len(network.inputs), dtype=torch.float64)
    for code in network.passed[0]:
        ones, zeros = code.float(), (~code).float()
        kernel += ones @ ones.T + zeros @ zeros.T
    return float(torch.linalg.slogdet(kernel).logabsdet)


def synflow(network: Untrained) -> float:
    """log of the sum of θ ∂R/∂θ over all weights, R the sum of outputs for an input of ones (arXiv:2006.05467, eq. 1).

    Weights are absolute values, there is no normalisation (arXiv:2101.08134, section 3.2) and no activation: what flows
    is positive, where they are the identity or close to it. Attention is to all pixels alike, so that it is linear. In
    float64, which holds about 300 layers.
    """
    linear = copy.deepcopy(network.network).double()
    for module in linear.modules():
        if isinstance(module, Attention):
            module.scale = 0.0
        for name, child in list(module.named_children()):
            if isinstance(child, (nn.BatchNorm2d, LayerNorm, *_ACTIVATIONS)):
                setattr(module, name, nn.Identity())
    for parameter in linear.parameters():
        parameter.abs_()
    weights = [m.weight.requires_grad_() for m in linear.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    total = linear(torch.ones_like(network.inputs[:1], dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(total, weights)
    flow = sum(float((weight.detach() * gradient).sum()) for weight, gradient in zip(weights, gradients, strict=True))
    return math.log(flow) if flow > 0 else math.nan


def zico(network: Untrained) -> float:
    """Sum over layers of the log of the sum over weights of mean |g| / std g (arXiv:2301.11300, section 3.2).

    g is the gradient of the cross-entropy on one of two halves of the pictures, so mean |g| is
    (|g_1| + |g_2|) / 2 and std g is |g_1 - g_2| / 2.
    """
    halves = []
    for weight in network.weights:
        weight.requires_grad_()
    for start in (0, 1):
        output = network.network(network.inputs[start::2])
        logits = output if output.dim() == 2 else output.mean((2, 3))
        halves.append(torch.autograd.grad(cross_entropy(logits, network.labels[start::2]), network.weights))
    for weight in network.weights:
        weight.requires_grad_(False)
    total = 0.0
    for first, second in zip(*halves, strict=True):
        spread = (first - second).abs()
        ratios = ((first.abs() + second.abs()) / spread)[spread > 0]
        if len(ratios):
            total += math.log(float(ratios.double().sum()))
    return total


def expressivity(network: Untrained) -> float:
    """Sum over blocks of the entropy of their features (AZ-NAS, arXiv:2403.19232, section 3.1)."""
    return float(network.entropies.sum())


def progressivity(network: Untrained) -> float:
    """Least gain of that entropy from a block to the next (AZ-NAS, section 3.1)."""
    gains = np.diff(network.entropies)
    return float(gains.min()) if len(gains) else math.nan


def trainability(network: Untrained) -> float:
    """Mean over blocks of 2 - s - 1/s, s the spectral norm of the block's Jacobian (AZ-NAS, section 3.1).

    The Jacobian is estimated by the correlation over pixels of random signs sent back through the block with what
    arrives at its input, a stride's pixels counting as channels. The first block is passed over.
    """
    values = []
    for before, after in network.passed[1][1:]:
        signs = torch.randint(0, 2, after.shape, generator=network.generator).float() * 2 - 1
        arrived = torch.autograd.grad(after, before, signs, retain_graph=True)[0]
        stride = -(-before.shape[2] // after.shape[2])
        arrived = pad(arrived, (0, -arrived.shape[3] % stride, 0, -arrived.shape[2] % stride))
        rows = pixel_unshuffle(arrived, stride).permute(0, 2, 3, 1).flatten(0, 2)  # pixels, C of the input · stride²
        columns = signs.permute(0, 2, 3, 1).flatten(0, 2)  # pixels, C of the output
        jacobian = rows.T @ columns / len(columns)
        small = jacobian.T @ jacobian if jacobian.shape[0] > jacobian.shape[1] else jacobian @ jacobian.T
        norm = math.sqrt(max(0.0, float(torch.linalg.eigvalsh(small)[-1])))
        values.append(2 - norm - 1 / (norm + 1e-6))
    return float(np.mean(values)) if values else math.nan


PROXIES: dict[str, Callable[[Untrained], float]] = {
    "naswot": naswot,
    "synflow": synflow,
    "zico": zico,
    "expressivity": expressivity,
    "progressivity": progressivity,
    "trainability": trainability,
}
"""By name, in the order in which they are measured."""


@lru_cache(maxsize=8)
def digits(n: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`n` of scikit-learn's hand-written digits, every class in turn: `float[n, 1, height, width]`, labels `int[n]`.

    8 × 8 pixels, enlarged bilinearly, to mean 0 and variance 1 over all of them.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    by_class = [np.flatnonzero(data.target == label) for label in range(10)]
    rows = np.array([by_class[i % 10][i // 10] for i in range(n)])
    images = torch.tensor(data.images[rows], dtype=torch.float32)[:, None]
    images = interpolate(images, size=(height, width), mode="bilinear")
    return (images - images.mean()) / images.std(), torch.tensor(data.target[rows])

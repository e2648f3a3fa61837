"""Plain torch modules of the ops.

This file imports nothing but torch: the export of a winner as `model.py` has a copy of what its network uses of it,
with the layers written below.
"""

from __future__ import annotations

import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hard-swish": nn.Hardswish, "swish": nn.SiLU, "gelu": nn.GELU}
GATES = {"sigmoid": nn.Sigmoid, "hard-sigmoid": nn.Hardsigmoid}


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow does it: as much as the output needs, an odd pixel below and at the right."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [missing // 2, missing - missing // 2]
        return super().forward(nn.functional.pad(x, pads))


class Conv(nn.Sequential):
    """Convolution without bias, batch normalisation unless there is no `norm`, activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: str = "none",
        norm_eps: float = 1e-5,
        padding: str = "symmetric",
        norm: bool = True,
    ) -> None:
        super().__init__()
        if padding == "same":
            self.conv: nn.Conv2d = SameConv2d(in_channels, out_channels, kernel, stride, groups=groups, bias=False)
        else:
            self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        if norm:
            self.norm = nn.BatchNorm2d(out_channels, norm_eps)
        if activation != "none":
            self.act = ACTIVATIONS[activation]()


class BiasConv(nn.Sequential):
    """Convolution with bias, activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: str = "none",
        padding: str = "symmetric",
    ) -> None:
        super().__init__()
        if padding == "same":
            self.conv: nn.Conv2d = SameConv2d(in_channels, out_channels, kernel, stride, groups=groups)
        else:
            self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups)
        if activation != "none":
            self.act = ACTIVATIONS[activation]()


class Norm(nn.Sequential):
    """Batch normalisation: N,C,H,W or N,C."""

    def __init__(self, channels: int, norm_eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, norm_eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x) if x.dim() == 4 else self.norm(x[:, :, None, None]).flatten(1)  # type: ignore[no-any-return]


class Activate(nn.Sequential):
    """An activation."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.act = ACTIVATIONS[activation]()


class SqueezeExcite(nn.Module):
    """Channel attention: pool, squeeze, activation, excite, gate, product."""

    def __init__(self, channels: int, squeezed: int, gate: str = "sigmoid", se_activation: str = "relu") -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)
        self.act = ACTIVATIONS[se_activation]()
        self.gate = GATES[gate]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # N,C,H,W
        return x * self.factor(x)

    def factor(self, x: torch.Tensor) -> torch.Tensor:  # N,C,1,1
        pooled = x.mean((2, 3), keepdim=True)
        return self.gate(self.excite(self.act(self.squeeze(pooled))))  # type: ignore[no-any-return]


class ConcurrentExcite(SqueezeExcite):
    """Channel attention and attention by pixel, which a 1×1 convolution to one channel gives, added up."""

    def __init__(self, channels: int, squeezed: int, gate: str = "sigmoid", se_activation: str = "relu") -> None:
        super().__init__(channels, squeezed, gate, se_activation)
        self.spatial = nn.Conv2d(channels, 1, 1)

    def factor(self, x: torch.Tensor) -> torch.Tensor:  # N,C,H,W
        return super().factor(x) + self.gate(self.spatial(x))  # type: ignore[no-any-return]


class Eca(nn.Module):
    """Channel attention of neighbours: pool, a convolution along the channels, gate, product."""

    def __init__(self, kernel: int, gate: str = "sigmoid") -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.gate = GATES[gate]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # N,C,H,W
        return x * self.factor(x)

    def factor(self, x: torch.Tensor) -> torch.Tensor:  # N,C,1,1
        return self.gate(self.conv(x.mean((2, 3))[:, None])[:, 0, :, None, None])  # type: ignore[no-any-return]


class Pool(nn.Module):
    """Global average pooling: N,C,H,W to N,C, or to N,C,1,1 where it is not flat."""

    def __init__(self, flat: bool = True) -> None:
        super().__init__()
        self.flat = flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3), keepdim=not self.flat)


class Linear(nn.Sequential):
    """Fully connected layer, activation; of what comes in a share is dropped while it is trained."""

    def __init__(
        self, in_features: int, out_features: int, activation: str = "none", bias: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if dropout:
            self.drop = nn.Dropout(dropout)
        self.linear = nn.Linear(in_features, out_features, bias)
        if activation != "none":
            self.act = ACTIVATIONS[activation]()


class Add(nn.Module):
    """The sum of its inputs."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        total = inputs[0]
        for value in inputs[1:]:
            total = total + value
        return total


class Subtract(nn.Module):
    """The first of two inputs less the other."""

    def forward(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return x - other


class Mean(nn.Module):
    """The mean of its inputs, value by value."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.stack(inputs).mean(0)


class Multiply(nn.Module):
    """The product of its inputs, value by value."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        total = inputs[0]
        for value in inputs[1:]:
            total = total * value
        return total


class Concat(nn.Module):
    """Its inputs' channels, one behind the other."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat(inputs, 1)


class Zero(nn.Module):
    """Zeros in the shape of its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0


class Wired(nn.Sequential):
    """Modules in order. Each takes what the one before it gives, or the values that `takes` names for its place: those
    of modules by their places, or inputs (-1 the first, -2 the second). Gives the last value, or all of `outputs`."""

    def __init__(
        self, *modules: nn.Module, takes: dict[int, tuple[int, ...]], outputs: tuple[int, ...] | None = None
    ) -> None:
        super().__init__(*modules)
        self.takes = takes
        self.outputs = outputs

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        values = {-1 - place: value for place, value in enumerate(inputs)}
        for place, module in enumerate(self):
            values[place] = module(*(values[taken] for taken in self.takes.get(place, (place - 1,))))
        if self.outputs is None:
            return values[len(self) - 1]
        return tuple(values[place] for place in self.outputs)

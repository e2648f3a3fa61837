"""Re-parameterized convolutions: branches while they are trained, one convolution where they are used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from nas.blocks.block import Activation, Gate
from nas.blocks.convolution import BiasConv, Conv, SqueezeExcite, branch
from nas.blocks.elementwise import Activate, Norm
from nas.blocks.graph import Graph, Wire
from nas.blocks.join import Add
from nas.blocks.op import Op
from nas.errors import ArchitectureError

MAX_BRANCHES = 16


@dataclass(frozen=True, kw_only=True)
class Rep:
    """A convolution with bias, or a depthwise and a pointwise one, that is trained as the sum of branches with batch
    normalisation each (RepVGG, arXiv:2101.03697, section 3.3; MobileOne, arXiv:2206.04040, section 3.2 and figure 3;
    large kernels with a small one beside, RepLKNet, arXiv:2203.06717, section 3.2).

    The branches are `branches` convolutions alike; one with `small_kernel`, where the kernel is larger; and, with
    `identity`, normalisation alone, where stride is 1 and widths agree.
    """

    out_channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    depthwise: bool = False
    """Whether a depthwise convolution, of this kernel and stride, and then a pointwise one do the work (MobileOne)."""
    se_channels: int = 0
    """Inner width of squeeze-and-excitation, before the first activation; 0 is none."""
    se_gate: Gate = "sigmoid"
    activation: Activation = "relu"
    branches: int = 1
    small_kernel: int = 1
    identity: bool = True
    untimed: ClassVar[tuple[str, ...]] = ("branches", "small_kernel", "identity")

    def write(self, g: Graph, x: Wire) -> Wire:
        return self._written(g, x, merged=True)

    def write_training(self, g: Graph, x: Wire) -> Wire:
        """See `Block`."""
        return self._written(g, x, merged=False)

    def _written(self, g: Graph, x: Wire, *, merged: bool) -> Wire:
        if self.small_kernel % 2 == 0:
            raise ArchitectureError(f"`small_kernel` of a rep layer is odd, got {self.small_kernel}.")
        if self.branches > MAX_BRANCHES:
            raise ArchitectureError(f"`branches` of a rep layer are at most {MAX_BRANCHES}, got {self.branches}.")
        if self.depthwise and self.groups > 1:
            raise ArchitectureError(f"A rep layer that is `depthwise` has `groups` of its own, got {self.groups}.")
        if not self.se_channels and self.se_gate != "sigmoid":
            raise ArchitectureError(f"Without `se_channels`, `se_gate` stays 'sigmoid', got {self.se_gate!r}.")
        convolve = partial(self._convolve, g, merged=merged)
        if not self.depthwise:
            return convolve("conv", x, self.out_channels, self.kernel, self.stride, self.groups, self.se_channels)
        x = convolve("depthwise", x, x.channels, self.kernel, self.stride, x.channels, self.se_channels)
        return convolve("pointwise", x, self.out_channels, 1, 1, 1, 0)

    def _convolve(
        self,
        g: Graph,
        name: str,
        x: Wire,
        out: int,
        kernel: int,
        stride: int,
        groups: int,
        squeezed: int,
        *,
        merged: bool,
    ) -> Wire:
        shape = x.channels, out, kernel, stride, groups
        if merged:
            if not squeezed:
                return g.add(name, BiasConv(*shape, self.activation), x)
            y = g.add(name, BiasConv(*shape), x)
        else:
            ops: list[Op] = [Conv(*shape)] * self.branches
            if self.small_kernel < kernel:
                ops.append(Conv(x.channels, out, self.small_kernel, stride, groups))
            if self.identity and stride == 1 and x.channels == out:
                ops.append(Norm(out))
            parts = [g.add(branch(name, number), op, x) for number, op in enumerate(ops, 1)]
            y = g.add(f"{name}_sum", Add(), *parts) if len(parts) > 1 else parts[0]
        if squeezed:
            y = g.add(f"{name}_excite", SqueezeExcite(out, squeezed, self.se_gate), y)
        return y if self.activation == "none" else g.add(f"{name}_act", Activate(self.activation), y)

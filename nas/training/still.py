"""What of a network stays as it is while the rest is trained, for less memory and time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from nas.blocks.modules import Conv
from nas.errors import NasError

NORMS = (nn.BatchNorm2d, nn.BatchNorm1d)


def keep_still(network: nn.Module, only: Collection[str]) -> None:
    """Let gradients be computed of these parts alone: `last` is the classifier, the last module with parameters;
    `norm` the scales and shifts of normalisation. Raises `NasError` for a network that lacks one of them."""
    parts = {
        "last": [module for module in network.modules() if list(module.parameters(recurse=False))][-1:],
        "norm": norms(network),
    }
    network.requires_grad_(False)
    for name in only:
        for module in parts[name]:
            module.requires_grad_(True)


def norms(network: nn.Module) -> list[nn.Module]:
    """Its batch normalisations. Raises `NasError` where it has none."""
    found: list[nn.Module] = [module for module in network.modules() if isinstance(module, NORMS)]
    if not found:
        raise NasError("This network has no batch normalisation. Leave out --norm tune, and norm in --only.")
    return found


def hold_statistics(network: nn.Module) -> None:
    """Have convolutions and the normalisation behind them keep less for their gradients, in a network whose
    normalisation is in evaluation mode: its statistics are constants.

    Outputs and gradients stay the same. Where weights are trained, normalisation is computed within them, with one
    activation less to keep (arXiv:2305.11624); where its scales alone are, what a convolution takes in is not kept,
    and what normalisation gives is computed again.
    """
    for module in network.modules():
        if isinstance(module, Conv) and hasattr(module, "norm"):
            if module.norm.weight.requires_grad and not module.conv.weight.requires_grad:
                module.forward = partial(_recomputed, module)  # type: ignore[method-assign]
            else:
                module.forward = partial(_within_weights, module)  # type: ignore[method-assign]


def _within_weights(module: Conv, x: Tensor) -> Tensor:
    norm = module.norm
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weights = {"weight": module.conv.weight * scale[:, None, None, None], "bias": norm.bias - norm.running_mean * scale}
    y: Tensor = functional_call(module.conv, weights, (x,))
    return module.act(y) if hasattr(module, "act") else y


def _recomputed(module: Conv, x: Tensor) -> Tensor:
    def rest(y: Tensor) -> Tensor:
        y = module.norm(y)
        return module.act(y) if hasattr(module, "act") else y

    with _Constants():
        y = module.conv(x)
    return checkpoint(rest, y, use_reentrant=False, preserve_rng_state=False)  # type: ignore[no-any-return]


class _Constants(TorchFunctionMode):
    """Where it is entered, weights of convolutions are constants, whatever their modules do before."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is functional.conv2d:
            return _Through.apply(*args, **(kwargs or {}))  # type: ignore[no-untyped-call]
        return func(*args, **(kwargs or {}))


class _Through(torch.autograd.Function):
    """A convolution without bias whose weights are constants, so that its input, which torch keeps all the same, is not
    needed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: None, *how: Any) -> Tensor:
        ctx.shape, ctx.dtype, ctx.weight, ctx.how = x.shape, x.dtype, weight, how
        ctx.format = (
            torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        )
        return functional.conv2d(x, weight, bias, *how)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        nothing = (None,) * (2 + len(ctx.how))
        if not ctx.needs_input_grad[0]:
            return None, *nothing
        weight, (stride, padding, dilation, groups) = ctx.weight.to(gradient.dtype), ctx.how
        shape = torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device, memory_format=ctx.format)
        back, _, _ = torch.ops.aten.convolution_backward(
            *(gradient, shape, weight, None, stride, padding, dilation),
            *(False, (0, 0), groups, (True, False, False)),
        )
        return back.to(ctx.dtype), *nothing

"""Banks: the largest weights of a place in a supernet, of which its ops are slices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import linear

from nas.blocks.block import family_of
from nas.blocks.build import build_op
from nas.blocks.layer import Layer
from nas.blocks.op import Op, Weight
from nas.supernet.supernet import scale_of


class Bank(nn.Module):
    """The trained weights of one place, each as large as the largest of all ops that stand there."""

    def __init__(self, ops: Iterable[Op]) -> None:
        super().__init__()
        largest: dict[str, Weight] = {}
        for op in ops:
            for name, weight in op.weights().items():
                largest[name] = _larger(largest[name], weight) if name in largest else weight
        self._parts: dict[Op, dict[str, tuple[slice, ...]]] = {}
        self._names = {name: name.replace(".", "_") for name, weight in largest.items() if weight.trained}
        for name, attribute in self._names.items():
            weight = largest[name]
            if weight.gain:
                values = torch.randn(weight.shape) * scale_of(weight.fan_in, weight.gain > 1)
            else:
                values = torch.full(weight.shape, weight.start)
            setattr(self, attribute, nn.Parameter(values))
        self.transforms = nn.ParameterDict()

    def __getitem__(self, name: str) -> nn.Parameter:
        """A weight by its name in `Op.weights`."""
        return getattr(self, self._names[name])  # type: ignore[no-any-return]

    def transform(self, matrices: Mapping[str, NDArray[np.float32]]) -> None:
        """Have smaller kernels made by these (`nas.formats.kernels`), which are trained from then on."""
        place = next(self.parameters())
        for name, matrix in matrices.items():
            self.transforms[name] = nn.Parameter(torch.from_numpy(matrix.copy()).to(place))

    def slices(self, op: Op) -> dict[str, torch.Tensor]:
        """What an op uses of them, under the names of its own module's parameters: of a kernel the centre, or what the
        transforms make of it, else the first ones."""
        parts = self._parts.get(op)
        if parts is None:
            weights = op.weights()
            parts = self._parts[op] = {n: _part(self[n], weights[n]) for n in self._names if n in weights}
        if self.transforms:
            return {name: self._made(self[name], part) for name, part in parts.items()}
        return {name: self[name][part] for name, part in parts.items()}

    def _made(self, whole: torch.Tensor, part: tuple[slice, ...]) -> torch.Tensor:
        """That part of a weight; a kernel is made step by step of the next larger one."""
        if len(part) < 4:
            return whole[part]
        kernel, size = whole[part[:2]], part[-1].stop - part[-1].start
        while (inner := kernel.shape[-1] - 2) >= size:
            centre = kernel[..., 1:-1, 1:-1].flatten(2)
            kernel = linear(centre, self.transforms[f"{inner + 2}to{inner}"]).reshape(*centre.shape[:2], inner, inner)
        return kernel


def _part(whole: torch.Tensor, weight: Weight) -> tuple[slice, ...]:
    return tuple(
        slice((size - own) // 2, (size - own) // 2 + own) if letter == "k" else slice(own)
        for letter, size, own in zip(weight.axes, whole.shape, weight.shape, strict=True)
    )


def _larger(one: Weight, other: Weight) -> Weight:
    shape = tuple(map(max, one.shape, other.shape))
    return Weight(shape, one.axes, max(one.gain, other.gain), one.start, one.trained)


@lru_cache(maxsize=1 << 16)
def _whole_sizes(op: Op) -> str:
    """Sizes of an op's weights that cannot be sliced."""
    weights = op.weights().values()
    whole = [size for w in weights for axis, size in zip(w.axes, w.shape, strict=True) if axis == "."]
    return "x".join(str(size) for size in whole if size > 1)


def place_of(slot: int, place: int, layer: Layer, name: str, op: Op) -> str:
    """Name of the bank of an op: that of all ops of this name, in layers of one family, whose weights are slices of
    one. Sizes that cannot be sliced are part of it."""
    sizes = _whole_sizes(op)
    words = f"slot{slot}_{place}_{family_of(layer.kind)}_{name}" + (f"_{sizes}" if sizes else "")
    return words.replace(" ", "_")


class Shells:
    """Ops' own modules, for weights that are given: one empty module for all equal ops.

    The modules hold no weights of their own and are no part of a `state_dict`.
    """

    def __init__(self) -> None:
        self._modules: dict[Op, tuple[nn.Module, dict[str, tuple[nn.Module, str]]]] = {}

    def module(self, op: Op, weights: Mapping[str, torch.Tensor]) -> nn.Module:
        """The op's module with these weights, until it is asked for again. Batch normalisation is by the batch."""
        module, owners = self._modules.get(op) or self._made(op)
        for name, value in weights.items():
            owner, attribute = owners[name]
            setattr(owner, attribute, value)
        return module

    def _made(self, op: Op) -> tuple[nn.Module, dict[str, tuple[nn.Module, str]]]:
        with torch.device("meta"):
            module = batch_statistics(build_op(op))
        if isinstance(module, nn.Sequential):
            part: Any
            for part in list(module)[1:]:
                if hasattr(part, "inplace"):
                    part.inplace = True  # of a value that nobody else takes
        owners = {}
        for name, _ in list(module.named_parameters()):
            path, _, attribute = name.rpartition(".")
            owner = module.get_submodule(path)
            delattr(owner, attribute)
            owners[name] = owner, attribute
        self._modules[op] = module, owners
        return module, owners


def batch_statistics(network: nn.Module) -> nn.Module:
    """The network, its batch normalisation without running statistics, and nothing dropped: it is many networks."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
    return network

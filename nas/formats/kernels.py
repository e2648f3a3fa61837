"""Kernel transforms: what makes smaller kernels of a depthwise convolution's own (Once-for-All, arXiv:1908.09791,
section 3.2).

The centre of a kernel of 7, flat, times the matrix `7to5` is that of 5, and so on; all channels have the same matrices.

kernels.safetensors  those of a network, beside its model.safetensors
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from nas.blocks.architecture import Architecture
from nas.errors import ArchitectureError
from nas.formats.state_dict import read_state_dict
from nas.formats.weights import named_weights
from nas.formats.weights_file import Array
from nas.system.text import short

FILE = "kernels.safetensors"
MATRIX = re.compile(r"\.(\d+to\d+)_matrix$")
"""How once-for-all's names end."""

Kernels = dict[str, dict[str, Array]]
"""By module (`LAYER.OP.conv`): matrices by what they do (`7to5`), float32[25, 25]."""


def taken_apart(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], Kernels]:
    """The weights in a state dict, and the transforms by the module that has them."""
    weights, kernels = dict[str, Array](), Kernels()
    for name, array in tensors.items():
        found = MATRIX.search(name)
        if found is None:
            weights[name] = array
        else:
            kernels.setdefault(name[: found.start()], {})[found[1]] = array
    return weights, kernels


def check_kernels(architecture: Architecture, kernels: Kernels) -> None:
    """Raise `ArchitectureError` unless these are all those of convolutions of a network."""
    sizes = {name.rpartition(".")[0]: weight.shape for name, weight in named_weights(architecture)}
    for module, matrices in kernels.items():
        shape = sizes.get(module, ())
        own = shape[-1] if len(shape) == 4 and shape[1] == 1 and shape[2] == shape[3] else 0
        wanted = {f"{size}to{size - 2}": ((size - 2) ** 2,) * 2 for size in range(own, 3, -2)}
        if {name: matrix.shape for name, matrix in matrices.items()} != wanted:
            raise ArchitectureError(
                f"{short(module, 40)}: a kernel of {own or 'none'} has the transforms {_shapes(wanted)}, got "
                f"{_shapes({name: matrix.shape for name, matrix in matrices.items()})}."
            )


def read_kernels(config: Path, architecture: Architecture) -> Kernels:
    """Those beside a config.json; nothing where it has none. Raises `ArchitectureError`."""
    path = config.parent / FILE
    if not path.is_file():
        return {}
    weights, kernels = taken_apart(read_state_dict(path))
    if weights:
        raise ArchitectureError(f"{path}: kernel transforms end in 7to5_matrix, got {short(next(iter(weights)), 60)}.")
    try:
        check_kernels(architecture, kernels)
    except ArchitectureError as problem:
        raise ArchitectureError(f"{path}: {problem}") from None
    return kernels


def flat(kernels: Kernels) -> dict[str, Array]:
    """As a file has them."""
    return {
        f"{module}.{name}_matrix": array for module, matrices in kernels.items() for name, array in matrices.items()
    }


def _shapes(matrices: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{short(name, 20)} {'×'.join(map(str, shape))}" for name, shape in matrices.items()) or "none"

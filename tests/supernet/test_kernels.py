"""Kernel transforms of once-for-all: read with the weights, and what smaller kernels are made by."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.blocks.layer import Layer
from nas.errors import ArchitectureError
from nas.formats.dialects import fit
from nas.formats.kernels import FILE, read_kernels
from nas.formats.weights import random_weights
from nas.formats.weights_file import write_file
from nas.runs.importing import Imported
from nas.runs.past import past_of
from nas.runs.request import Request
from nas.space.elastic import elastic_space
from nas.supernet.inherit import inherit
from nas.supernet.superkernel import Superkernel

State = dict[str, NDArray[np.float32]]


def elastic() -> Architecture:
    """A network of once-for-all's: a first block that is none of the elastic ones, then kernels of 7 and 5."""
    block = {"in_channels": 8, "out_channels": 8, "mid_channels": 24, "residual": True, "height": 16, "width": 16}
    layers = (
        Layer(kind="conv", in_channels=3, out_channels=8, kernel=3, stride=2, height=32, width=32),
        Layer(kind="mbconv", kernel=7, **block),
        Layer(kind="mbconv", kernel=5, **block),
        Layer(kind="head", in_channels=8, out_channels=10, mid_channels=32, height=16, width=16),
    )
    return Architecture(3, 32, 32, layers)


NAMES = {"0": "inverted_bottleneck", "1": "depth_conv", "2": "point_linear"}
BLOCK = "blocks.{}.mobile_inverted_conv."


def of_once_for_all(seed: int = 0) -> State:
    """Its supernet's state: modules that choose are named twice over, and matrices stand beside kernels."""
    rng = np.random.default_rng(seed)
    found: State = {}
    for name, value in random_weights(elastic(), seed).items():
        layer, op, rest = name.split(".", 2)
        if layer in ("1", "2"):
            part, tensor = rest.split(".")
            part = {"conv": "conv.conv", "norm": "bn.bn"}[part]
            name = f"{BLOCK.format(int(layer) - 1)}{NAMES[op]}.{part}.{tensor}"
        elif layer == "0":
            name = f"first_conv.{rest.replace('norm', 'bn')}"
        else:
            name = rest if rest.startswith("classifier") else f"feature_mix_layer.{rest.replace('norm', 'bn')}"
            name = name.replace("feature_mix_layer.linear", "classifier.linear")
        found[name] = value
    for index, sizes in ((0, (5, 3)), (1, (3,))):
        for size in sizes:
            matrix = np.eye(size**2) + rng.normal(0, 0.1, (size**2, size**2))
            found[f"{BLOCK.format(index)}depth_conv.conv.{size + 2}to{size}_matrix"] = matrix.astype(np.float32)
    return found


def smaller(kernel: NDArray[np.float32], matrices: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """What once-for-all makes of a kernel [C,1,K,K], channel by channel."""
    made = kernel.astype(np.float64)
    for matrix in matrices:
        size = made.shape[-1] - 2
        made = np.stack([(matrix @ channel[0, 1:-1, 1:-1].ravel()).reshape(1, size, size) for channel in made])
    return made


@pytest.mark.parametrize("size", [7, 5, 3])
def test_a_smaller_kernel_is_what_the_transforms_make_of_it(size: int) -> None:
    network, state = elastic(), of_once_for_all()
    fitted = fit(network, state)
    assert {module: sorted(matrices) for module, matrices in fitted.kernels.items()} == {
        "1.1.conv": ["5to3", "7to5"],
        "2.1.conv": ["5to3"],
    }
    space = elastic_space(network, "own")
    supernet = Superkernel(space)
    inherit(supernet, network, fitted.weights, fitted.kernels)
    genotype = space.encode(list(space.references.values()))[0]
    for index, decision in enumerate(space.decisions):
        if decision.name.endswith("kernel"):
            genotype[index] = decision.options.index(min(size, decision.options[-1]))
    alone = supernet.standalone(genotype).state_dict()
    for layer, own in ((1, 7), (2, 5)):
        names = [f"{n}to{n - 2}" for n in range(own, size, -2)]
        expected = smaller(
            state[f"{BLOCK.format(layer - 1)}depth_conv.conv.conv.weight"],
            [state[f"{BLOCK.format(layer - 1)}depth_conv.conv.{name}_matrix"] for name in names],
        )
        np.testing.assert_allclose(alone[f"{layer}.1.conv.weight"].numpy(), expected, rtol=1e-4, atol=1e-6)
    supernet(torch.randn(2, 3, 32, 32), genotype).square().sum().backward()
    learned = {name for name, parameter in supernet.named_parameters() if parameter.grad is not None}
    assert any("7to5" in name for name in learned) == (size < 7)
    assert any("5to3" in name for name in learned) == (size < 5)


def test_an_import_keeps_them_for_a_search(tmp_path: Path) -> None:
    fitted = fit(elastic(), of_once_for_all())
    files = Imported(fitted, (0.5,) * 3, (0.5,) * 3, {}).write(tmp_path / "own")
    assert {path.name for path in files} == {"config.json", "model.safetensors", FILE}
    found = past_of(Request(space=f"elastic:{tmp_path / 'own' / 'config.json'}", target="fake", latency_share=0.5))
    assert found is not None
    assert found.fitted.kernels.keys() == fitted.kernels.keys()
    for module, matrices in fitted.kernels.items():
        assert all(np.array_equal(found.fitted.kernels[module][name], matrix) for name, matrix in matrices.items())


@pytest.mark.parametrize(
    ("pattern", "changed", "rule"),
    [
        (r"0.*5to3", None, "a kernel of 7 has the transforms '7to5' 25×25, '5to3' 9×9, got '7to5' 25×25"),
        (r"1.*5to3", np.zeros((9, 25)), "'2.1.conv': a kernel of 5 has the transforms '5to3' 9×9, got '5to3' 9×25"),
        (r"^$", np.zeros((9, 9)), "a kernel of none has the transforms none, got '5to3' 9×9"),
    ],
    ids=["missing", "shape", "place"],
)
def test_transforms_that_do_not_fit(pattern: str, changed: NDArray[np.float32] | None, rule: str) -> None:
    state = of_once_for_all()
    names = [name for name in state if re.search(pattern, name)] or ["blocks.7.depth_conv.conv.5to3_matrix"]
    for name in names:
        state.pop(name, None)
        if changed is not None:
            state[name] = changed.astype(np.float32)
    with pytest.raises(ArchitectureError, match=re.escape(rule)):
        fit(elastic(), state)


def test_a_file_of_other_tensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(write_file({"0.0.conv.weight": np.zeros((1, 1), np.float32)}, "trained"))
    with pytest.raises(ArchitectureError, match="kernel transforms end in 7to5_matrix"):
        read_kernels(tmp_path / "config.json", elastic())

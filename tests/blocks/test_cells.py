"""Cells: edges that are decisions, nodes that are sums, one choice for all repeats; NAS-Bench-201 against its paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import picture, randomize
from test_agreement import run_onnx

import nas
from nas.blocks import Layer
from nas.blocks.build import build
from nas.blocks.cell import EDGES, edges
from nas.cost.recount import differences
from nas.errors import ArchitectureError, NasError, SpaceError
from nas.formats.onnx_graph import Inline, to_onnx
from nas.formats.plain import to_python
from nas.space.load import load_space
from nas.space.space import Space
from nas.supernet.multi_path import MultiPath
from nas.supernet.superkernel import Superkernel

SMALL = """
format: nas-space/1
name: cells
source: test
num_classes: 5
input: {resolution: 8}
activation: relu
cells:
  cell: {nodes: 3, ops: [none, skip, conv3x3, pool3x3]}
stages:
  - {name: stem, block: conv, width: 4, kernel: 3, activation: none}
  - {name: one, block: cell, width: 4, depth: 2}
  - {name: down, block: preact, width: 6, stride: 2}
  - {name: two, block: cell, width: 6}
  - {name: last, block: norm, width: 6}
"""


@pytest.fixture(scope="module")
def bench() -> Space:
    return load_space("nas-bench-201")


@pytest.fixture
def small(tmp_path: Path) -> Space:
    (tmp_path / "cells.yaml").write_text(SMALL)
    return load_space(tmp_path / "cells.yaml")


def code(text: str) -> np.ndarray:
    return np.array([[int(digit) for digit in text]], np.uint8)


def test_nas_bench_201_is_that_of_its_paper(bench: Space) -> None:
    assert bench.size == 5**6
    assert len(bench.enumerate()) == 9_445  # of 15,625: those without an edge that is on no way through
    least, largest = (bench.decode(code(written)[0]) for written in ("000000", "333333"))
    assert (least.params, largest.params) == (73_306, 1_531_546)  # 0.073306 and 1.531546 M, as published
    assert (least.macs, largest.macs) == (7_783_040, 220_119_680)  # 220.11969 M with the ten of the classifier's bias
    assert [layer.kind for layer in largest.layers] == [
        "conv", *["cell"] * 5, "preact", *["cell"] * 5, "preact", *["cell"] * 5, "norm", "head",
    ]  # fmt: skip
    for name, best in {"best-cifar10": "333132", "best-cifar100": "333133", "best-imagenet16": "223133"}.items():
        assert (bench.encode([bench.references[name]]) == code(best)).all()


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("333132", "333132"),
        ("030010", "000000"),  # node 1 is not reached
        ("300100", "000100"),  # node 1 leads nowhere
        ("020003", "020003"),
        ("133000", "000000"),  # nothing comes out
        ("301003", "301003"),
        ("004200", "000200"),
        ("000000", "000000"),
    ],
)
def test_an_edge_on_no_way_through_has_no_effect(bench: Space, written: str, means: str) -> None:
    assert (bench.canonical(code(written)) == code(means)).all()
    assert bench.decode(code(written)[0]).layers == bench.decode(code(means)[0]).layers


def test_what_a_cell_computes() -> None:
    """By hand: x by a skip to nodes 1 and 3, twice node 1's average, and zeros where nothing passes."""
    shape = {"kind": "cell", "in_channels": 2, "out_channels": 2, "height": 3, "width": 3}
    cell = build(nas.Architecture(2, 3, 3, (Layer(**shape, edge01="skip", edge03="skip", edge13="pool3x3"),)))
    x = torch.arange(18.0).reshape(1, 2, 3, 3)
    corner = (0 + 1 + 3 + 4) / 4  # of what lies on the picture
    assert cell(x)[0, 0, 0, 0] == corner
    assert cell(x)[0, 0, 1, 1] == 4 + 4
    nothing = Layer(**shape, edge01="conv3x3")
    assert nothing == Layer(**shape)
    assert (build(nas.Architecture(2, 3, 3, (nothing,)))(x) == 0).all()
    assert nothing.params == nothing.macs == 0


@pytest.mark.parametrize("written", ["333333", "241302", "000000"])
def test_torch_onnx_model_py_and_fvcore_agree(bench: Space, written: str) -> None:
    network = bench.decode(code(written)[0]).resized(8)
    module, x = randomize(build(network), seed=1), picture(network)
    with torch.inference_mode():
        expected = module(x).numpy()
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    scale = max(1, np.abs(expected).max())
    assert np.abs(run_onnx(to_onnx(network, Inline(weights), {}), x) - expected).max() < 1e-5 * scale
    scope: dict[str, object] = {}
    exec(compile(to_python(network), "model.py", "exec"), scope)
    plain = scope["model"]()  # type: ignore[operator]
    plain.load_state_dict(module.state_dict())
    with torch.inference_mode():
        assert np.array_equal(plain.eval()(x).numpy(), expected)
    assert differences(network) == []


@pytest.mark.parametrize("kind", [Superkernel, MultiPath])
def test_a_subnet_equals_its_standalone(small: Space, kind: type[Superkernel]) -> None:
    torch.manual_seed(0)
    supernet, x = kind(small), torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        outputs = []
        for genotype in small.enumerate():
            outputs.append(supernet(x, genotype))
            assert torch.allclose(outputs[-1], supernet.standalone(genotype)(x), atol=1e-5, rtol=0)
    assert len({round(float(output.sum()), 4) for output in outputs}) > len(outputs) // 2


def test_cells_are_as_wide_as_the_network_is_made(tmp_path: Path) -> None:
    wide = SMALL.replace("activation: relu", "activation: relu\nwidth_multiplier: {choice: [2, 4]}\nround_to: 4", 1)
    (tmp_path / "cells.yaml").write_text(wide)
    space = load_space(tmp_path / "cells.yaml")
    widths = {
        tuple(layer.out_channels for layer in space.decode(genotype).layers if layer.kind == "cell")
        for genotype in space.sample(200, np.random.default_rng(0))
    }
    assert widths == {(8, 8, 12), (16, 16, 24)}


def test_a_branch_for_every_cell_does_not_fit(bench: Space) -> None:
    with pytest.raises(NasError, match="at most 64 branches a slot; stage1 of nas-bench-201 has 9445"):
        MultiPath(bench)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("nodes: 3", "nodes: 1", "greater than or equal to 2"),
        ("nodes: 3", "nodes: 6", "less than or equal to 5"),
        ("conv3x3, pool", "conv5x5, pool", "'none', 'skip', 'conv1x1', 'conv3x3' or 'pool3x3'"),
        ("[none, skip, ", "[none, none, ", "the operations of a cell differ from each other"),
        ("[none, skip, conv3x3, pool3x3]", "[]", "at least 1 item"),
        ("two, block: cell, width: 6", "two, block: cell, width: 8", "stages.3: a cell changes neither width nor size"),
        ("block: cell, width: 6", "block: cell, width: 6, stride: 2", "stages.3: a cell changes neither width nor"),
        ("width: 4, depth: 2", "width: 4, depth: {choice: [1, 2]}", "stages.1: a stage of cells has `block`, `width`"),
        ("width: 4, depth: 2", "width: 4, edge01: skip", "stages.1: a stage of cells has `block`, `width`"),
        ("block: cell, width: 6", "block: {choice: [cell, conv]}, width: 6", "stages.3: a stage of cells has `block`"),
        ("width: 4, kernel", "width: {choice: [4, 8]}, kernel", "the width of the stage before, which is no choice"),
    ],
)
def test_what_is_refused(tmp_path: Path, before: str, after: str, says: str) -> None:
    assert before in SMALL
    (tmp_path / "cells.yaml").write_text(SMALL.replace(before, after))
    with pytest.raises(SpaceError, match=says):
        load_space(tmp_path / "cells.yaml")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"nodes": 6}, r"`nodes` of a cell lie in 2\.\.5, got 6"),
        ({"nodes": 3, "edge23": "skip"}, "A cell of 3 nodes has no `edge23`, got 'skip'"),
        ({"edge01": "conv5x5"}, "`edge01` is one of none, skip, conv1x1, conv3x3, pool3x3, got 'conv5x5'"),
        ({"stride": 2}, "A cell changes neither width nor size, got stride 2, 4 → 4 channels"),
        ({"out_channels": 5}, "A cell changes neither width nor size, got stride 1, 4 → 5 channels"),
    ],
)
def test_a_layer_that_is_no_cell(settings: dict[str, object], says: str) -> None:
    shape = {"kind": "cell", "in_channels": 4, "out_channels": 4, "height": 8, "width": 8}
    with pytest.raises(ArchitectureError, match=says):
        _ = Layer(**shape | settings).graph


def test_whole_windows_are_averaged() -> None:
    with pytest.raises(ArchitectureError, match="its stride 2 divides the size of what comes in, got 7×8"):
        _ = Layer(kind="preact", in_channels=4, out_channels=6, stride=2, height=7, width=8).graph


def test_edges_are_in_the_order_of_the_codes() -> None:
    assert edges(4) == ("edge01", "edge02", "edge12", "edge03", "edge13", "edge23")
    assert EDGES == ("none", "skip", "conv1x1", "conv3x3", "pool3x3")

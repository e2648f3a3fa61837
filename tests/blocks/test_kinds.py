"""An op and a block registered from outside are usable in MACs, torch, ONNX, tables, spaces, configs and model.py."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import picture, randomize
from test_agreement import run_onnx

from nas.blocks import Architecture, Layer
from nas.blocks.block import BLOCKS, block_class, columns_of
from nas.blocks.build import build
from nas.blocks.layer import key_columns
from nas.errors import ArchitectureError, LatencyMissing, SpaceError
from nas.formats.config import read_config, to_config
from nas.formats.onnx_graph import Inline, to_onnx
from nas.formats.plain import to_python
from nas.formats.weights import random_weights
from nas.space.load import load_space
from nas.supernet.shares import shares_of
from nas.supernet.superkernel import Superkernel
from nas.system.places import shipped_folder
from nas.tables.table import load_table

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[Layer]:
    """The block of docs/examples/shuffle.py, whose op has no other place than that file."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    before = dict(BLOCKS)
    sys.modules.pop("shuffle", None)
    __import__("shuffle")
    yield Layer(
        kind="shuffle",
        in_channels=12,
        out_channels=12,
        kernel=3,
        split=3,
        residual=True,
        height=7,
        width=7,
    )
    BLOCKS.clear()
    BLOCKS.update(before)


def test_macs_torch_onnx_config_and_plain_torch(registered: Layer, tmp_path: Path) -> None:
    assert registered.macs == 49 * (12 * 4 + 12 * 9 + 12 * 4)
    assert registered.params == 12 * 4 + 12 * 9 + 12 * 4 + 2 * (12 + 12 + 12)
    head = Layer(kind="head", in_channels=12, out_channels=5, mid_channels=8, height=7, width=7)
    network = Architecture(12, 7, 7, (registered, head))
    module = randomize(build(network), seed=0)
    x = picture(network)
    with torch.inference_mode():
        expected = module(x).numpy()
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    assert np.abs(run_onnx(to_onnx(network, Inline(weights), {}), x) - expected).max() < 1e-5
    assert random_weights(network, 0).keys() == {n for n in weights if not n.endswith("num_batches_tracked")}

    (tmp_path / "config.json").write_text(json.dumps(to_config(network)))
    assert read_config(tmp_path / "config.json").architecture == network

    text = to_python(network)
    assert "# 0: shuffle, 7×7×12" in text
    assert "class ShuffleModule" in text
    assert "class SqueezeExcite" not in text  # what is not used is left out
    scope: dict[str, object] = {}
    exec(compile(text, "model.py", "exec"), scope)
    plain = scope["model"]()  # type: ignore[operator]
    plain.load_state_dict(module.state_dict())
    with torch.inference_mode():
        assert np.array_equal(plain.eval()(x).numpy(), expected)


def test_a_row_of_a_table(registered: Layer, tmp_path: Path) -> None:
    shutil.copytree(shipped_folder("latency_tables") / "pixel-cpu", tmp_path / "own")
    with pytest.raises(LatencyMissing, match="shuffle"):
        load_table(tmp_path / "own").lookup([registered])
    rows = (tmp_path / "own/table.csv").read_text().splitlines()
    names = [*rows[0].split(","), "split"]
    own = [int(value) if value is True else value for value in (getattr(registered, n, None) for n in names)]
    own[names.index("latency_ms") : names.index("split")] = [1.25, 0.05, 30, "measured"]
    text = "\n".join([",".join(names), *(f"{row},2" for row in rows[1:]), ",".join(map(str, own))])
    (tmp_path / "own/table.csv").write_text(text + "\n")
    assert "split" in key_columns()
    table = load_table(tmp_path / "own")
    assert table.lookup([registered]).ms.tolist() == [1.25]
    assert list(table.rows())[-1].layer == registered
    with pytest.raises(LatencyMissing):
        table.lookup([registered.changed(split=2)])


def test_a_space_and_its_supernet(registered: Layer) -> None:
    space = load_space(EXAMPLES / "shuffles.yaml")
    rng = np.random.default_rng(0)
    choices = {decision.name: decision.options[0] for decision in space.decisions}
    layers = space.decode(space.encode([choices | {"early.split": 4, "early.depth": 2}])[0]).layers
    assert [(layer.kind, layer.split, layer.residual) for layer in layers[1:3]] == [
        ("shuffle", 4, False),
        ("shuffle", 4, True),
    ]
    torch.manual_seed(0)
    supernet = Superkernel(space)
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        for genotype in space.sample(8, rng):
            assert torch.allclose(supernet(x, genotype), supernet.standalone(genotype)(x), atol=1e-5, rtol=0)
        uniform = [torch.full((int(n),), 1 / int(n)) for n in space.cardinalities]
        shares = [shares_of(choice, uniform) for choice in supernet.choices]
        genotype = space.sample(1, rng)[0]
        assert torch.allclose(supernet.gated(x, genotype, shares), supernet(x, genotype), atol=1e-4, rtol=0)


def test_a_column_is_one_thing_whatever_the_kind() -> None:
    """Words, a flag or a number: a table's column of that name holds it for all kinds."""
    found: dict[str, set[object]] = {}
    for kind in BLOCKS:
        for name, column in columns_of(block_class(kind)).items():
            found.setdefault(name, set()).add((column.options, column.flag))
    assert {name: kinds for name, kinds in found.items() if len(kinds) > 1} == {}


def test_what_is_not_registered_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArchitectureError, match=r"`kind` of a layer is one of conv, .*got 'shuffle'"):
        Layer(kind="shuffle", in_channels=3, out_channels=3, height=7, width=7)
    with pytest.raises(ArchitectureError, match="No block has a setting 'split'"):
        Layer(kind="conv", in_channels=3, out_channels=3, split=2, height=7, width=7)
    with pytest.raises(ArchitectureError, match="A conv layer has no `mid_channels`"):
        Layer(kind="conv", in_channels=3, out_channels=3, mid_channels=2, height=7, width=7)
    path = tmp_path / "own.yaml"
    text = (EXAMPLES / "shuffles.yaml").read_text().replace(", split: {choice: [2, 4]}", "").replace("split: 2", "")
    path.write_text(text)
    with pytest.raises(SpaceError, match=r"a block is one of conv, .*; got 'shuffle'"):
        load_space(path)
    path.write_text(text.replace("stages:\n", "blocks: {b: {kind: shuffle}}\nstages:\n", 1))
    with pytest.raises(SpaceError, match=r"blocks\.b\.kind: a kind is one of conv, .*got 'shuffle'"):
        load_space(path)
    path.write_text(text.replace("shuffle", "head"))
    with pytest.raises(SpaceError, match="a block is one of"):
        load_space(path)

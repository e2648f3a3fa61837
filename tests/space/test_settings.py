"""Settings of a stage are the fields of its blocks, also of a block registered from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from nas.blocks.block import BLOCKS, Activation
from nas.blocks.convolution import Conv
from nas.blocks.graph import Graph, Wire
from nas.errors import SpaceError
from nas.space.load import load_space
from nas.space.space import Space


@dataclass(frozen=True, kw_only=True)
class Split:
    """Two pointwise convolutions, or one."""

    out_channels: int
    stride: int = 1
    split: int
    mode: Literal["once", "twice"] = "once"
    activation: Activation = "relu"

    def write(self, g: Graph, x: Wire) -> Wire:
        y = g.add("first", Conv(x.channels, self.out_channels, 1, self.stride, self.split, self.activation), x)
        return g.add("second", Conv(self.out_channels, self.out_channels), y) if self.mode == "twice" else y


Load = Callable[..., Space]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """A space of two stages, the second of these settings."""
    monkeypatch.setitem(BLOCKS, "split", Split)

    def space(settings: str, blocks: str = "{}") -> Space:
        path = tmp_path / "own.yaml"
        path.write_text(
            "format: nas-space/1\nname: own\nsource: test\ninput: {resolution: 16}\nnum_classes: 10\n"
            f"activation: relu\nblocks: {blocks}\nstages:\n  - {{name: stem, block: conv, width: 8, stride: 2}}\n"
            f"  - {{name: body, width: 16, {settings}}}\nhead: {{width: 32}}\n"
        )
        return load_space(path)

    return space


def test_numbers_and_words_are_chosen_for_a_stage_or_a_layer(load: Load) -> None:
    space = load("block: split, mode: {choice: [twice, once], per: layer}, split: {choice: [2, 4]}, depth: 2")
    assert [(decision.name, decision.options) for decision in space.decisions] == [
        ("body.split", (2, 4)),  # in the order of the block's fields; what is of the stage comes before its layers
        ("body.layer1.mode", ("twice", "once")),
        ("body.layer2.mode", ("twice", "once")),
    ]
    network = space.decode(np.array([1, 0, 1], dtype=np.uint8))
    assert [(layer.split, layer.mode) for layer in network.layers[1:3]] == [(4, "twice"), (4, "once")]


def test_a_block_of_a_file_fixes_them(load: Load) -> None:
    space = load(
        "block: {choice: [a, b, fused]}, mode: {choice: [once, twice]}",
        "{a: {kind: split, split: 2}, b: {kind: split, split: 4}}",
    )
    assert [space.decode(genotype).layers[1].kind for genotype in space.enumerate()] == 4 * ["split"] + ["fused"]


def test_defaults_are_those_of_the_block(load: Load) -> None:
    (genotype,) = load("block: split, split: 2").enumerate()
    assert load("block: split, split: 2").decode(genotype).layers[1].mode == "once"


def test_the_gate_is_that_of_layers_with_squeeze_and_excitation(load: Load) -> None:
    space = load("block: sepconv, se: {choice: [0, 0.25]}, se_gate: {choice: [sigmoid, hard-sigmoid]}")
    found = [space.decode(genotype).layers[1] for genotype in space.enumerate()]
    assert [(layer.se_channels, layer.se_gate) for layer in found] == [
        (0, "sigmoid"),
        (2, "sigmoid"),
        (2, "hard-sigmoid"),
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("block: split, spilt: 2", r"stages\.1: settings of split are split, mode, activation, got 'spilt'\."),
        ("block: split", r"stages\.1: a split block needs a `split`\."),
        ("block: split, split: 0", r"stages\.1\.split: `split` of a split layer lies in 1\.\.65536, got 0\."),
        ("block: split, split: 2, mode: thrice", r"stages\.1\.mode: `mode` is one of once, twice, got 'thrice'\."),
        ("block: split, split: 2, mode: 3", r"stages\.1\.mode: `mode` is one of once, twice, got 3\."),
        (
            "block: conv, split: 2",
            r"stages\.1: settings of conv are kernel, groups, activation, .*, got 'split'\.",
        ),
        ("block: tucker, expansion: 0.25", r"stages\.1: a tucker block needs a `rank`\."),
        ("block: tucker, rank: 0", r"stages\.1\.rank.* greater than 0, got 0"),
        ("block: tucker, rank: 2", r"stages\.1\.rank.* less than or equal to 1, got 2"),
        ("block: tucker, rank: 0.5, se_gate: sigmoid", r"settings of tucker are .*, got 'se_gate'\."),
        ("block: fused, rank: 0.5", r"stages\.1: settings of fused are .*, got 'rank'\."),
        ('block: conv, "\\e[2J": 2', r"got '\\x1b\[2J'\."),
    ],
)
def test_what_is_wrong_is_told_with_its_place(load: Load, settings: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        load(settings)


def test_a_wrong_setting_of_a_block_that_no_stage_has_is_told(load: Load) -> None:
    with pytest.raises(SpaceError, match=r"blocks\.a: settings of split are split, mode, activation, got 'knd'\."):
        load("block: conv", "{a: {kind: split, split: 2, knd: 3}}")
    with pytest.raises(SpaceError, match=r"blocks\.a\.kernel: `kernel` of a mbconv layer is odd, got 4\."):
        load("block: conv", "{a: {kind: mbconv, kernel: 4}}")


MULTIPLIED = """
format: nas-space/1
name: multiplied
source: test
input: {{resolution: 16}}
num_classes: 10
activation: relu
width_multiplier: {multiplier}
stages:
  - {{name: stem, block: conv, width: 8}}
  - {{name: body, block: mbconv, width: {{choice: [24, 48]}}, expansion: 3}}
head: {{width: {{choice: [0, 20]}}}}
"""


def test_one_multiplier_is_of_all_widths_and_they_are_multiples_of_eight(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(MULTIPLIED.format(multiplier="{choice: [1, 0.35, 1.2]}"))
    space = load_space(path)
    assert [decision.name for decision in space.decisions] == ["width_multiplier", "body.width", "head.width"]
    found = {}
    for genotype in space.enumerate():
        choices, layers = space.choices(genotype), space.decode(genotype).layers
        widths = [layer.out_channels for layer in layers[:2]] + [layer.mid_channels for layer in layers[1:]]
        found[tuple(choices.values())] = widths
    assert found[(1, 48, 20)] == [8, 48, 24, 24]  # 20 is no multiple of 8
    assert found[(0.35, 48, 20)] == [8, 16, 24, 8]  # 2.8, 16.8 and 7
    assert found[(1.2, 24, 20)] == [16, 32, 48, 24]  # 9.6 is rounded up, as 8 is less than 90 % of it
    assert found[(1.2, 24, 0)] == [16, 32, 48, 0]  # a head without a convolution stays so


@pytest.mark.parametrize(
    ("multiplier", "message"),
    [
        ("0", r"width_multiplier.*greater than or equal to 0\.01, got 0"),
        ("[1, 1.2]", r"width_multiplier.* a choice is written \{choice: \[\.\.\.\]\}"),
        ("{choice: [1, 1.0]}", r"width_multiplier.* the options of a choice differ"),
        ("{choice: [1, 1.2], per: layer}", r"width_multiplier.*per"),
        ("wide", r"width_multiplier.*got 'wide'"),
        ("{choice: [1, 16]}", r"body\.width: a width is at most 65536, got 48000 with a `width_multiplier` of 16\."),
    ],
)
def test_what_is_wrong_with_a_multiplier_is_told(multiplier: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(MULTIPLIED.format(multiplier=multiplier).replace("[24, 48]", "[24, 48000]"))
    with pytest.raises(SpaceError, match=message) as caught:
        load_space(path)
    assert str(caught.value).count("\n") == 0

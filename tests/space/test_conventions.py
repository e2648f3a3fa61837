"""What a space file says for all of its stages: squeeze-and-excitation, rounding, the head; and projections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nas.blocks import Layer
from nas.cli import cli
from nas.errors import NasError
from nas.formats.archdef import parse_archdef
from nas.space.load import load_space
from nas.space.space import Space
from nas.supernet.shares import shares_of
from nas.supernet.superkernel import Superkernel

BODY = "block: mbconv, width: 24, stride: 2, depth: {choice: [1, 2]}, expansion: {choice: [3, 6], per: layer}, se: 0.25"
Load = Callable[..., Space]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """A space with these lines at the top, and these settings of its second stage."""

    def space(*lines: str, body: str = BODY, head: str = "{width: 128}") -> Space:
        path = tmp_path / "own.yaml"
        path.write_text(
            "format: nas-space/1\nname: own\nsource: test\ninput: {resolution: 96}\nnum_classes: 10\n"
            "activation: hard-swish\nstages:\n  - {name: stem, block: conv, width: 16, stride: 2}\n"
            f"  - {{name: body, {body}}}\nhead: {head}\n" + "".join(f"{line}\n" for line in lines)
        )
        return load_space(path)

    return space


def largest(space: Space) -> tuple[Layer, ...]:
    return max((space.decode(genotype) for genotype in space.enumerate()), key=lambda network: network.macs).layers


def test_the_conventions_of_mobilenetv3_are_those_of_arch_defs(load: Load) -> None:
    layers = largest(load("se_from: mid", "se_gate: hard-sigmoid", "head_after_pool: true", "head_bias: false"))
    assert (layers[2].mid_channels, layers[2].se_channels) == (6 * 24, 40)  # 144 / 4 = 36, rounded to 8
    document = {
        "resolution": 96,
        "stem": 16,
        "head": 128,
        "activation": "hard-swish",
        "num_classes": 10,
        "se_from": "mid",
        "se_gate": "hard-sigmoid",
        "head_after_pool": True,
        "head_bias": False,
        "blocks": [["ir_r2_k3_s2_e6_c24_se0.25"]],
    }
    assert layers == parse_archdef(document).layers


@pytest.mark.parametrize(
    ("lines", "mid", "squeezed"),
    [
        ((), 144, 6),  # of the input's 24, not rounded
        (("round_to: 8",), 144, 8),
        (("se_from: in", "round_to: 1"), 144, 6),
        (("se_from: mid",), 144, 40),
        (("se_from: mid", "round_to: 1"), 144, 36),
        (("se_from: mid", "round_to: 16"), 144, 48),  # 32 would be less than 90 % of 36
        (("round_to: 32",), 160, 32),
    ],
)
def test_inner_widths(load: Load, lines: tuple[str, ...], mid: int, squeezed: int) -> None:
    layer = largest(load(*lines))[2]
    assert (layer.mid_channels, layer.se_channels) == (mid, squeezed)


def test_a_stage_has_the_last_word_on_its_gate(load: Load) -> None:
    assert largest(load("se_gate: hard-sigmoid", body=BODY + ", se_gate: sigmoid"))[2].se_gate == "sigmoid"


def test_a_classifier_without_bias(load: Load) -> None:
    assert largest(load("classifier_bias: false", head="0"))[-1].params == 24 * 10


def test_projections_can_be_chosen_and_are_trained_together(load: Load) -> None:
    space = load(body=BODY + ", projection: {choice: [false, true]}")
    assert [decision.name for decision in space.decisions][-1] == "body.layer2.expansion"
    assert "body.projection" in [decision.name for decision in space.decisions]
    first, second = largest(space)[1:3]
    assert (first.projection, first.residual, second.projection, second.residual) == (True, False, False, True)
    torch.manual_seed(0)
    supernet = Superkernel(space)
    x = torch.randn(2, 3, 96, 96)
    uniform = [torch.full((int(n),), 1 / int(n)) for n in space.cardinalities]
    shares = [shares_of(choice, uniform) for choice in supernet.choices]
    with torch.no_grad():
        for genotype in space.sample(4, np.random.default_rng(0)):
            logits = supernet(x, genotype)
            assert torch.allclose(logits, supernet.standalone(genotype)(x), atol=1e-5, rtol=0)
            assert torch.allclose(logits, supernet.gated(x, genotype, shares), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("se_from: out", "se_from: Input should be 'in' or 'mid', got 'out'"),
        ("se_from: {choice: [in, mid]}", "se_from: Input should be 'in' or 'mid'"),
        ("se_gate: tanh", "se_gate: Input should be 'sigmoid' or 'hard-sigmoid', got 'tanh'"),
        ("round_to: 0", "round_to: Input should be greater than or equal to 1, got 0"),
        ("round_to: 8.0", "round_to: Input should be a valid integer, got 8.0"),
        ("head_after_pool: 1", "head_after_pool: Input should be a valid boolean, got 1"),
        ("head_bias: false", "head_bias: is of the layer behind the pooling, so false needs `head_after_pool: true`"),
        ("pooled_head: true", "pooled_head: no such key"),
    ],
)
def test_what_is_refused(load: Load, tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(NasError):
        load(line)
    refused = CliRunner().invoke(cli, ["spaces", "show", str(tmp_path / "own.yaml")]).exception
    assert isinstance(refused, NasError)
    assert refused.exit_code == 2
    assert says in str(refused)
    assert "\n" not in str(refused)


def test_pooling_first_needs_a_width(load: Load) -> None:
    with pytest.raises(NasError, match=r"own\.yaml: head: with `head_after_pool` its width is at least 1, got 0\."):
        load("head_after_pool: true", head="{width: {choice: [0, 64]}}")


def test_a_projection_is_not_of_every_block(load: Load) -> None:
    with pytest.raises(NasError, match=r"stages\.1: settings of identity are none, got 'projection'\."):
        load(body="block: identity, width: 24, projection: true")
    with pytest.raises(NasError, match=r"`projection` is true or false, got 'yes please'\."):
        load(body="block: conv, width: 24, projection: yes please")

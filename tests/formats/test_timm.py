"""timm builds from an arch-def the very network that we build from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import architectures, picture, randomize
from torch import nn

from nas.blocks import Architecture, Layer
from nas.blocks.build import build
from nas.errors import ArchitectureError
from nas.formats import archdef
from nas.formats.archdef import parse_archdef, to_archdef
from nas.formats.dialects import fit
from nas.formats.timm_network import timm_tensors
from nas.space.load import load_space

pytest.importorskip("timm")

PUBLISHED = sorted((Path(__file__).parents[2] / "search_spaces" / "networks").glob("*.json"))


CALL = compile(
    dedent(archdef.__doc__.split("is built by timm as\n")[1].split("for a file that")[0]).replace(
        'json.load(open("arch.txt"))', "given"
    ),
    "docstring",
    "exec",
)
"""The call that the docstring of nas.formats.archdef gives."""


def timm_network(text: dict[str, Any]) -> nn.Module:
    """What timm makes of an arch-def."""
    namespace: dict[str, Any] = {"given": text}
    exec(CALL, namespace)  # our own docstring
    return namespace["network"]


def assert_equal(architecture: Architecture, text: dict[str, Any]) -> None:
    theirs, ours = randomize(timm_network(text), seed=1), build(architecture).eval()
    weights = fit(architecture, timm_tensors(theirs)).weights
    ours.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()}, strict=False)
    x = picture(architecture).double()  # attention of hardly any channels magnifies what float32 rounds away
    with torch.inference_mode():
        expected, output = ours.double()(x), theirs.double()(x)
    assert (output - expected).abs().max() <= 1e-6 * max(1, expected.abs().max())


def with_resolution(text: dict[str, Any], resolution: int) -> dict[str, Any]:
    return text | {"resolution": resolution}


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
def test_published_networks(file: Path) -> None:
    text = with_resolution(json.loads(file.read_text()), 64)
    architecture = parse_archdef(text)
    written = to_archdef(architecture)
    assert parse_archdef(written) == architecture
    assert_equal(architecture, written)


def test_networks_of_the_mobile_space() -> None:
    space = load_space("mobile")
    for genotype in space.sample(4, np.random.default_rng(5)):
        text = with_resolution(to_archdef(space.decode(genotype)), 64)
        assert_equal(parse_archdef(text), text)


@st.composite
def block_strings(draw: st.DrawFn, strides: tuple[int, ...]) -> str:
    kind = draw(st.sampled_from(("ds", "ir", "er", "cn", "dsa", "uir", "mqa")))
    parts = [f"r{draw(st.integers(1, 2))}", f"c{draw(st.integers(1, 40))}"]
    if kind == "mqa":
        sizes = draw(st.tuples(st.integers(1, 4), st.integers(1, 2), st.sampled_from((1, 3, 5))))
        parts += ["s1", *(f"{letter}{size}" for letter, size in zip("hvk", sizes, strict=True)), "d8"]
        parts += draw(st.sampled_from(([], [], ["skip"], ["noskip"])))
        return "_".join([kind, *draw(st.permutations(parts))])
    kernels = {"uir": ("k0", "k3", "k5"), "ir": ("k1", "k3", "k5", "k3.5", "k1.3.5", "k5.7.9.11")}
    kernel = draw(st.sampled_from(kernels.get(kind, ("k1", "k3", "k5"))))
    stride = draw(st.sampled_from(strides if kernel != "k0" else (1,)))
    parts += [kernel, f"s{stride}"]
    if kind == "uir":
        parts += draw(st.sampled_from(([], ["a0"], ["a3"], ["a5", "p0"])))
    if kind == "ir":
        parts += (
            draw(st.sampled_from(([], [], ["a1.1"], ["p1.1"], ["a1.1", "p1.1"][: 2 * ("." in kernel)])))
            if kernel != "k1"
            else []
        )
    if kind in {"ir", "er", "uir"}:
        parts.append(draw(st.sampled_from(("e1", "e2.3", "e0.75", "e3.67", "e6"))))
    if kind == "er":
        parts += draw(st.sampled_from(([], [], ["gs4"], ["gs8"])))
    if kind != "cn":
        parts += draw(st.sampled_from(([], ["se0.25"], ["se0.3"], ["se0.45"], ["se0"])))
    parts += draw(st.sampled_from(([], ["nre"], ["nr6"], ["nhs"], ["nsw"])))
    parts += draw(st.sampled_from(([], [], ["skip"], ["noskip"]) if kind != "dsa" else ([], ["noskip"])))
    return "_".join([kind, *draw(st.permutations(parts))])


@st.composite
def archdefs(draw: st.DrawFn) -> dict[str, Any]:
    """Arch-defs with everything that timm and we both read."""
    stages = []
    for _ in range(draw(st.integers(1, 3))):
        rest = draw(st.lists(block_strings((1,)), max_size=1))
        stages.append([draw(block_strings((1, 2))), *rest])
        if stages[-1][-1].startswith("mqa"):  # timm cannot tell the features that a stage ends with
            stages[-1].append("cn_r1_k1_s1_" + re.search(r"c\d+", stages[-1][-1])[0])
    pooled = draw(st.booleans())
    ending = draw(st.sampled_from(({}, {"head_bias": False}, {"head_norm": True}))) if pooled else {}
    blurred = not any(text.startswith("ds") for stage in stages for text in stage)  # timm's blur has the wrong width
    filters = ("none", "none", "average", *(("blur",) if blurred else ()))
    return {
        **ending,
        "layer_scale": pooled and draw(st.booleans()),
        "anti_alias": draw(st.sampled_from(filters)),
        "resolution": draw(st.integers(16, 24)),
        "stem": draw(st.integers(1, 24)),
        "head": draw(st.integers(int(pooled), 24)),
        "activation": draw(st.sampled_from(("relu", "relu6", "swish", "hard_swish", "gelu"))),
        "num_classes": draw(st.integers(1, 9)),
        "blocks": stages,
        "in_channels": draw(st.integers(1, 4)),
        "round_to": draw(st.sampled_from((1, 2, 4, 8, 16))),
        "se_gate": draw(st.sampled_from(("sigmoid", "hard_sigmoid"))),
        "excitation": draw(st.sampled_from(("se", "se", "eca"))),
        "head_after_pool": pooled,
        "se_from": draw(st.sampled_from(("in", "mid"))) if pooled else "in",
        "norm_eps": draw(st.sampled_from((1e-5, 1e-3))),
        "padding": draw(st.sampled_from(("symmetric", "same"))),
        "se_activation": draw(st.sampled_from(("relu", "swish"))),
        "dropout": draw(st.sampled_from((0.0, 0.2))),
    }


@given(archdefs())
@settings(max_examples=60, deadline=None)
def test_any_archdef_means_to_us_what_it_means_to_timm(text: dict[str, Any]) -> None:
    try:
        architecture = parse_archdef(text)
    except ArchitectureError as problem:
        assert re.search("leaves at least one channel|`groups` divides|needs as many at least", str(problem))  # noqa: PT017
        return
    assert_equal(architecture, text)
    written = to_archdef(architecture)
    assert parse_archdef(written) == architecture
    assert to_archdef(parse_archdef(written)) == written
    assert_equal(architecture, written)


@given(architectures())
@settings(max_examples=100, deadline=None)
def test_what_timm_cannot_express_is_refused_with_the_reason(body: Architecture) -> None:
    channels, height, width = body.channels, body.height, body.width
    stem = Layer(
        kind="conv", in_channels=3, out_channels=channels, kernel=3, stride=2, height=2 * height, width=2 * width
    )
    layers = [stem, *body.layers]
    try:
        architecture = Architecture(3, 2 * height, 2 * width, tuple(layers))
        written = to_archdef(architecture)
    except ArchitectureError as problem:
        assert str(problem).startswith("timm cannot express this network: ")  # noqa: PT017
        return
    timm_network(written)
    assert parse_archdef(written).macs == architecture.macs

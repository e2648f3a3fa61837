"""Arch-def files: what block strings mean, published networks, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nas.blocks import Architecture, Layer
from nas.errors import ArchitectureError
from nas.formats.archdef import format_archdef, parse_archdef, read_archdef, to_archdef
from nas.formats.blockstring import make_divisible
from nas.space.load import load_space

ARCHDEFS = Path(__file__).parents[2] / "search_spaces" / "networks"
MILLION_MACS = {
    "mobilenetv2-1.0": 300.8,
    "mnasnet-b1": 314.4,
    "mnasnet-a1-1.0": 311.6,
    "proxylessnas-mobile": 320.4,
    "single-path-nas": 333.5,
    "fbnet-a": 249.9,
    "fbnet-b": 306.2,
    "fbnet-c": 385.0,
    "mobilenetv3-large-1.0": 216.6,
    "mobilenetv3-small-1.0": 56.5,
    "efficientnet-b0": 385.8,
}
PARAMS = {"mobilenetv2-1.0": 3_504_872, "efficientnet-b0": 5_288_548, "mobilenetv3-large-1.0": 5_483_032}
"""As timm and torchvision count them."""


def archdef(*stages: list[str], **keys: Any) -> dict[str, Any]:
    required = {"resolution": 32, "stem": 16, "head": 64, "activation": "relu", "num_classes": 10}
    return required | {"blocks": list(stages)} | keys


def body(*stages: list[str], **keys: Any) -> tuple[Layer, ...]:
    """The layers between stem and head."""
    return parse_archdef(archdef(*stages, **keys)).layers[1:-1]


@pytest.mark.parametrize(("name", "millions"), MILLION_MACS.items())
def test_published_networks_have_the_published_macs(name: str, millions: float) -> None:
    architecture = read_archdef(ARCHDEFS / f"{name}.json")
    assert architecture.macs / 1e6 == pytest.approx(millions, rel=0.01)
    assert PARAMS.get(name, architecture.params) == architecture.params


def test_mobilenetv3_has_the_widths_of_its_paper() -> None:
    layers = read_archdef(ARCHDEFS / "mobilenetv3-large-1.0.json").layers  # arXiv:1905.02244, table 1
    assert [layer.mid_channels for layer in layers[2:16]] == [
        *(64, 72, 72, 120, 120, 240, 200, 184, 184, 480, 672, 672, 960, 960)
    ]
    assert [layer.se_channels for layer in layers[4:7]] == [24, 32, 32]  # of 72 and 120, a quarter rounded to 8
    assert layers[-1] == Layer(
        kind="pooled_head",
        in_channels=960,
        mid_channels=1280,
        out_channels=1000,
        activation="hard-swish",
        height=7,
        width=7,
    )


def test_a_depthwise_separable_block_has_no_expansion() -> None:
    (layer,) = body(["ds_r1_k3_s1_e1_c16"])
    assert layer == Layer(
        kind="sepconv", in_channels=16, out_channels=16, mid_channels=16, kernel=3, residual=True, height=16, width=16
    )


def test_an_inverted_residual_has_one_even_with_e1() -> None:
    (layer,) = body(["ir_r1_k5_s2_e1_c24_se0.25_nhs"])
    assert layer == Layer(
        kind="mbconv",
        in_channels=16,
        out_channels=24,
        mid_channels=16,
        kernel=5,
        stride=2,
        se_channels=4,
        activation="hard-swish",
        height=16,
        width=16,
    )


def test_only_the_first_repeat_has_the_stride_and_the_later_ones_are_residual() -> None:
    layers = body(["er_r3_k3_s2_e4_c24"])
    assert [(layer.kind, layer.stride, layer.residual, layer.mid_channels) for layer in layers] == [
        ("fused", 2, False, 64),
        ("fused", 1, True, 96),
        ("fused", 1, True, 96),
    ]


def test_residuals_of_convolutions_are_asked_for_and_those_of_blocks_are_declined() -> None:
    stage = ["cn_r1_k3_s1_c16", "cn_r1_k3_s1_c16_skip", "ir_r1_k3_s1_e2_c16", "ir_r1_k3_s1_e2_c16_noskip"]
    assert [layer.residual for layer in body(stage)] == [False, True, True, False]


def test_the_four_forms_of_a_universal_inverted_bottleneck() -> None:
    stage = ["uir_r1_a5_k5_s2_e3_c32", "uir_r1_a0_k3_s1_e2_c32", "uir_r1_a3_k0_s1_e4_c32", "uir_r1_a0_k0_s1_e2_c32"]
    network = parse_archdef(archdef(["cn_r1_k3_s2_c16"], stage, resolution=64))
    assert (network.params, network.macs) == (27_962, 2_741_888)
    extra, *rest = network.layers[2:-1]
    assert [node.name for node in extra.graph.nodes] == ["start", "expand", "depthwise", "project"]
    assert extra.macs == 16 * 16 * 16 * (25 + 48) + 8 * 8 * 48 * (25 + 32)  # only the inner one has the stride
    assert [(layer.start_kernel, layer.kernel, layer.mid_channels) for layer in rest] == [
        (0, 3, 64),
        (3, 0, 128),
        (0, 0, 64),
    ]
    assert all(layer.residual for layer in rest)


def test_activated_separable_blocks_have_no_residual_but_where_it_is_asked_for() -> None:
    v3 = {"se_gate": "hard-sigmoid", "se_from": "mid", "head_after_pool": True, "activation": "hard-swish"}
    stages = (["dsa_r1_k3_s1_c16"], ["dsa_r2_k3_s2_c32"], ["dsa_r1_k5_s2_c64_se0.25"])
    network = parse_archdef(archdef(*stages, resolution=64, stem=8, head=128, **v3))
    assert (network.params, network.macs) == (15_874, 1_122_048)
    plain, asked = body(["dsa_r1_k3_s1_c16", "dsa_r1_k3_s1_c16_skip"])
    assert (plain.residual, asked.residual) == (False, True)
    assert [node.op.activation for node in plain.graph.nodes] == ["relu", "relu"]
    with pytest.raises(ArchitectureError, match="activated at their end have no residual"):
        to_archdef(parse_archdef(archdef(["dsa_r1_k3_s1_c16_skip"])))


def test_kernels_of_a_mixed_convolution_share_the_channels() -> None:
    mixed, grouped = body(["ir_r1_k3.5.7_a1.1_s1_e2.5_c16", "ir_r1_k3_a1.1_p1.1_s1_e2_c16"])
    widths = {node.name: node.op.out_channels for node in mixed.graph.nodes if node.name.startswith("depthwise")}
    assert widths == {"depthwise0": 14, "depthwise1": 13, "depthwise2": 13}  # 40, the first has what is left over
    assert mixed.macs == 16 * 16 * (16 * 40 // 2 + 14 * 9 + 13 * 25 + 13 * 49 + 40 * 16)
    assert (grouped.kind, grouped.groups) == ("mbconv", 2)


def test_grouped_convolutions() -> None:
    full, pointwise = body(["cn_r1_k3_s1_c16_gs4", "ir_r1_k3_s1_e2_c16_g2"])
    assert (full.groups, pointwise.groups) == (4, 2)  # 16 channels in groups of 4; 2 groups as in FBNet


def test_a_projection_is_where_shapes_change() -> None:
    first, second = body(["ir_r2_k3_s2_e2_c24_proj"])
    assert [(layer.projection, layer.residual) for layer in (first, second)] == [(True, False), (False, True)]
    plain = body(["ir_r1_k3_s2_e2_c24"])[0]
    assert first.macs == plain.macs + 8 * 8 * 16 * 24  # a pointwise convolution of stride 2
    assert first.params == plain.params + 16 * 24 + 2 * 24
    with pytest.raises(ArchitectureError, match="inputs are added as they are, got a projection"):
        to_archdef(parse_archdef(archdef(["ir_r2_k3_s2_e2_c24_proj"])))


def test_heads_without_biases() -> None:
    keys = {"head_after_pool": True, "head_bias": False}
    network = parse_archdef(archdef(["cn_r1_k1_s1_c16"], **keys))
    assert network.params == parse_archdef(archdef(["cn_r1_k1_s1_c16"], head_after_pool=True)).params - 64
    assert to_archdef(network)["head_bias"] is False
    bare = parse_archdef(archdef(["cn_r1_k1_s1_c16"], head=0, classifier_bias=False))
    assert bare.layers[-1].params == 16 * 10
    with pytest.raises(ArchitectureError, match="its classifier has a bias, got none"):
        to_archdef(bare)


def test_widths_are_rounded_to_8_or_to_what_the_file_says() -> None:
    assert [layer.out_channels for layer in body(["cn_r1_k1_s1_c19"])] == [24]
    assert [layer.out_channels for layer in body(["cn_r1_k1_s1_c19"], round_to=1)] == [19]
    assert [make_divisible(width) for width in (1, 12, 11.9, 84, 18.4, 19)] == [
        8,
        16,
        16,
        88,
        24,
        24,
    ]  # 16 < 0.9 · 18.4


def test_a_stem_activation_of_its_own() -> None:
    architecture = parse_archdef(archdef(["cn_r1_k1_s1_c16"], activation="silu", stem_activation="hswish"))
    assert [layer.activation for layer in architecture.layers] == ["hard-swish", "swish", "swish"]


@pytest.mark.parametrize("file", sorted(ARCHDEFS.glob("*.json")), ids=lambda file: file.stem)
def test_archdef_to_architecture_to_archdef(file: Path, tmp_path: Path) -> None:
    architecture = read_archdef(file)
    (tmp_path / "arch.txt").write_text(format_archdef(to_archdef(architecture)))
    assert read_archdef(tmp_path / "arch.txt") == architecture


def test_a_winner_of_mobile_is_written_as_a_reader_would() -> None:
    space = load_space("mobile")
    (genotype,) = space.encode([space.references["efficientnet-b0"]])
    published = json.loads((ARCHDEFS / "efficientnet-b0.json").read_text())
    assert to_archdef(space.decode(genotype)) == published | {"activation": "relu"}


STEM = Layer(kind="conv", in_channels=3, out_channels=8, kernel=3, stride=2, height=16, width=16)
BLOCK = {
    "kind": "mbconv",
    "in_channels": 8,
    "out_channels": 8,
    "mid_channels": 16,
    "kernel": 3,
    "height": 8,
    "width": 8,
}
WIDE = ("in_channels", "out_channels", "mid_channels", "groups")
HEAD = Layer(kind="head", in_channels=8, out_channels=5, mid_channels=8, height=8, width=8)


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ((STEM, HEAD), "at least one block"),
        ((STEM, Layer(**BLOCK)), "a stem, at least one block and a head"),
        ((STEM, Layer(**BLOCK | {"activation": "none"}), HEAD), "every block has an activation"),
        ((STEM, Layer(**BLOCK | {"mid_channels": 20}), HEAD), "multiples of 8, got 20"),
        (
            (STEM.changed(out_channels=32), Layer(**BLOCK | dict.fromkeys(WIDE, 32)), HEAD.changed(in_channels=32)),
            "at most 16 groups, got 32",
        ),
        (
            (STEM, Layer(**BLOCK | {"out_channels": 16, "projection": True}), HEAD.changed(in_channels=16)),
            "added as they are, got a projection",
        ),
        (
            (
                STEM,
                Layer(**BLOCK, se_channels=2),
                Layer(**BLOCK, se_channels=2, se_gate="hard-sigmoid"),
                HEAD,
            ),
            "share one `se_gate`",
        ),
        (
            (
                STEM,
                Layer(kind="identity", in_channels=8, out_channels=16, height=8, width=8),
                Layer(kind="head", in_channels=16, out_channels=5, mid_channels=8, height=8, width=8),
            ),
            "got identity",
        ),
        ((STEM, Layer(**BLOCK | {"kind": "tucker", "rank_channels": 8}), HEAD), "got tucker"),
        ((STEM, Layer(**BLOCK, excitation="scse", se_channels=2), HEAD), "its gates are se or eca, got scse"),
        ((STEM, Layer(**BLOCK), Layer(**BLOCK, excitation="eca"), Layer(**BLOCK, se_channels=2), HEAD), "`excitation`"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_networks_that_timm_has_no_strings_for(layers: tuple[Layer, ...], reason: str) -> None:
    with pytest.raises(ArchitectureError, match=reason):
        to_archdef(Architecture(3, 16, 16, layers))


def test_layers_that_do_nothing_are_left_out() -> None:
    skip = Layer(kind="identity", in_channels=8, out_channels=8, height=8, width=8)
    written = to_archdef(Architecture(3, 16, 16, (STEM, skip, Layer(**BLOCK), skip, HEAD)))
    assert written["blocks"] == [["ir_r1_k3_s1_e2_c8_noskip"]]


GOOD = ["ir_r1_k3_s1_e2_c16"]
MALFORMED = {
    "unknown type": (
        archdef(["irr_r1_k3_s1_e2_c16"]),
        "blocks.0: 'irr_r1_k3_s1_e2_c16': the type of a block is one of ds, ir, er, cn, dsa, uir, mqa, got 'irr'",
    ),
    "attention of a type that we have not": (
        archdef(["mha_r1_k3_h8_s1_d64_c16"]),
        "nas has no block `mha` (multi-head",
    ),
    "a type in capitals": (archdef(["UIR_r1_k3"]), "the type of a block is one of ds, ir, er, cn, dsa, uir, mqa"),
    "a stride of nothing": (archdef(["uir_r1_a0_k0_s2_e2_c16"]), "The stride of a uir layer is of its `kernel` or"),
    "a kernel at the end": (
        archdef(["uir_r1_a3_k3_p5_s1_e2_c16"]),
        "no block of nas has a kernel after the projection",
    ),
    "an even kernel at the start": (archdef(["uir_r1_a4_k3_s1_e2_c16"]), "`start_kernel` of a uir layer is odd, got 4"),
    "several kernels of a uir": (archdef(["uir_r1_a0_k3.5_s1_e2_c16"]), "`k` is one whole number, got 3.5"),
    "attention with a stride": (archdef(["mqa_r1_k3_h4_s2_d8_c16"]), "attention has no stride (`s` is 1), got 2"),
    "attention without heads": (archdef(["mqa_r1_k3_s1_d8_c16"]), "`mqa` needs `h`"),
    "keys of too few pixels": (archdef(["mqa_r1_k3_h4_v3_s1_d8_c16"]), "`v` is 1 or 2, got 3"),
    "activated attention": (archdef(["mqa_r1_k3_h4_s1_d8_c16_nhs"]), "`mqa` has neither an activation nor"),
    "an expanded dsa": (archdef(["dsa_r1_k3_s1_e6_c16"]), "`dsa` has no expansion"),
    "kernels with a gap": (archdef(["ir_r1_k3.7_s1_e2_c16"]), "several kernels grow by 2, such as k3.5.7"),
    "a kernel of an expansion": (archdef(["ir_r1_k3_a3_s1_e2_c16"]), "`a` of an ir is a 1 for each of its groups"),
    "more kernels than channels": (archdef(["ir_r1_k1.3.5.7.9.11.13.15.17_s1_e0.5_c16"]), "up to 17 for 8 channels"),
    "an unknown filter": (archdef(GOOD, anti_alias="gauss"), "anti_alias: Input should be 'none', 'average'"),
    "a normalised bias": (archdef(GOOD, head_norm=True), "head_norm: is of the layer behind the pooling"),
    "two projections": (archdef(["ir_r1_k3_s2_e2_c24_proj_proj"]), "got `proj` twice"),
    "a spelt-out projection": (archdef(["ir_r1_k3_s2_e2_c24_projection"]), "skip, noskip and proj; got 'projection'"),
    "a width of no head": (archdef(GOOD, head=-1), "head: Input should be greater than or equal to 0, got -1"),
    "a bias of no layer": (archdef(GOOD, head_bias=False), "head_bias: is of the layer behind the pooling"),
    "a bias of a word": (archdef(GOOD, classifier_bias="no"), "classifier_bias: Input should be a valid boolean"),
    "unknown letter": (archdef(GOOD, ["ir_r1_k3_s1_e2_c16_q7"]), "blocks.1: 'ir_r1_k3_s1_e2_c16_q7'"),
    "unknown activation": (archdef(["ir_r1_k3_s1_e2_c16_nmi"]), "got 'nmi'"),
    "two kernels": (archdef(["ds_r1_k3.5_s1_c16"]), "`k` is one whole number, got 3.5"),
    "even kernel": (archdef(["ir_r1_k4_s1_e2_c16"]), "`kernel` of a mbconv layer is odd, got 4"),
    "no channels": (archdef(["ir_r1_k3_s1_e2"]), "`ir` needs `c`"),
    "repeated letter": (archdef(["ir_r1_k3_k5_s1_e2_c16"]), "got `k` twice"),
    "no repeats": (archdef(["ir_r0_k3_s1_e2_c16"]), "`r` is more than 0, got 0"),
    "too deep": (archdef(["ir_r1000000000_k3_s1_e2_c16"]), "at most 1,000 layers, got 1,000,000,002"),
    "too many stages": (archdef(*[GOOD] * 1001), "blocks: "),
    "too wide": (archdef(["ir_r1_k3_s1_e60000_c16"]), "lies in 1..65536, got 960000"),
    "stride": (archdef(["ir_r1_k3_s3_e2_c16"]), "`s` is 1 or 2, got 3"),
    "late stride": (archdef([*GOOD, "ir_r1_k3_s2_e2_c16"]), "only the first string of a stage has a stride"),
    "dilated by timm": (archdef(*[["ds_r1_k3_s2_c16"]] * 5), "are at most 32"),
    "expanded ds": (archdef(["ds_r1_k3_s1_e6_c16"]), "no expansion"),
    "se of nothing": (archdef(["ds_r1_k3_s1_c16_se0.01"]), "leaves at least one channel, got 0.01"),
    "se of a convolution": (archdef(["cn_r1_k3_s1_c16_se0.25"]), "`cn` takes r, k, s, c, e, gs with"),
    "group size": (archdef(["cn_r1_k3_s1_c16_gs3"]), "`gs` divides the channels, got 3 for 16"),
    "flat blocks": (archdef() | {"blocks": GOOD}, "blocks.0: Input should be a valid list, got 'ir_r1_k3_s1_e2_c16'"),
    "no blocks": (archdef(), "blocks: "),
    "empty stage": (archdef([]), "blocks.0: "),
    "not text": (archdef([7]), "blocks.0.0: Input should be a valid string, got 7"),
    "missing keys": ({"blocks": [GOOD]}, "resolution, stem, activation: these keys are required"),
    "unknown key": (archdef(GOOD, drop_path=0.2), "drop_path: no such key"),
    "all dropped": (archdef(GOOD, dropout=1.0), "dropout: "),
    "true is not 1": (archdef(GOOD, num_classes=True), "num_classes: Input should be a valid integer, got True"),
    "fraction": (archdef(GOOD, stem=16.0), "stem: Input should be a valid integer, got 16.0"),
    "huge": (
        archdef(GOOD, resolution=10**9),
        "resolution: Input should be less than or equal to 65536, got 1000000000",
    ),
    "activation": (archdef(GOOD, activation="mish"), "activation: an activation is one of relu, relu6"),
    "gate": (archdef(GOOD, se_gate="tanh"), "se_gate: Input should be 'sigmoid'"),
    "a list": ([GOOD], "an arch-def is a mapping with `blocks`, got list"),
    "nothing": (None, "got NoneType"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_refused_in_one_line(case: str, tmp_path: Path) -> None:
    document, says = MALFORMED[case]
    file = tmp_path / "arch.json"
    file.write_text(json.dumps(document))
    with pytest.raises(ArchitectureError) as caught:
        read_archdef(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert says in message
    assert "\n" not in message
    assert len(message) < len(str(file)) + 320

"""The shipped spaces against their papers: sizes, published networks, measured coverage, NAS-Bench-Macro."""

import csv
import re
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nas.blocks.architecture import Architecture
from nas.cost import counts
from nas.errors import SpaceError
from nas.formats.archdef import read_archdef
from nas.formats.config import parse_config, to_config
from nas.solvers.exact import WORK, solve
from nas.space.load import load_space
from nas.system.places import space_names
from nas.tables.rows import PROVENANCES
from nas.tables.table import load_table

ROOT = Path(__file__).resolve().parents[2]
ARCHDEFS = ROOT / "search_spaces" / "networks"


shipped = cache(load_space)
"""One of each for all tests: what its slots can be is worked out once."""


def test_networks_with_attention_have_the_blocks_of_their_papers() -> None:
    """EfficientFormer-L1 in timm has 1,291,284,736 MACs, 448,000 of them of a second classifier; tiny-MOAT-0 0.8 G."""
    former, moat = (reference("hybrid", name) for name in ("efficientformer-l1", "tiny-moat-0"))
    assert former.macs == 1_291_284_736 - 448_000
    assert Counter(layer.kind for layer in former.layers) == {"conv": 1, "poolformer": 14, "mhsa": 1, "head": 1}
    stem = 112**2 * 9 * 32**2  # the second convolution
    assert round((moat.macs + stem) / 1e8) == 8
    assert Counter(layer.kind for layer in moat.layers) == {"conv": 1, "moat": 14, "head": 1}


def reference(space: str, name: str) -> Architecture:
    loaded = shipped(space)
    return loaded.decode(loaded.encode([loaded.references[name]])[0])


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("fbnet", 9**22 * 2),  # table 1: 22 layers of nine candidates; two widths of the head
        ("single-path", 4**5 * 5**15),  # five stages of four layers, all but the first may be skipped
        ("mnasnet", (4 * 2 * 2 * 2 * 3 * 3) ** 5 * (4 * 2 * 2 * 2 * 3 * 2) ** 2),  # two blocks have one layer or two
        ("nas-bench-macro", 3**8),
        # a layer or none in stage 1; widths and depths; kernels and expansions of 18 layers; SE, activations
        (
            "mobilenetv3",
            (2 * 2 * 2 * 2)
            * (5 * 6 * 8 * 9 * 8 * 8 * 2)
            * (3 * 4 * 3 * 3 * 3)
            * (2**18 * 4**3 * 4**4 * 5**4 * 3**3 * 3**4)
            * (2**5 * 2**2),
        ),
        ("ofa-mbv3", 25 * 2 * 3**5 * (3 * 3) ** 20),  # 25 resolutions, two supernets; five stages of up to four layers
        # resolutions, nine widths and the convolution before the pooling, depths, kernels, expansions
        ("attentive", 4 * (2 * 2 * 2 * 2 * 2 * 3 * 4 * 2 * 2 * 2) * (2 * 3 * 4 * 4 * 6 * 6 * 2) * 2**7 * 3**4),
        # forms of 21 layers and of two more in two, expansions of 21; widths; depths
        ("mobilenetv4", (2 * 2 * 9 * 10 * 8 * 9**7 * 8 * 9**10) * 4**21 * (2 * 2 * 3**6) * (5 * 6)),
        # resolutions, multipliers, widths of two stages; depths; kernels and expansions of 21 layers; two heads
        ("mcunet", 12 * 10 * 2 * 2 * 3**5 * (3 * 4) ** 21 * 2),
        # stem, eight widths; candidates of block 1, of 19 layers of eight and 4 of nine; kernels, SE, two activations
        (
            "mobiledets",
            (6 * 4 * 6 * 7 * 8 * 8 * 8 * 6 * 7) * (5 * 9**4 * 8**17) * 2**22 * 2**8 * 2,
        ),
        # five widths, four depths and expansions; blocks of two stages and eleven layers; windows of one stage
        ("hybrid", 2**5 * (3 * 3 * 4 * 4) * 2**4 * 4**2 * 5**7 * 7**4 * 2),
    ],
)
def test_sizes_are_those_of_the_papers(name: str, size: int) -> None:
    assert load_space(name).size == size


@pytest.mark.parametrize("name", space_names())
def test_every_space_names_its_source_and_decodes(name: str) -> None:
    space = shipped(name)
    assert "arXiv:" in space.source
    assert space.references
    for genotype in space.canonical(space.sample(20, np.random.default_rng(0))):
        assert space.decode(genotype).num_classes == (10 if name.startswith("nas-bench") else 1000)
        assert (space.encode([space.choices(genotype)])[0] == genotype).all()


@pytest.mark.parametrize("name", space_names())
def test_canonical_forms_are_networks(name: str) -> None:
    """Near and far genotypes: equal networks and only those have one canonical form."""
    space, rng = shipped(name), np.random.default_rng(1)
    population = space.sample(40, rng)
    for _ in range(4):
        population = np.concatenate([population, space.mutate(population[-40:], rng)])
    canonical = space.canonical(population)
    assert (space.canonical(canonical) == canonical).all()
    networks = [space.decode(genotype) for genotype in population]
    assert networks == [space.decode(genotype) for genotype in canonical]
    assert len(set(networks)) == len(np.unique(canonical, axis=0))


@pytest.mark.parametrize("space", ["attentive", "mcunet", "mobiledets", "mobilenetv3", "mobilenetv4", "ofa-mbv3"])
def test_references_are_networks_that_a_config_holds(space: str) -> None:
    for name in shipped(space).references:
        network = reference(space, name)
        assert parse_config(to_config(network), Path(name)).architecture == network


@pytest.mark.parametrize("space", ["attentive", "mcunet"])
def test_the_largest_below_a_bound_is_proven(space: str) -> None:
    """Over every resolution and multiplier at once."""
    chosen = shipped(space)
    macs, size = counts.macs(chosen), counts.params(chosen)
    first = chosen.encode(list(chosen.references.values())[:1])
    found = solve(chosen, size, {"macs": macs}, {"macs": float(macs(first)[0])}, work=WORK // 10)
    assert found.value >= size(first)[0]
    assert found.upper_bound < 1.01 * found.value
    assert chosen.decode(found.genotype).macs <= macs(first)[0]


@pytest.mark.parametrize(
    ("space", "name", "archdef", "macs"),
    [
        ("fbnet", "fbnet-a", "fbnet-a", 249.4e6),
        ("fbnet", "fbnet-b", "fbnet-b", 306.2e6),
        ("fbnet", "fbnet-c", "fbnet-c", 383.0e6),
        ("single-path", "single-path-nas", "single-path-nas", 333.5e6),
        ("mobilenetv3", "mobilenetv3-small", "mobilenetv3-small-1.0", 56.5e6),
        ("mobilenetv3", "mobilenetv3-large", "mobilenetv3-large-1.0", 216.6e6),
    ],
)
def test_published_networks_decode_to_their_layers_and_macs(space: str, name: str, archdef: str, macs: float) -> None:
    network = reference(space, name)
    assert network.layers == read_archdef(ARCHDEFS / f"{archdef}.json").layers
    assert network.macs == pytest.approx(macs, rel=0.01)


@pytest.mark.parametrize(
    ("space", "name", "macs", "params"),
    [  # millions, with the digits that are published; "" where it is not
        ("ofa-mbv3", "note8-31ms", "101", "4.6"),
        ("ofa-mbv3", "note8-22ms", "67", "4.3"),
        ("ofa-mbv3", "largest-w10", "", "7.7"),
        *(
            ("attentive", f"attentive-a{n}", macs, "")
            for n, macs in enumerate(("203", "279", "317", "357", "444", "491", "709"))
        ),
        ("mobilenetv4", "mobilenetv4-conv-small", "186.005568", "3.774024"),
        ("mobilenetv4", "mobilenetv4-conv-medium", "", "9.715512"),
        ("mcunet", "mcunet-320kb", "81.8", "0.74"),
        ("mcunet", "mcunet-256kb", "67.3", "0.73"),
        ("mcunet", "mcunet-512kb", "125.9", "1.73"),
        ("mcunet", "mcunet-10fps", "6.4", "0.75"),
        ("mcunet", "mcunet-5fps", "12.8", "0.64"),
        ("mcunet", "proxyless-w030", "38.3", "0.754280"),
        ("mcunet", "near-proxyless-w025", "", "0.569600"),
    ],
)
def test_published_networks_have_their_published_size(space: str, name: str, macs: str, params: str) -> None:
    network = reference(space, name)
    for count, published in ((network.macs, macs), (network.params, params)):
        digits = len(published.partition(".")[2])
        assert not published or f"{count / 1e6:.{digits}f}" == published


@pytest.mark.parametrize(("name", "released"), [("fbnet-a", 244.5e6), ("fbnet-b", 291.1e6), ("fbnet-c", 378.2e6)])
def test_fbnet_differs_from_its_release_by_the_pointwise_of_expansion_1(name: str, released: float) -> None:
    """mobile-vision's README; its blocks of expansion 1 have no first pointwise convolution, ours have."""
    network = reference("fbnet", name)
    extra = sum(
        layer.graph.nodes[0].op.macs(*layer.inputs)
        for layer in network.layers
        if layer.kind == "mbconv" and layer.mid_channels == layer.in_channels
    )
    assert network.macs - extra == pytest.approx(released, abs=0.1e6)


def test_mnasnet_holds_mobilenetv2() -> None:
    network = reference("mnasnet", "mobilenetv2")
    assert network.macs == read_archdef(ARCHDEFS / "mobilenetv2-1.0.json").macs == 300_774_272
    assert network.params == 3_504_872  # as torchvision and timm count it


def test_mobilenetv3_holds_large_and_small_and_what_it_becomes_where_it_is_scaled() -> None:
    assert reference("mobilenetv3", "mobilenetv3-small").params == 2_542_856  # as torchvision and timm count it
    assert reference("mobilenetv3", "mobilenetv3-large").params == 5_483_032
    space = load_space("mobilenetv3", resolution=32, classes=10, strides="drop")
    choices = dict(space.references["mobilenetv3-small"])
    wider = {"stage2": 24, "stage3": 32, "stage4": 48, "stage5": 64, "stage6": 120, "top": 720, "head": 1280}
    network = space.decode(space.encode([choices | {f"{place}.width": width for place, width in wider.items()}])[0])
    assert [layer.out_channels for layer in network.layers[2:4]] == [32, 32]
    assert network.layers[-1].height == 4  # strides of stem and stage 2 are dropped


MOBILEDETS = {
    "cpu": "conv3x2>16 sep3>8 ibn3x2>16*4 ibn3x2>32*8 ibn3>32*4+ ibn3>32*4+ ibn3>32*4+ ibn5x2>72*8 ibn3>72*8+ "
    "ibn5>72*4+ ibn3>72*4+ ibn3>72*8 ibn3>72*8+ ibn3>72*8+ ibn3>72*8+ ibn5x2>104*8 ibn5>104*4+ ibn5>104*4+ "
    "ibn3>104*4+ ibn3>144*8",
    "dsp": "conv3x2>32 sep3>24 fused3x2>32*4 fused3>32*4+ ibn3>32*4+ tucker3>32*.25:.75+ fused3x2>64*8 ibn3>64*4+ "
    "fused3>64*4+ fused3>64*4+ fused3x2>120*8 ibn3>120*4+ ibn3>120*8+ ibn3>120*8+ fused3>144*8 ibn3>144*8+ "
    "ibn3>144*8+ ibn3>144*8+ ibn3x2>160*4 ibn3>160*4+ fused3>160*4+ tucker3>160*.75:.75+ ibn3>240*8",
    "edgetpu": "conv3x2>32 tucker3>16*.25:.75 fused3x2>16*8 fused3>16*4+ fused3>16*8+ fused3>16*4+ fused5x2>40*8 "
    "fused3>40*4+ fused3>40*4+ fused3>40*4+ ibn3x2>72*8 ibn3>72*8+ fused3>72*4+ fused3>72*4+ ibn5>96*8 ibn5>96*8+ "
    "ibn3>96*8+ ibn3>96*8+ ibn5x2>120*8 ibn3>120*8+ ibn5>120*4+ ibn3>120*8+ ibn5>384*8",
    "gpu": "conv3x2>32 tucker3>16*.25:.25 fused3x2>32*8 tucker3>32*.25:.25+ tucker3>32*.25:.25+ tucker3>32*.25:.25+ "
    "fused3x2>64*8 fused3>64*8+ fused3>64*8+ fused3>64*4+ fused3x2>128*8 fused3>128*4+ fused3>128*4+ fused3>128*4+ "
    "fused3>128*8 fused3>128*8+ fused3>128*8+ fused3>128*8+ fused3x2>128*4 fused3>128*4+ fused3>128*4+ fused3>128*4+ "
    "ibn3>384*8",
}
"""The authors' backbones (ssd_mobiledet_feature_extractor.py): kind, kernel, xstride, >width, *expansion or *ratios of
ranks, + where the input is added."""
KINDS = {"conv": "conv", "sep": "sepconv", "ibn": "mbconv", "fused": "fused", "tucker": "tucker"}


@pytest.mark.parametrize("name", MOBILEDETS)
def test_mobiledets_are_the_authors_backbones(name: str) -> None:
    network, width, macs, side = reference("mobiledets", f"mobiledet-{name}"), 3, 0, 320
    layers = MOBILEDETS[name].split()
    assert len(network.layers) == len(layers) + 1
    for layer, text in zip(network.layers, layers, strict=False):
        kind, kernel, stride, out, ratios, plus = re.match(
            r"([a-z]+)(\d)(?:x(\d))?>(\d+)(?:\*([\d.:]+))?(\+)?$", text
        ).groups()  # type: ignore[union-attr]
        k, s, c = int(kernel), int(stride or 1), int(out)
        assert (layer.kind, layer.kernel, layer.stride, layer.out_channels) == (KINDS[kind], k, s, c), text
        assert layer.residual == bool(plus), text
        assert layer.activation == ("hard-swish" if name == "cpu" else "relu6")
        before, side = side**2, -(-side // s)
        after = side**2
        if kind == "tucker":
            wide = zip((width, c), ratios.split(":"), strict=True)
            rank, given = (8 * max(1, int(n * float(ratio) / 8 + 0.5)) for n, ratio in wide)
            macs += before * width * rank + after * k**2 * rank * given + after * given * c
        else:
            mid = width * int(ratios or 1)
            macs += {
                "conv": after * k**2 * width * c,
                "sep": after * (k**2 * width + width * c),
                "ibn": before * width * mid + after * (k**2 * mid + mid * c),
                "fused": after * (k**2 * width * mid + mid * c),
            }[kind]
            macs += 2 * mid * max(8, mid // 4) if name == "cpu" and kind != "conv" else 0  # squeeze-and-excitation
        width = c
    assert network.macs == macs + width * 1000


def test_near_mnasnet_a1_differs_in_the_width_that_is_off_the_grid() -> None:
    published = read_archdef(ARCHDEFS / "mnasnet-a1-1.0.json")
    near = reference("mnasnet", "near-mnasnet-a1")
    widths = [layer.out_channels for layer in near.layers]
    assert [112 if width == 120 else width for width in widths] == [layer.out_channels for layer in published.layers]
    assert [layer.kernel for layer in near.layers] == [layer.kernel for layer in published.layers]


def test_skips_of_plain_convolutions_are_a_choice_in_mnasnet() -> None:
    space = load_space("mnasnet")
    choices = dict(space.references["mobilenetv2"]) | {"block3.block": "conv"}
    layers = space.decode(space.encode([choices])[0]).layers
    assert [layer.residual for layer in layers if layer.kind == "conv"] == [False, False, True, True]  # stem, 3 layers
    without = space.encode([choices | {"block3.residual": False}])
    assert not any(layer.residual for layer in space.decode(without[0]).layers if layer.kind == "conv")


def test_every_searchable_block_of_single_path_is_measured() -> None:
    space, table = load_space("single-path"), load_table("pixel-cpu")
    for slot in space.slots:
        layers = [layer for options in space.combinations(slot) for layer in slot.layers(*options)]
        found = {PROVENANCES[index] for index in table.lookup(layers).provenance}
        assert found == ({"derived"} if slot.name in {"stem.layer1", "head"} else {"measured"}), slot.name
    estimate = table.estimate(reference("single-path", "single-path-nas"))
    assert estimate.latency_ms == pytest.approx(80.44, abs=0.01)  # the source's own sum; 79 ms published
    assert estimate.coverage["measured"] + estimate.coverage["derived"] == pytest.approx(1)


def test_skips_of_single_path_take_a_layer_away_and_are_interchangeable() -> None:
    space = load_space("single-path")
    plain = dict(space.references["single-path-nas"])  # its stage 2 has three layers
    assert len(space.decode(space.encode([plain])[0]).layers) == 23
    moved = plain | {"rest2.layer1.block": "skip", "rest2.layer3.block": plain["rest2.layer1.block"]}
    a, b = space.canonical(space.encode([plain, moved]))
    assert (a == b).all()


@pytest.fixture(scope="module")
def macro(measured: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Genotypes uint8[6561, 8], parameters and FLOPs of the published file."""
    with (measured / "nas_bench_macro" / "nas_bench_macro_cifar10.csv").open() as file:
        rows = list(csv.DictReader(file))
    codes = np.array([list(row["arch"]) for row in rows], dtype=np.uint8)
    return codes, np.array([int(row["params"]) for row in rows]), np.array([int(row["flops"]) for row in rows])


def test_nas_bench_macro_has_the_published_parameters_and_flops(
    macro: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    codes, params, flops = macro
    space = load_space("nas-bench-macro")
    assert (counts.params(space)(codes) == params).all()
    assert (counts.macs(space)(codes) == flops).all()
    for row in np.random.default_rng(0).integers(len(codes), size=50):
        assert space.decode(codes[row]).params == params[row]
    assert len(np.unique(space.canonical(codes), axis=0)) == len(space.enumerate()) == 3969


def test_nas_bench_macro_is_off_the_range_of_a_224_pixel_table() -> None:
    from nas.errors import LatencyMissing
    from nas.tables.table import latency

    with pytest.raises(LatencyMissing, match="224"):
        latency(load_space("nas-bench-macro"), load_table("pixel-cpu"))


SMALL = """
format: nas-space/1
name: small
source: test
input: {resolution: 32}
num_classes: 10
activation: relu
blocks:
  bare: {kind: mbconv, expansion: 1}
  full: {kind: KIND, expansion: 1, expand: always, groups: 2}
stages:
  - {name: stem, block: conv, width: 8}
  - {name: body, block: {choice: [bare, full]}, width: 8}
head: {width: 16}
"""


def test_expansion_1_can_keep_its_expansion_convolution(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.replace("KIND", "mbconv"))
    space = load_space(path)
    bare, full = (space.decode(genotype).layers[1] for genotype in space.enumerate())
    assert (bare.kind, bare.mid_channels, bare.groups) == ("sepconv", 8, 1)
    assert (full.kind, full.mid_channels, full.groups) == ("mbconv", 8, 2)
    assert len(list(full.graph.ops())) == len(list(bare.graph.ops())) + 1


def test_expand_is_of_mbconv(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.replace("KIND", "fused"))
    with pytest.raises(SpaceError, match=r"blocks\.full: `expand` is of mbconv blocks, not of fused"):
        load_space(path)

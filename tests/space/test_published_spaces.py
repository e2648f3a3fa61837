"""The shipped spaces against their papers: sizes, published networks, measured coverage, NAS-Bench-Macro."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nas.blocks.architecture import Architecture
from nas.cost import counts
from nas.errors import SpaceError
from nas.formats.archdef import read_archdef
from nas.space.load import load_space
from nas.system.places import space_names
from nas.tables.rows import PROVENANCES
from nas.tables.table import load_table

ROOT = Path(__file__).resolve().parents[2]
ARCHDEFS = ROOT / "search_spaces" / "networks"


def test_networks_with_attention_have_the_blocks_of_their_papers() -> None:
    """EfficientFormer-L1 in timm has 1,291,284,736 MACs, 448,000 of them of a second classifier; tiny-MOAT-0 0.8 G."""
    former, moat = (reference("hybrid", name) for name in ("efficientformer-l1", "tiny-moat-0"))
    assert former.macs == 1_291_284_736 - 448_000
    assert Counter(layer.kind for layer in former.layers) == {"conv": 1, "poolformer": 14, "mhsa": 1, "head": 1}
    stem = 112**2 * 9 * 32**2  # the second convolution
    assert round((moat.macs + stem) / 1e8) == 8
    assert Counter(layer.kind for layer in moat.layers) == {"conv": 1, "moat": 14, "head": 1}


def reference(space: str, name: str) -> Architecture:
    loaded = load_space(space)
    return loaded.decode(loaded.encode([loaded.references[name]])[0])


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("fbnet", 9**22 * 2),  # table 1: 22 layers of nine candidates; two widths of the head
        ("single-path", 4**5 * 5**15),  # five stages of four layers, all but the first may be skipped
        ("mnasnet", (4 * 2 * 2 * 2 * 3 * 3) ** 5 * (4 * 2 * 2 * 2 * 3 * 2) ** 2),  # two blocks have one layer or two
        ("nas-bench-macro", 3**8),
        # seven widths, four depths; kernels and expansions of 15 layers; SE of five stages, activations of three
        ("mobilenetv3", (3 * 4 * 5**4 * 2) * 3**4 * 2**15 * (3 * 4**3 * 3**11) * 2**5 * 2**3),
        # five widths, four depths and expansions; blocks of two stages and eleven layers; windows of one stage
        ("hybrid", 2**5 * (3 * 3 * 4 * 4) * 2**4 * 4**2 * 5**7 * 7**4 * 2),
    ],
)
def test_sizes_are_those_of_the_papers(name: str, size: int) -> None:
    assert load_space(name).size == size


@pytest.mark.parametrize("name", space_names())
def test_every_space_names_its_source_and_decodes(name: str) -> None:
    space = load_space(name)
    assert "arXiv:" in space.source
    assert space.references
    for genotype in space.canonical(space.sample(20, np.random.default_rng(0))):
        assert space.decode(genotype).num_classes == (10 if name.startswith("nas-bench") else 1000)
        assert (space.encode([space.choices(genotype)])[0] == genotype).all()


@pytest.mark.parametrize("name", space_names())
def test_canonical_forms_are_networks(name: str) -> None:
    """Near and far genotypes: equal networks and only those have one canonical form."""
    space, rng = load_space(name), np.random.default_rng(1)
    population = space.sample(40, rng)
    for _ in range(4):
        population = np.concatenate([population, space.mutate(population[-40:], rng)])
    canonical = space.canonical(population)
    assert (space.canonical(canonical) == canonical).all()
    networks = [space.decode(genotype) for genotype in population]
    assert networks == [space.decode(genotype) for genotype in canonical]
    assert len(set(networks)) == len(np.unique(canonical, axis=0))


@pytest.mark.parametrize(
    ("space", "name", "archdef", "macs"),
    [
        ("fbnet", "fbnet-a", "fbnet-a", 249.4e6),
        ("fbnet", "fbnet-b", "fbnet-b", 306.2e6),
        ("fbnet", "fbnet-c", "fbnet-c", 383.0e6),
        ("single-path", "single-path-nas", "single-path-nas", 333.5e6),
        ("mobilenetv3", "mobilenetv3-small", "mobilenetv3-small-1.0", 56.5e6),
    ],
)
def test_published_networks_decode_to_their_layers_and_macs(space: str, name: str, archdef: str, macs: float) -> None:
    network = reference(space, name)
    assert network.layers == read_archdef(ARCHDEFS / f"{archdef}.json").layers
    assert network.macs == pytest.approx(macs, rel=0.01)


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


def test_mobilenetv3_holds_small_and_what_it_becomes_where_it_is_scaled() -> None:
    assert reference("mobilenetv3", "mobilenetv3-small").params == 2_542_856  # as torchvision and timm count it
    space = load_space("mobilenetv3", resolution=32, classes=10, strides="drop")
    choices = dict(space.references["mobilenetv3-small"])
    wider = {"stage1": 24, "stage2": 32, "stage3": 48, "stage4": 64, "stage5": 120, "top": 720, "head": 1280}
    network = space.decode(space.encode([choices | {f"{place}.width": width for place, width in wider.items()}])[0])
    assert [layer.out_channels for layer in network.layers[2:4]] == [32, 32]
    assert network.layers[-1].height == 4  # strides of stem and stage 1 are dropped


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

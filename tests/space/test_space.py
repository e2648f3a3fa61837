"""Spaces as arrays: encode, decode, sample, mutate, crossover, canonical, enumerate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import SpaceError
from nas.space.load import load_space
from nas.space.space import Decision, Space

CHOICES = """
format: nas-space/1
name: tiny
source: test
input: {resolution: {choice: [32, 48]}}
num_classes: 10
activation: {choice: [relu, hard-swish]}
blocks:
  k3_e3: {kind: mbconv, kernel: 3, expansion: 3}
  skip: {kind: identity}
stages:
  - {name: stem, block: conv, width: 8, stride: 2}
  - {name: a, block: {choice: [skip, k3_e3, sepconv], per: layer}, width: {choice: [8, 12]}, stride: 2, depth: 3,
     se: {choice: [0, 0.25]}}
  - {name: b, block: mbconv, width: 16, stride: 1, depth: {choice: [1, 2, 3]}, kernel: {choice: [3, 5], per: layer},
     expansion: {choice: [2, 4]}, residual: {choice: [true, false]}}
head: {width: 24}
references:
  plain: {resolution: 32, activation: relu, a: {width: 8, se: 0, layer1: {block: k3_e3}, layer2: {block: skip},
          layer3: {block: skip}}, b: {depth: 1, expansion: 2, residual: true, layer1: {kernel: 3},
          layer2: {kernel: 3}, layer3: {kernel: 3}}}
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Space:
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(CHOICES)
    return load_space(path)


def test_mobile_is_the_published_space() -> None:
    space = load_space("mobile")
    assert space.size == (3 * 2 * 3 * 2) ** 6 * (4 * 2 * 3 * 2)  # stage 6 has one depth more
    assert [d.name for d in space.decisions[:4]] == ["stage1.depth", "stage1.kernel", "stage1.expansion", "stage1.se"]
    assert space.decisions[20].options == (1, 2, 3, 4)
    assert len(space.layers()) == 1 + 168 + 1  # stem, blocks, head


def test_layers_are_those_of_its_networks_each_once_in_order(tiny: Space) -> None:
    layers = tiny.layers()
    assert len(set(layers)) == len(layers)
    networks = tiny.enumerate()[::7]
    assert {layer for genotype in networks for layer in tiny.decode(genotype).layers} <= set(layers)
    stem, head = ([layer for layer in layers if layer.kind == kind] for kind in ("conv", "head"))
    assert len(stem) == len(head) == 2 * 2  # resolutions, activations
    assert layers == (*stem, *layers[4:-4], *head)
    assert [layer.height for layer in stem] == [32, 32, 48, 48]


def test_references_of_mobile_have_their_published_size() -> None:
    space = load_space("mobile")
    b0 = space.decode(space.encode([space.references["efficientnet-b0"]])[0])
    assert b0.params == 5_288_548  # EfficientNet-B0's own count, arXiv:1905.11946: 5.3 M
    assert b0.macs == pytest.approx(386e6, rel=0.002)  # 0.39 G


@pytest.mark.parametrize("name", ["mobile", "tiny"])
def test_encode_inverts_choices(name: str, tiny: Space) -> None:
    space = load_space(name) if name != "tiny" else tiny
    population = space.sample(50, np.random.default_rng(0))
    assert (space.encode([space.choices(genotype) for genotype in population]) == population).all()


def test_sample_reaches_every_option_evenly() -> None:
    space = load_space("mobile")
    population = space.sample(60_000, np.random.default_rng(1))
    for column, cardinality in enumerate(space.cardinalities):
        counts = np.bincount(population[:, column], minlength=cardinality)
        assert len(counts) == cardinality
        assert np.abs(counts * cardinality / len(population) - 1).max() < 0.05


def test_mutation_changes_exactly_one_decision_to_another_option() -> None:
    space = load_space("mobile")
    parents = space.sample(5_000, np.random.default_rng(2))
    children = space.mutate(parents, np.random.default_rng(3))
    changed = parents != children
    assert (changed.sum(axis=1) == 1).all()
    assert changed.any(axis=0).all()  # every decision is reached
    assert (children < space.cardinalities).all()


def test_crossover_takes_each_decision_from_a_parent() -> None:
    space = load_space("mobile")
    mothers, fathers = (space.sample(1_000, np.random.default_rng(seed)) for seed in (4, 5))
    children = space.crossover(mothers, fathers, np.random.default_rng(6))
    assert ((children == mothers) | (children == fathers)).all()
    assert 0.4 < (children == mothers)[mothers != fathers].mean() < 0.6


def test_choices_of_every_sort_decode(tiny: Space) -> None:
    names = [decision.name for decision in tiny.decisions]
    assert names == [
        "resolution", "activation", "a.width", "a.se", "a.layer1.block", "a.layer2.block", "a.layer3.block",
        "b.depth", "b.expansion", "b.residual", "b.layer1.kernel", "b.layer2.kernel", "b.layer3.kernel",
    ]  # fmt: skip
    network = tiny.decode(tiny.encode([tiny.references["plain"]])[0])
    assert [layer.kind for layer in network.layers] == ["conv", "mbconv", "mbconv", "head"]  # two skips leave no layer
    chosen = dict(tiny.references["plain"]) | {"a.layer1.block": "skip", "a.width": 12, "resolution": 48}
    network = tiny.decode(tiny.encode([chosen])[0])
    assert [layer.kind for layer in network.layers] == [
        "conv",
        "identity",
        "mbconv",
        "head",
    ]  # a skip that changes shape
    assert (network.layers[1].out_channels, network.layers[1].stride, network.layers[1].height) == (12, 2, 24)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_canonical_form_is_stable_and_means_the_same(tiny: Space, seed: int) -> None:
    population = tiny.sample(20, np.random.default_rng(seed))
    canonical = tiny.canonical(population)
    assert (tiny.canonical(canonical) == canonical).all()
    for before, after in zip(population, canonical, strict=True):
        assert tiny.decode(before) == tiny.decode(after)


def test_canonical_form_is_one_for_each_network(tiny: Space) -> None:
    """Equal networks have equal canonical forms, over the whole space with its widths and sizes fixed."""
    everything = tiny.enumerate()
    some = everything[(everything[:, :3] == 0).all(axis=1)]  # resolution 32, relu, width 8
    assert len({tiny.decode(genotype) for genotype in some}) == len(some)


def test_enumerate_counts_nas_bench_macro_like_skips(tmp_path: object) -> None:
    """Three interchangeable candidates at n places: multisets of the non-skips in order, as published."""
    from pathlib import Path

    path = Path(str(tmp_path)) / "macro.yaml"
    path.write_text(
        "format: nas-space/1\nname: macro\nsource: test\ninput: {resolution: 32}\nnum_classes: 10\nactivation: relu\n"
        "blocks:\n  skip: {kind: identity}\n  k3: {kind: mbconv, kernel: 3, expansion: 3}\n"
        "  k5: {kind: mbconv, kernel: 5, expansion: 6}\nstages:\n"
        "  - {name: stem, block: conv, width: 8}\n"
        + "".join(
            f"  - {{name: s{i}, block: {{choice: [skip, k3, k5], per: layer}}, width: {8 * 2**i}, stride: 2, "
            f"depth: {n}}}\n"
            for i, n in enumerate((2, 3, 3), 1)
        )
        + "head: {width: 64}\n"
    )
    space = load_space(path)
    assert space.size == 3**8
    assert len(space.enumerate()) == 3 * 3 * (3 * 7) * (3 * 7)  # NAS-Bench-Macro: 3,969 distinct networks


@pytest.mark.parametrize(
    ("choices", "part"),
    [
        ({"stage1.depth": 9}, "one of 1, 2, 3"),
        ({"stage1.depht": 1}, "has no decision 'stage1.depht'"),
        ({}, "`stage1.depth` is missing"),
        ({"stage1.depth": True}, "got True"),
    ],
)
def test_encode_says_what_is_wrong(choices: dict[str, int], part: str) -> None:
    with pytest.raises(SpaceError, match=part):
        load_space("mobile").encode([choices])


@pytest.mark.parametrize(
    "population",
    [np.zeros((2, 28)), np.zeros(28, np.uint8), np.zeros((2, 27), np.uint8), np.full((1, 28), 7, np.uint8)],
)
def test_a_population_has_one_shape_and_type(population: np.ndarray) -> None:
    with pytest.raises(SpaceError):
        load_space("mobile").check(population)


def test_large_spaces_are_not_enumerated() -> None:
    with pytest.raises(SpaceError, match="Sample instead"):
        load_space("mobile").enumerate()


def test_a_space_built_in_code_has_a_fingerprint_of_its_meaning(tiny: Space) -> None:
    from dataclasses import replace

    assert replace(tiny, name="other", references={}).fingerprint == tiny.fingerprint
    decisions = (*tiny.decisions[:-1], Decision("b.layer3.kernel", (5, 3)))
    assert replace(tiny, decisions=decisions, references={}).fingerprint != tiny.fingerprint

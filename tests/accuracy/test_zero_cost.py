"""`--accuracy zero-cost`: the proxies against arithmetic, and scores that depend on the genotype alone."""

import json
import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from nas.accuracy import proxies
from nas.accuracy.make import make_evaluator
from nas.accuracy.zero_cost import COUNTED, DEFAULT, UNTRAINED, ZeroCost, normal_scores
from nas.blocks import Architecture, Layer
from nas.cli import cli
from nas.errors import NasError
from nas.space.load import load_space
from nas.space.space import Space

TINY = """
format: nas-space/1
name: tiny
source: a test
input: {resolution: 16}
num_classes: 10
activation: relu
stages:
  - {name: stem, block: conv, width: 4, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: 6, stride: 2, depth: {choice: [1, 2, 3]}, kernel: {choice: [3, 5]},
     expansion: {choice: [1, 2, 3, 4]}, se: {choice: [0, 0.25]}}
head: {width: 16}
references:
  plain: {body: {depth: 1, kernel: 3, expansion: 2, se: 0}}
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def tiny(tmp_path: Path) -> Space:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return load_space(path)


def conv(in_channels: int, out_channels: int, size: int, **options: object) -> Layer:
    shape = {"in_channels": in_channels, "out_channels": out_channels, "height": size, "width": size}
    return Layer(kind="conv", **shape, **options)


def untrained(*layers: Layer, pictures: int = 4, size: int = 8) -> proxies.Untrained:
    first = layers[0]
    return proxies.Untrained(Architecture(first.in_channels, size, size, layers), (size, size), pictures, seed=0)


# --- proxies ---


def test_naswot_is_the_log_determinant_of_agreeing_units() -> None:
    network = untrained(conv(3, 5, 8), conv(5, 7, 8, activation="hard-swish"))
    codes = network.passed[0]
    assert [tuple(code.shape) for code in codes] == [(4, 5 * 64), (4, 7 * 64)]
    both = torch.cat(codes, dim=1)
    kernel = np.array([[float((a == b).sum()) for a in both] for b in both])  # units minus Hamming distance
    assert proxies.naswot(network) == pytest.approx(np.linalg.slogdet(kernel)[1])
    assert kernel[0, 0] == 12 * 64


def test_synflow_of_a_chain_is_its_flow_times_its_layers() -> None:
    network = untrained(conv(3, 5, 8), conv(5, 2, 8), conv(2, 2, 8, activation="relu6"))
    flow = np.ones(3)
    for weight in network.weights:
        flow = np.abs(weight.numpy()[:, :, 0, 0]).astype(np.float64) @ flow
    # each layer's θ ∂R/∂θ sums to R, as R is linear in each; 64 pixels
    assert proxies.synflow(network) == pytest.approx(math.log(3 * 64 * flow.sum()), rel=1e-6)


def test_synflow_outlives_relu6_and_huge_flows() -> None:
    layers = [conv(3, 64, 8, activation="relu6")] + [conv(64, 64, 8, kernel=3, activation="relu6")] * 40
    assert 100 < proxies.synflow(untrained(*layers)) < 300


def test_zico_is_the_log_of_the_mean_gradient_over_its_deviation() -> None:
    network = untrained(Layer(kind="head", in_channels=3, mid_channels=5, out_channels=10, height=8, width=8))
    assert all(not weight.requires_grad for weight in network.weights)
    value = proxies.zico(network)
    gradients = []
    for start in (0, 1):
        module = network.network.requires_grad_(True)
        module.zero_grad()
        nn.functional.cross_entropy(module(network.inputs[start::2]), network.labels[start::2]).backward()
        gradients.append([weight.grad.double().numpy() for weight in network.weights])
    expected = 0.0
    for pair in zip(*gradients, strict=True):
        mean, spread = np.abs(pair).mean(axis=0), np.std(pair, axis=0)
        expected += math.log((mean[spread > 0] / spread[spread > 0]).sum())
    assert value == pytest.approx(expected, rel=1e-3)


def test_entropy_of_features() -> None:
    network = untrained(conv(3, 1, 8), conv(1, 4, 8, activation="none"))
    assert network.entropies == pytest.approx([0, 0], abs=1e-4)  # one channel, and multiples of it: one axis
    assert proxies.expressivity(network) == pytest.approx(network.entropies.sum())
    assert proxies.progressivity(network) == pytest.approx(network.entropies[1] - network.entropies[0])
    assert np.isnan(proxies.progressivity(untrained(conv(3, 4, 8))))


def test_trainability_is_best_for_an_orthogonal_block() -> None:
    network = untrained(conv(3, 4, 8, activation="none"), conv(4, 4, 8, activation="none"), pictures=64)
    block = network.network[1][0]
    block.norm = nn.Identity()
    with torch.no_grad():
        block.conv.weight.copy_(torch.linalg.qr(torch.randn(4, 4, generator=network.generator))[0][:, :, None, None])
    assert proxies.trainability(network) == pytest.approx(0, abs=0.01)  # s = 1: 2 - 1 - 1
    other = untrained(conv(3, 4, 8, activation="none"), conv(4, 4, 8, activation="none"), pictures=64)
    other.network[1][0].norm = nn.Identity()
    with torch.no_grad():
        other.network[1][0].conv.weight.copy_(2 * block.conv.weight)
    assert proxies.trainability(other) == pytest.approx(2 - 2 - 1 / 2, abs=0.1)  # s = 2


def test_a_stride_and_odd_sizes_are_no_hindrance() -> None:
    layers = [conv(3, 4, 9), Layer(kind="identity", in_channels=4, out_channels=4, height=9, width=9)]
    layers.append(conv(4, 6, 9, kernel=3, stride=2))
    values = proxies.measure(Architecture(3, 9, 9, tuple(layers)), UNTRAINED, shape=(9, 9), pictures=4, seed=0)
    assert np.isfinite(values).all()


def test_what_is_not_defined_is_nan() -> None:
    silent = Architecture(3, 8, 8, (conv(3, 4, 8, activation="none"),))  # no code, no second block
    values = dict(zip(UNTRAINED, proxies.measure(silent, UNTRAINED, shape=(8, 8), pictures=4, seed=0), strict=True))
    assert {name for name, value in values.items() if np.isnan(value)} == {"naswot", "progressivity", "trainability"}


def test_measuring_leaves_torch_as_it_was() -> None:
    architecture = Architecture(3, 8, 8, (conv(3, 4, 8), conv(4, 4, 8)))
    torch.manual_seed(1)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.no_grad():
        first = proxies.measure(architecture, UNTRAINED, shape=(8, 8), pictures=4, seed=3)
    torch.manual_seed(2)
    assert (first == proxies.measure(architecture, UNTRAINED, shape=(8, 8), pictures=4, seed=3)).all()
    assert (first != proxies.measure(architecture, UNTRAINED, shape=(8, 8), pictures=4, seed=4)).any()
    torch.manual_seed(1)
    assert (torch.get_rng_state() == state).all()
    assert torch.get_num_threads() == threads


def test_digits_are_of_all_classes_and_standardised() -> None:
    images, labels = proxies.digits(20, 12, 16)
    assert images.shape == (20, 1, 12, 16)
    assert sorted(labels.tolist()) == sorted([*range(10)] * 2)
    assert float(images.mean()) == pytest.approx(0, abs=1e-5)
    assert float(images.std()) == pytest.approx(1, abs=1e-5)


# --- scale ---


def test_normal_scores_of_a_sample_of_four() -> None:
    sample = np.array([3.0, 1.0, 2.0, 4.0])
    quantile = NormalDist().inv_cdf
    z = [quantile(1 / 8), quantile(3 / 8), quantile(5 / 8), quantile(7 / 8)]
    assert normal_scores(sample, sample) == pytest.approx([z[2], z[0], z[1], z[3]])
    assert normal_scores(np.array([2.5, 7.0, 0.0]), sample) == pytest.approx(
        [0, z[3] + 3 * (z[3] - z[0]) / 3, z[0] - (z[3] - z[0]) / 3]
    )
    assert normal_scores(np.array([np.nan, -1e9]), sample).tolist() == [-5, -5]


def test_normal_scores_of_odd_samples() -> None:
    values = np.array([1.0, 2.0, np.nan])
    assert normal_scores(values, np.array([np.nan, np.nan])).tolist() == [0, 0, -5]
    assert normal_scores(values, np.array([1.0, 1.0])).tolist() == [0, 1, -5]  # one knot: a slope of 1
    equal = normal_scores(np.array([1.0, 2.0]), np.array([1.0, 1.0, 2.0, np.nan]))
    assert equal == pytest.approx([NormalDist().inv_cdf(1 / 3), NormalDist().inv_cdf(5 / 6)])


# --- evaluator ---


def test_a_score_depends_on_the_genotype_alone(tiny: Space) -> None:
    population = tiny.sample(6, np.random.default_rng(0))
    scores = make_evaluator("zero-cost", tiny)(population)
    assert scores.dtype == np.float64
    assert scores.shape == (6,)
    other = make_evaluator("zero-cost", tiny)
    assert (other(population[4:]) == scores[4:]).all()
    assert (other(population[::-1]) == scores[::-1]).all()
    assert other(population[:0]).shape == (0,)
    assert len(set(other.uncertainty(population))) == 1
    assert 0 < other.uncertainty(population)[0] < 20


def test_genotypes_of_one_network_have_one_score() -> None:
    space = load_space("nas-bench-macro")
    evaluator = ZeroCost(space, ("naswot", "macs"))
    population = np.array([[1, 2, 0, 1, 0, 0, 1, 0], [1, 2, 0, 0, 1, 0, 0, 1]], dtype=np.uint8)  # skips moved
    first, second = evaluator.raw(population)
    assert (first == second).all()
    assert len(evaluator._rows) == 1


def test_the_sample_is_kept(tiny: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    population = tiny.sample(2, np.random.default_rng(0))
    scores = make_evaluator("zero-cost", tiny)(population)
    (kept,) = (tmp_path / "cache/nas/zero-cost").iterdir()
    measured: list[np.ndarray] = []
    measure = ZeroCost._measure
    monkeypatch.setattr(ZeroCost, "_measure", lambda *a: measured.extend(a[1]) or measure(*a))
    assert (make_evaluator("zero-cost", tiny)(population) == scores).all()
    assert len(measured) == 2
    kept.write_bytes(kept.read_bytes()[:-9])  # cut short
    assert (make_evaluator("zero-cost", tiny)(population) == scores).all()
    assert len(measured) > 20


def test_a_cache_that_cannot_be_written_is_done_without(tiny: Space, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert np.isfinite(make_evaluator("zero-cost:macs", tiny)(tiny.sample(2, np.random.default_rng(0)))).all()


def test_counts_alone_rank_as_the_counts_do(tiny: Space) -> None:
    population = tiny.enumerate()
    scores = make_evaluator("zero-cost:macs", tiny)(population)
    macs = [tiny.decode(genotype).macs for genotype in population]
    assert (np.argsort(scores, kind="stable") == np.argsort(macs, kind="stable")).all()


def test_a_name_given_twice_counts_twice(tiny: Space) -> None:
    population = tiny.sample(3, np.random.default_rng(1))
    macs, params = (make_evaluator(f"zero-cost:{name}", tiny)(population) for name in COUNTED)
    assert make_evaluator("zero-cost:macs,params,macs", tiny)(population) == pytest.approx((2 * macs + params) / 3)


def test_what_it_says_of_itself(tiny: Space) -> None:
    evaluator = make_evaluator("zero-cost", tiny)
    assert (evaluator.label, evaluator.unit) == ("zero-cost score", "")
    assert "NASWOT, synflow, ZiCo, AZ-NAS trainability, log MACs," in evaluator.provenance
    assert ": NASWOT ×2, log MACs," in make_evaluator("zero-cost:naswot,macs,naswot", tiny).provenance
    assert evaluator.fingerprint == ZeroCost(tiny, DEFAULT).fingerprint
    assert evaluator.fingerprint != ZeroCost(tiny, ("naswot",)).fingerprint
    assert evaluator.fingerprint != ZeroCost(load_space("mobile")).fingerprint
    assert set(UNTRAINED) == set(proxies.PROXIES)


@pytest.mark.parametrize("argument", ["snip", "naswot,", ",", "naswot macs"])
def test_an_unknown_proxy_is_refused(argument: str, tiny: Space) -> None:
    with pytest.raises(NasError, match=r"No zero-cost proxy named .*; known: naswot, synflow"):
        make_evaluator(f"zero-cost:{argument}", tiny)


def test_large_pictures_are_scaled_down_alongside(tmp_path: Path) -> None:
    path = tmp_path / "sizes.yaml"
    sizes = TINY.replace("{resolution: 16}", "{resolution: {choice: [96, 128]}}")
    path.write_text(sizes[: sizes.index("references:")])
    assert ZeroCost(load_space(path))._scale == 0.5  # 128 px are 64, 96 px are 48
    assert ZeroCost(load_space("nas-bench-macro"))._scale == 1


def test_a_search_of_a_space_without_a_predictor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.accuracy.zero_cost.SAMPLE", 3)
    monkeypatch.setattr("nas.accuracy.zero_cost.REPEATED", 1)
    fronts = []
    for out in (tmp_path / "first", tmp_path / "second"):
        arguments = ["search", "--space", "single-path", "--target", "pixel-cpu", "--latency", "79ms", "--json"]
        arguments += ["--accuracy", "zero-cost:naswot,macs", "--budget", "3", "--out", str(out)]
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["winner"]["latency_ms"] <= 79
        fronts.append((out / "front.csv").read_text())
    assert fronts[0] == fronts[1]

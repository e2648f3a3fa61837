"""The block model: features by hand, fitting, the range it answers in, and its place in a table's header."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml

from nas.blocks import Layer
from nas.errors import LatencyMissing, TableError
from nas.tables.model import BANDS, FEATURES, BlockModel, Range, features, fit_coefficients

STEM = Layer(kind="conv", in_channels=3, out_channels=16, kernel=3, stride=2, height=224, width=224)
BLOCK = Layer(
    kind="mbconv", in_channels=16, out_channels=16, mid_channels=96, kernel=3, residual=True, height=56, width=56
)
HEAD = Layer(kind="head", in_channels=320, out_channels=1000, mid_channels=1280, height=7, width=7)


@pytest.fixture
def model() -> BlockModel:
    return BlockModel(
        coefficients={name: index / 8 for index, name in enumerate(FEATURES)},
        range=Range(
            kinds=("conv", "sepconv", "mbconv", "identity", "head"),
            resolutions=(224,),
            depthwise_kernels=(3, 5, 7),
            dense_kernels=(1, 3),
            strides=(1, 2),
            groups=(1,),
            activations=("relu",),
            channels=(8, 512),
            mid_channels=(8, 2048),
            classes=(1, 4096),
            fitted_channels=(16, 320),
            fitted_mid_channels=(48, 1152),
        ),
        band_pct={"block": 3.0, "expansion1": 12.0, "kernel7": 4.0, "gate": 4.0, "width": 4.0, "plain": 4.0},
    )


def work(layer: Layer) -> dict[str, float]:
    """Features that are not zero, in units rather than millions."""
    units = features([layer])[0] * [1 if name in {"gates", "operators"} else 1e6 for name in FEATURES]
    return {name: round(value, 6) for name, value in zip(FEATURES, units, strict=True) if value}


def test_groups_are_work_of_their_own_which_a_model_may_not_know(model: BlockModel) -> None:
    grouped = BLOCK.changed(groups=2)
    names = (*FEATURES, "grouped")
    values, none = 1e6 * features([grouped, BLOCK], names)[:, -1]
    assert values == pytest.approx(2 * 56 * 56 * (16 + 96))  # in and out of both pointwise convolutions
    assert none == 0
    assert model.predict([grouped])[0] == features([grouped])[0] @ list(model.coefficients.values())


def test_what_only_some_models_know_is_nothing_to_others(model: BlockModel) -> None:
    swish = BLOCK.changed(activation="hard-swish")
    names = (*FEATURES, "activated", "heads")
    extra = features([swish, BLOCK, HEAD], names)[:, -2:]
    assert extra.tolist() == [[2 * 56 * 56 * 96 * 1e-6, 0], [0, 0], [0, 1]]  # expansion and depthwise part; a head
    assert model.predict([swish, HEAD]).tolist() == model.predict([BLOCK, HEAD]).tolist()
    whole = replace(model, coefficients={**model.coefficients, "activated": 2.0, "heads": 3.0})
    more = whole.predict([swish, BLOCK, HEAD]) - model.predict([swish, BLOCK, HEAD])
    assert more == pytest.approx([2 * extra[0, 0], 0, 3])


def test_a_device_of_8_bits_also_answers_for_layers_in_float32(model: BlockModel) -> None:
    quantised = replace(model, range=replace(model.range, precisions=("float32", "int8")))
    layers = [BLOCK, BLOCK.changed(precision="int8")]
    assert [quantised.covers(layer) for layer in layers] == [None, None]
    assert quantised.predict(layers)[0] == quantised.predict(layers)[1]
    assert "`precision`" in str(model.covers(layers[1]))
    assert "precisions" not in model.to_header()["range"]
    assert BlockModel.from_header(quantised.to_header()) == quantised


def test_work_of_an_inverted_bottleneck() -> None:
    layer = Layer(
        kind="mbconv",
        in_channels=2,
        out_channels=3,
        mid_channels=4,
        kernel=3,
        stride=2,
        se_channels=1,
        height=5,
        width=3,
    )
    assert work(layer) == {
        "dense": 15 * 2 * 4 + 6 * 4 * 3,  # 5 x 3 inputs are expanded, 3 x 2 outputs projected
        "depthwise3": 4 * (2 + 3 + 2) * (2 + 2),  # taps on the picture: three outputs down, two across
        "traffic": 15 * (2 + 4) + 4 * (15 + 6) + 6 * (4 + 3),
        "weights": 2 * 4 + 4 * 9 + 4 * 3,
        "linear": 2 * 4 * 1,
        "gated": 4 * 6,
        "gates": 1,
        "operators": 3,
    }


def test_work_of_stem_and_head() -> None:
    stem = Layer(kind="conv", in_channels=3, out_channels=2, kernel=3, stride=2, height=4, width=4)
    head = Layer(kind="head", in_channels=2, out_channels=5, mid_channels=3, height=2, width=2)
    assert work(stem) == {"dense": 4 * 27 * 2, "traffic": 4 * 27 + 4 * 2, "weights": 27 * 2, "operators": 1}
    assert work(head) == {
        "dense": 4 * 2 * 3,
        "traffic": 4 * (2 + 3) + 4 * 3,  # the convolution, then pooling
        "weights": 2 * 3,
        "linear": 3 * 5,
        "operators": 3,
    }


def test_a_skip_is_no_work() -> None:
    assert work(Layer(kind="identity", in_channels=8, out_channels=8, height=7, width=7)) == {}


@pytest.mark.parametrize(("kernel", "taps"), [(3, 7), (5, 9), (7, 9)])
def test_taps_on_padding_are_not_counted(kernel: int, taps: int) -> None:
    layer = Layer(kind="sepconv", in_channels=1, out_channels=1, mid_channels=1, kernel=kernel, height=3, width=3)
    layer = layer.changed(in_channels=2, mid_channels=2)
    assert work(layer)[f"depthwise{kernel}"] == 2 * taps**2


def test_a_depthwise_kernel_without_a_feature_is_an_error() -> None:
    with pytest.raises(LatencyMissing, match="got 9"):
        features([BLOCK.changed(kernel=9)])


def test_no_layers_give_an_empty_array() -> None:
    assert features([]).shape == (0, len(FEATURES))


def test_prediction_is_the_sum_of_work_times_cost(model: BlockModel) -> None:
    costs = np.array([model.coefficients[name] for name in FEATURES])
    assert model.predict([STEM, BLOCK]) == pytest.approx(features([STEM, BLOCK]) @ costs)


def test_fit_recovers_costs_and_is_never_negative() -> None:
    rng = np.random.default_rng(0)
    design = rng.random((40, len(FEATURES)))
    truth = np.linspace(0, 2, len(FEATURES))
    found = fit_coefficients(design, design @ truth, given={"gates": float(truth[FEATURES.index("gates")])})
    assert [found[name] for name in FEATURES] == pytest.approx(truth, abs=1e-9)
    noise = fit_coefficients(design, rng.random(40) + 0.1, given={})
    assert min(noise.values()) >= 0


@pytest.mark.parametrize("layer", [STEM, BLOCK, HEAD, BLOCK.changed(kernel=7, se_channels=4)])
def test_inside_the_range(model: BlockModel, layer: Layer) -> None:
    assert model.covers(layer) is None


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (BLOCK.changed(height=48, width=48), "`height` .* 224 px network .* got 48"),
        (BLOCK.changed(kernel=9), "`kernel` of a mbconv layer .* one of 3, 5, 7, got 9"),
        (BLOCK.changed(activation="hard-swish"), "`activation` .* one of relu, got hard-swish"),
        (BLOCK.changed(in_channels=4, out_channels=4), r"lies in 8\.\.512, got 4"),
        (BLOCK.changed(mid_channels=4096), r"`mid_channels` .* lies in 8\.\.2048, got 4096"),
        (BLOCK.changed(groups=2), "`groups` .* got 2"),
        (BLOCK.changed(kind="fused"), "`kind` of a fused layer .* one of conv, sepconv"),
        (STEM.changed(kernel=5), "`kernel` of a conv layer .* one of 1, 3, got 5"),
        (HEAD.changed(out_channels=5000), r"`out_channels` of a head layer .* lies in 1\.\.4096, got 5000"),
    ],
)
def test_outside_the_range_the_reason_names_it(model: BlockModel, layer: Layer, reason: str) -> None:
    refusal = model.covers(layer)
    assert refusal is not None
    assert "\n" not in refusal
    assert re.search(reason, refusal)


def test_bands_add_as_squares(model: BlockModel) -> None:
    wide_seven = BLOCK.changed(in_channels=400, out_channels=400, mid_channels=1200, kernel=7)
    sepconv = BLOCK.changed(kind="sepconv", mid_channels=16)
    assert model.band([BLOCK, BLOCK.changed(se_channels=4), sepconv, STEM, wide_seven]) == pytest.approx(
        [3, 5, 153**0.5, 5, (9 + 16 + 16) ** 0.5]
    )


def test_header_round_trip(model: BlockModel) -> None:
    entry = yaml.safe_load(yaml.safe_dump(model.to_header()))
    again = BlockModel.from_header(entry)
    assert again == model
    assert again.predict([BLOCK]) == model.predict([BLOCK])


@pytest.mark.parametrize(
    ("part", "name", "value", "rule"),
    [
        ("coefficients", "dense", -0.1, "coefficients.dense is a finite number of at least 0, got -0.1"),
        ("coefficients", "dense", float("inf"), "finite"),
        ("coefficients", "dense", True, "finite number"),
        ("coefficients", "Magic!", 1.0, "coefficients has a number for each feature, named in small letters"),
        ("band_pct", "block", "7", "band_pct.block is a finite number"),
        ("range", "resolutions", [], "range.resolutions is a list of whole numbers"),
        ("range", "kinds", [1], "range.kinds is a list of words"),
        ("range", "channels", [9, 8], "range.channels is a least and a most"),
        ("range", "colour", [1], "range has exactly kinds"),
    ],
)
def test_a_broken_header_is_refused(model: BlockModel, part: str, name: str, value: Any, rule: str) -> None:
    entry = model.to_header()
    entry[part][name] = value
    with pytest.raises(TableError, match=rule):
        BlockModel.from_header(entry, "table.yaml")


def test_every_part_of_the_band_is_said(model: BlockModel) -> None:
    assert set(model.band_pct) == set(BANDS)

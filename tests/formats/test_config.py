"""config.json: complete, strict, and the same after a round trip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from networks import architectures

from nas.blocks import KEY_COLUMNS, Architecture, Layer
from nas.errors import ArchitectureError
from nas.formats.config import Config, Pictures, read_config, to_config

NETWORK = Architecture(
    3,
    16,
    12,
    (
        Layer(kind="conv", in_channels=3, out_channels=8, kernel=3, stride=2, height=16, width=12),
        Layer(
            kind="mbconv", in_channels=8, out_channels=8, mid_channels=16, kernel=3, residual=True, height=8, width=6
        ),
        Layer(kind="head", in_channels=8, out_channels=5, mid_channels=8, height=8, width=6),
    ),
)


def good() -> dict[str, Any]:
    return to_config(
        NETWORK, decisions={"stage1.kernel": 3, "stage1.se": 0.25}, space="mobile", metrics={"a": [1, None]}
    )


def write(folder: Path, document: object) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(document))
    return file


def test_every_field_of_a_layer_is_written() -> None:
    document = good()
    assert all(tuple(row) == KEY_COLUMNS for row in document["layers"])
    assert {*KEY_COLUMNS} >= {name for layer in NETWORK.layers for name in layer.settings}


@given(architectures())
@settings(max_examples=50, deadline=None)
def test_config_to_architecture_to_config(tmp_path_factory: pytest.TempPathFactory, architecture: Architecture) -> None:
    document = to_config(architecture, weights="trained")
    config = read_config(write(tmp_path_factory.mktemp("config"), document))
    assert config == Config(architecture, weights="trained")
    assert to_config(config.architecture, weights=config.weights) == document


def test_decisions_keep_their_types(tmp_path: Path) -> None:
    decisions = {"a": 1, "b": 1.0, "c": True, "d": "1", "e": 0.25}
    config = read_config(
        write(tmp_path, to_config(NETWORK, decisions=decisions, space="s", metrics={"x": {"ms": 1.5}}))
    )
    assert config.decisions == decisions
    assert [type(value) for value in config.decisions.values()] == [int, float, bool, str, float]
    assert (config.space, config.metrics, config.weights) == ("s", {"x": {"ms": 1.5}}, "random")


PICTURES = {"mean": [0.5, 0.25, 1], "std": [0.5, 0.25, 1], "classes": ["a", "b", "c", "d", "e"]}


def test_what_pictures_the_weights_are_for(tmp_path: Path) -> None:
    pictures = Pictures((0.5, 0.25, 1.0), (0.5, 0.25, 1.0), tuple("abcde"))
    document = to_config(NETWORK, weights="trained", pictures=pictures)
    assert document["pictures"] == PICTURES
    assert read_config(write(tmp_path, document)) == Config(NETWORK, weights="trained", pictures=pictures)
    assert "pictures" not in good()


def changed(**keys: Any) -> dict[str, Any]:
    return good() | keys


def layer_changed(index: int = 1, **keys: Any) -> dict[str, Any]:
    document = good()
    document["layers"][index] |= keys
    return document


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in good().items() if name != key}


def layer_without(key: str, index: int = 0) -> dict[str, Any]:
    document = good()
    del document["layers"][index][key]
    return document


MALFORMED = {
    "format": (changed(format="nas-architecture/2"), "format: Input should be 'nas-architecture/1'"),
    "unknown key": (changed(comment="mine"), "comment: no such key"),
    "missing key": (without("num_classes"), "num_classes: this key is required. See docs/architectures.md."),
    "missing keys": ({"format": "nas-architecture/1"}, "input, num_classes, layers: these keys are required. See"),
    "missing field": (layer_without("height"), "layers.0.height: this key is required"),
    "missing fields": (
        changed(layers=[{"kind": "conv"}]),
        "layers.0.in_channels, layers.0.out_channels, layers.0.height, layers.0.width: these keys are required. See",
    ),
    "missing width": (layer_without("mid_channels", 1), "layers.1: A mbconv layer needs `mid_channels` of at least 1"),
    "unknown keys": (changed(comment="mine", author="me"), "comment, author: no such keys"),
    "unknown field": (layer_changed(dilation=2), "layers.1: No block has a setting 'dilation'"),
    "true is not 1": (layer_changed(stride=True), "layers.1.stride: Input should be a valid integer, got True"),
    "fraction": (layer_changed(kernel=3.0), "layers.1.kernel: Input should be a valid integer, got 3.0"),
    "text": (layer_changed(kernel="3"), "layers.1.kernel: Input should be a valid integer, got '3'"),
    "too large": (
        layer_changed(mid_channels=65_537),
        "layers.1.mid_channels: Input should be less than or equal to 65536",
    ),
    "negative": (layer_changed(height=-8), "layers.1.height: Input should be greater than or equal to 1, got -8"),
    "even kernel": (layer_changed(kernel=4), "layers.1: `kernel` of a mbconv layer is odd, got 4"),
    "kind": (layer_changed(kind="octave"), "layers.1: `kind` of a layer is one of conv"),
    "activation": (layer_changed(activation="mish"), "layers.1: `activation` is one of relu"),
    "groups": (layer_changed(groups=3), "layers.1: `groups` divides the widths of a convolution, got 3 groups for"),
    "residual": (layer_changed(residual=1), "layers.1.residual: Input should be a valid boolean, got 1"),
    "chain": (layer_changed(height=9), "layers: Layer 1 (mbconv) takes channels × height × width 8×9×6"),
    "input": (changed(input={"channels": 1, "height": 16, "width": 12}), "layers: Layer 0 (conv) takes"),
    "head first": (changed(layers=good()["layers"] + good()["layers"][-1:]), "layers: A head is the last layer"),
    "classes": (changed(num_classes=6), "num_classes: equals `out_channels` of the last layer, 5, got 6"),
    "no layers": (changed(layers=[]), "layers: List should have at least 1 item"),
    "too deep": (changed(layers=good()["layers"][1:2] * 1001), "layers: List should have at most 1000 items"),
    "decisions": (changed(decisions={"a": [1]}), "decisions.a: an option is a number, a text, true or false, got [1]"),
    "weights": (changed(weights="good"), "weights: Input should be 'random', 'supernet' or 'trained', got 'good'"),
    "colours": (changed(pictures=PICTURES | {"mean": [0.5]}), "pictures.mean: has 3 entries here, got 1"),
    "names": (changed(pictures=PICTURES | {"classes": ["a"] * 6}), "pictures.classes: has 5 entries here, got 6"),
    "spread": (
        changed(pictures=PICTURES | {"std": [1, 0, 1]}),
        "pictures.std.1: Input should be greater than 0, got 0",
    ),
    "pictures": (changed(pictures=PICTURES | {"size": 3}), "pictures.size: no such key"),
    "list": ([good()], "a config is a mapping with `format: nas-architecture/1`, got list"),
    "wild key": (changed(**{"x\n" * 1000: 1}), "no such key"),
}


def test_what_is_absent_is_null_and_settings_have_their_defaults(tmp_path: Path) -> None:
    rows = [
        {"kind": "conv", "in_channels": 3, "out_channels": 8, "kernel": 3, "stride": 2, "height": 16, "width": 12},
        {"kind": "head", "in_channels": 8, "out_channels": 5, "mid_channels": 8, "height": 8, "width": 6},
    ]
    needed = {name: good()[name] for name in ("format", "input", "num_classes")}
    network = Architecture(3, 16, 12, (NETWORK.layers[0], NETWORK.layers[2]))
    assert read_config(write(tmp_path, needed | {"layers": rows})) == Config(network)


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_refused_in_one_line(case: str, tmp_path: Path) -> None:
    document, says = MALFORMED[case]
    file = write(tmp_path, document)
    with pytest.raises(ArchitectureError) as caught:
        read_config(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert says in message
    assert "\n" not in message
    assert len(message) < len(str(file)) + 320


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ('{"metrics": NaN}', "numbers are finite, got NaN"),
        ('{"metrics": -1e999}', "numbers are finite, got -1e999"),
        ('{"a": 1, "a": 2}', "keys are unique, got 'a' twice"),
        ("[" * 100_000, "not valid JSON"),
        (json.dumps(good()).replace("[1, null]", '{"a":' * 600 + "1" + "}" * 600), "nested at most 64 deep"),
        ('{"num_classes": 1' + "0" * 5000 + "}", "not valid JSON"),
        ("0" * (5 << 20), "at most 4,194,304 bytes"),
    ],
    ids=lambda value: value[:20],
)
def test_texts_that_are_no_document(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(ArchitectureError) as caught:
        read_config(file)
    assert says in str(caught.value)
    assert len(str(caught.value)) < len(str(file)) + 320


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ArchitectureError, match=r"config\.json: no such file\.$"):
        read_config(tmp_path / "config.json")

"""model.safetensors: read back, and refused in one line where it is anything else."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from networks import architectures
from safetensors.torch import load_file, save_file
from test_config import NETWORK

from nas.blocks import Architecture
from nas.blocks.build import build
from nas.errors import ArchitectureError
from nas.formats.weights import random_weights, weight_shapes
from nas.formats.weights_file import FILE, plain_weights, read_file, read_weights, write_file


@given(architectures())
@settings(max_examples=50, deadline=None)
def test_shapes_are_those_of_the_network(architecture: Architecture) -> None:
    shapes = weight_shapes(architecture)
    assert shapes == {name: array.shape for name, array in random_weights(architecture, 0).items()}
    state = build(architecture).state_dict()
    assert list(shapes.items()) == [(n, tuple(t.shape)) for n, t in state.items() if "num_batches" not in n]
    assert {name: array.shape for name, array in plain_weights(state).items()} == shapes


def test_written_and_read(tmp_path: Path) -> None:
    weights = random_weights(NETWORK, 1)
    (tmp_path / FILE).write_bytes(write_file(weights, "trained"))
    found = read_weights(tmp_path / "config.json", NETWORK)
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name], weights[name]) for name in weights)
    network = build(NETWORK)
    network.load_state_dict(load_file(tmp_path / FILE))  # what model.py says, strictly
    assert torch.equal(network.state_dict()["0.0.conv.weight"], torch.from_numpy(weights["0.0.conv.weight"]))


def test_torchs_own_state_with_its_counters(tmp_path: Path) -> None:
    network = build(NETWORK)
    save_file(network.state_dict(), tmp_path / FILE)
    found = read_file(tmp_path / FILE, NETWORK)
    assert not any("num_batches" in name for name in found)
    assert np.array_equal(found["2.2.linear.bias"], network.state_dict()["2.2.linear.bias"].numpy())


def stored(**changes: Any) -> dict[str, torch.Tensor]:
    state = {name: torch.from_numpy(array) for name, array in random_weights(NETWORK, 1).items()}
    state |= {name.replace("__", "."): tensor for name, tensor in changes.items()}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


def saved(**changes: Any) -> Callable[[Path], None]:
    return lambda path: save_file(stored(**changes), path)


def header(document: object, values: bytes = b"") -> Callable[[Path], None]:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return lambda path: path.write_bytes(struct.pack("<Q", len(text)) + text + values)  # type: ignore[func-returns-value]


def cut(path: Path) -> None:
    path.write_bytes(write_file(random_weights(NETWORK, 1), "trained")[:-100])


def entry(begin: int, end: int) -> dict[str, Any]:
    return {"0.0.conv.weight": {"dtype": "F32", "shape": [8, 3, 3, 3], "data_offsets": [begin, end]}}


HOSTILE = {
    "empty": (lambda path: path.write_bytes(b""), "header too small"),
    "absurd length": (
        lambda path: path.write_bytes(struct.pack("<Q", 1 << 60) + b"{}"),
        "its header has 1,152,921,504,606,846,976 bytes",
    ),
    "long header": (lambda path: path.write_bytes(struct.pack("<Q", 9 << 20) + b" " * (9 << 20)), "at most 8,388,608"),
    "pickle": (lambda path: torch.save({"a": 1}, path), "no whole safetensors file (its header has"),
    "no JSON": (header(b"{nothing}"), "invalid JSON in header"),
    "deep": (header(b"[" * 200_000), "invalid JSON in header"),
    "list": (header([1]), "invalid type: sequence"),
    "no offsets": (header({"0.0.conv.weight": 3}), "invalid type: integer"),
    "outside": (header(entry(0, 1 << 50), b"0000"), "invalid shape, data type, or offset"),
    "negative": (header(entry(-8, 4), b"0000"), "invalid value: integer `-8`"),
    "truth": (header(entry(False, True), b"0000"), "invalid type: boolean"),
    "too few": (header(entry(0, 4), b"0000"), "invalid shape, data type, or offset"),
    "a type to move the cursor": (
        header({"a": {"dtype": "\x1b[2J\n", "shape": [], "data_offsets": [0, 0]}}),
        "unknown variant `\\x1b[2J",
    ),
    "too many": (lambda path: (cut(path), path.write_bytes(path.read_bytes() + bytes(101))), "not fully covered"),
    "cut off": (cut, "not fully covered"),
    "missing": (saved(**{"2__2__linear__bias": None}), "the weights '2.2.linear.bias' are missing"),
    "other": (saved(**{"9__0__conv__weight": torch.zeros(1)}), "this network has no weights '9.0.conv.weight'"),
    "shape": (saved(**{"2__2__linear__bias": torch.zeros(6)}), "is F32 [5] in this network, got F32 [6]"),
    "type": (saved(**{"2__2__linear__bias": torch.zeros(5, dtype=torch.float64)}), "got F64 [5]"),
    "nan": (saved(**{"2__2__linear__bias": torch.full((5,), torch.nan)}), "values that no training gives"),
    "variance": (saved(**{"0__0__norm__running_var": -torch.ones(8)}), "a negative variance"),
    "cursor": (saved(**{"\x1b[2J\n": torch.zeros(1)}), "no weights '\\x1b[2J\\n'"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_in_one_line(case: str, tmp_path: Path) -> None:
    write, says = HOSTILE[case]
    path = tmp_path / FILE
    write(path)
    with pytest.raises(ArchitectureError) as caught:
        read_file(path, NETWORK)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert says in message
    assert message.isprintable()
    assert len(message) < len(str(path)) + 300


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ArchitectureError, match=r"model\.safetensors: the weights cannot be read \(No such file"):
        read_weights(tmp_path / "config.json", NETWORK)
    (tmp_path / FILE).mkdir()
    with pytest.raises(ArchitectureError, match="cannot be read"):
        read_weights(tmp_path / "config.json", NETWORK)

"""Whatever stands in a file, a reader gives a network or a NasError, quickly."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.blocks import Architecture, Layer
from nas.errors import NasError
from nas.formats.archdef import read_archdef
from nas.formats.blockstring import parse_block
from nas.formats.config import read_config, to_config

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 1, 2, 3, 65_536, 65_537, 10**9, 10**400, 1.0, 0.5, 1e308, -0.0])
    | st.floats(allow_nan=True)
    | st.text(max_size=20)
    | st.sampled_from(["relu", "conv", "head", "ir_r1_k3_s1_e2_c16", "ds_r999_k3_s1_c16", "cn_r1_k1_s2_c8", "ir", "_"])
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)

CONFIG = to_config(
    Architecture(
        3,
        16,
        16,
        (
            Layer(kind="conv", in_channels=3, out_channels=8, kernel=3, stride=2, height=16, width=16),
            Layer(kind="mbconv", in_channels=8, out_channels=8, mid_channels=16, kernel=3, height=8, width=8),
            Layer(kind="pooled_head", in_channels=8, out_channels=5, mid_channels=8, height=8, width=8),
        ),
    ),
    decisions={"a": 1},
    metrics={"latency": {"ms": 1.0}},
)
ARCHDEF = {
    "resolution": 32,
    "stem": 16,
    "head": 64,
    "activation": "relu",
    "num_classes": 10,
    "blocks": [
        ["ds_r1_k3_s1_e1_c16_se0.25"],
        ["ir_r2_k3_s2_e6_c24_noskip", "er_r1_k5_s1_e4_c24_nhs"],
        ["cn_r1_k1_s1_c40"],
    ],
    "stem_activation": "hswish",
    "se_gate": "hard-sigmoid",
    "se_from": "mid",
    "round_to": 4,
    "head_after_pool": True,
    "in_channels": 1,
}
READERS: list[tuple[Callable[[Path], object], dict[str, Any]]] = [(read_config, CONFIG), (read_archdef, ARCHDEF)]


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, as the keys that lead there."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def mutated(draw: st.DrawFn, valid: dict[str, Any]) -> Any:
    """A valid document with one to three values replaced, removed, repeated or added."""
    document = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        everywhere = list(places(document))
        if not everywhere:
            break
        *way, key = draw(st.sampled_from(everywhere))
        parent = document
        for step in way:
            parent = parent[step]
        change = draw(st.sampled_from(("replace", "remove", "add")))
        if change == "replace":
            parent[key] = draw(DOCUMENTS)
        elif change == "remove":
            del parent[key]
        elif isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        else:
            parent[draw(st.text(max_size=8))] = draw(DOCUMENTS)
    return document


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "document.json"


def check(read: Callable[[Path], object], file: Path, data: bytes) -> None:
    file.write_bytes(data)
    start = time.perf_counter()
    try:
        read(file)
    except NasError as problem:
        message = str(problem)
        assert message.startswith(f"{file}: ")
        assert message.endswith((".", ".)"))
        assert message.count("\n") < 2
        assert len(message) < len(str(file)) + 500
    assert time.perf_counter() - start < 2  # seconds


@pytest.mark.parametrize(("read", "valid"), READERS, ids=["config", "archdef"])
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_mutated_documents(
    read: Callable[[Path], object], valid: dict[str, Any], file: Path, data: st.DataObject
) -> None:
    check(read, file, json.dumps(data.draw(mutated(valid))).encode())


@pytest.mark.parametrize(("read", "valid"), READERS, ids=["config", "archdef"])
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_document_and_any_bytes(
    read: Callable[[Path], object], valid: dict[str, Any], file: Path, data: st.DataObject
) -> None:
    document = DOCUMENTS.map(lambda value: json.dumps(value).encode())
    check(read, file, data.draw(document | st.binary(max_size=60)))


@given(
    st.text("dsirecnkgpoqe_0123456789.-", max_size=30)
    | st.from_regex(r"\A(ds|ir|er|cn)(_[rkscegn]{1,2}[0-9.]{1,4}){3,6}\Z")
)
@settings(max_examples=300, deadline=None)
def test_any_block_string(text: str) -> None:
    try:
        parse_block(text)
    except NasError as problem:
        assert repr(text) in str(problem)  # noqa: PT017


@pytest.mark.parametrize("read", [read_config, read_archdef])
@pytest.mark.parametrize(
    "text",
    [
        '{"blocks": [[' + '"ir_r1_k3_s1_e2_c16",' * 40_000 + '"ir"]]}',
        '{"layers": [' + "{}," * 300_000 + "{}]}",
        "{" + ",".join(f'"{n}":0' for n in range(80_000)) + "}",
        "{" + ",".join(f'"{n}":0' for n in range(80_000)) + ',"0":0}',
        "[" * 500_000,
        '{"a":' * 150_000,
        '{"resolution": ' + "9" * 4_000 + "}",
    ],
    ids=lambda text: text[:16],
)
def test_long_files_are_refused_quickly(read: Callable[[Path], object], text: str, file: Path) -> None:
    check(read, file, text.encode())

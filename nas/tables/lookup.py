"""Lookup tables of once-for-all and ProxylessNAS: milliseconds by a text that names a block, in YAML or JSON.

    expanded_conv-input:56x56x24-output:28x28x40-expand:144-kernel:5-stride:2-idskip:0-se:1-hs:0:
      {mean: 1.25, std: 0.05, count: 79}

Shapes are height × width × channels. There are two dialects (`ofa/nas/efficiency_predictor` of mit-han-lab):

MobileNetV3   `se` and `hs` stand there; `expand` is the inner width, squeeze-and-excitation is a quarter of it, `hs`
              tells hard-swish from ReLU; the end is `Conv_1`, `AvgPool2D`, `Conv_2` and `Logits`
ProxylessNAS  neither does; `expand` is a ratio, everything is ReLU6; the end is `Conv_1` and `Logits`, which pools

What follows the last feature map is one row here: the sum of its parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

from nas.blocks.layer import Layer
from nas.errors import ArchitectureError, TableError
from nas.formats.onceforall import squeezed
from nas.system.files import read_json, read_yaml
from nas.system.folder_lock import FolderLock
from nas.tables.header import UNSTATED, Bands, DeviceHeader, ErrorHeader, RuntimeHeader, TableHeader
from nas.tables.table import Row
from nas.tables.write import check_empty, write_table

MAX_BYTES = 8 << 20
MAX_LAYERS = 20_000
"""Of one lookup table: real ones have some hundred, and ends multiply."""
WHAT = "an imported table"
BAND_PCT = 10.0
"""Of every row: sums of blocks that were timed alone, and not calibrated on networks, are off by about a tenth."""
POOLS = ("AvgPool2D", "FCGlobalAveragePool2d")
_SIZES = r"[1-9]\d{0,4}x[1-9]\d{0,4}x[1-9]\d{0,4}"
_ENTRY = re.compile(
    rf"(?P<kind>\w{{1,40}})-input:(?P<input>{_SIZES})-output:(?P<output>{_SIZES}|[1-9]\d{{0,4}})"
    r"(?P<settings>(?:-[a-z]{1,9}:\d{1,5}){0,6})",
    re.ASCII,
)
_NEEDED, _V3 = {"expand", "kernel", "stride", "idskip"}, {"se", "hs"}


@dataclass(frozen=True)
class _Entry:
    """One line of a lookup table."""

    kind: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    settings: dict[str, int]
    ms: float
    spread_ms: float
    samples: int


def import_table(file: Path, out: Path) -> dict[str, Any]:
    """Write the table that a lookup table stands for into a new or empty folder, and say what became of it.

    What has no equal here is `left_out`, by kind its count and the first name. Raises `TableError` for a file that is
    no such table.
    """
    check_empty(out, WHAT)
    document = read_json(file, TableError, MAX_BYTES) if file.suffix == ".json" else read_yaml(file, TableError)
    if not isinstance(document, dict):
        raise TableError(f"{file}: a lookup table is a mapping of blocks to times, got {type(document).__name__}.")
    table = _Lookup(file, document)
    rows, taken = table.rows()
    left_out: dict[str, dict[str, Any]] = {}
    for name in document.keys() - taken if taken else document:
        kind = left_out.setdefault(name.partition("-")[0][:40], {"count": 0, "first": name[:200]})
        kind["count"] += 1
        kind["first"] = min(kind["first"], name[:200])
    if not rows:
        first = next((repr(kind["first"]) for kind in left_out.values()), "none")
        raise TableError(
            f"{file}: no entry is a block as once-for-all and ProxylessNAS name them, such as "
            f"'Conv-input:224x224x3-output:112x112x32' with a `mean`; got {first}."
        )
    with FolderLock(out, "writes a table into this", error=TableError):
        check_empty(out, WHAT)
        written = write_table(out, _header(file, out, table.entries), rows)
    return {
        "name": written.name,
        "path": str(out),
        "fingerprint": written.fingerprint,
        "entries": len(document),
        "rows": {name: [row.provenance for row in rows].count(name) for name in ("measured", "derived")},
        "left_out": dict(sorted(left_out.items())),
    }


class _Lookup:
    """The entries of a lookup table, and the layers that they are."""

    def __init__(self, file: Path, document: dict[str, Any]) -> None:
        self.file = file
        self.entries = {name: entry for name, values in document.items() if (entry := _entry(file, name, values))}
        self.v3 = any(not entry.settings.keys().isdisjoint(_V3) for entry in self.entries.values())
        self.activation = "hard-swish" if self.v3 else "relu6"
        self.giving: dict[tuple[str, tuple[int, ...]], list[str]] = {}
        """Names by kind and output."""
        for name, entry in self.entries.items():
            self.giving.setdefault((entry.kind, entry.output), []).append(name)

    def rows(self) -> tuple[list[Row], set[str]]:
        """A row of each layer that has a time, and the names of the entries that are part of one."""
        rows: dict[Layer, tuple[Row, str]] = {}
        taken: set[str] = set()
        for name, layer, parts in self.layers():
            if layer in rows:
                raise TableError(f"{self.file}: each layer has one time, {rows[layer][1]} and {name} are one layer.")
            rows[layer] = _row(layer, [self.entries[part] for part in parts]), name
            taken.update(parts)
            if len(rows) > MAX_LAYERS:
                raise TableError(f"{self.file}: at most {MAX_LAYERS:,} layers are read, this table has more.")
        return [row for row, _ in rows.values()], taken

    def layers(self) -> Iterator[tuple[str, Layer, tuple[str, ...]]]:
        """Every layer that has a time: the entry to name it by, and those whose sum it is."""
        for name, entry in self.entries.items():
            layer = None
            if entry.kind == "expanded_conv":
                layer = _inverted(entry)
            elif entry.kind in ("Conv", "Conv_1"):
                layer = _conv(entry, self.activation)
            elif entry.kind == "Logits" and len(entry.output) == 1:
                for parts in self.ends(name, entry):
                    for head in self.heads(parts):
                        yield name, head, parts
            if layer is not None:
                yield name, layer, (name,)

    def ends(self, logits: str, entry: _Entry) -> Iterator[tuple[str, ...]]:
        """Names of the entries of each end that this classifier belongs to, in the order of the network."""
        mixes = self.giving.get(("Conv_2", entry.input), [])
        for mix in mixes:
            for pool in self.pools(self.entries[mix].input):
                yield pool, mix, logits
        pooled: list[tuple[tuple[int, ...], tuple[str, ...]]] = [
            (self.entries[pool].input, (pool, logits)) for pool in self.pools(entry.input)
        ]
        for features, rest in pooled or ([] if mixes else [(entry.input, (logits,))]):
            yield rest
            for conv in self.giving.get(("Conv_1", features), []):
                yield conv, *rest

    def pools(self, shape: tuple[int, ...]) -> list[str]:
        """Those that give this shape."""
        return [name for kind in POOLS for name in self.giving.get((kind, shape), [])]

    def heads(self, parts: Sequence[str]) -> list[Layer]:
        """The head that an end is. Whether a layer behind the pooling has a bias is not told, and costs nothing."""
        entries = [self.entries[part] for part in parts]
        mix = next((entry for entry in entries if entry.kind in ("Conv_1", "Conv_2")), None)
        settings: dict[str, Any] = {"out_channels": entries[-1].output[0]}
        if mix is not None:
            settings |= {"mid_channels": mix.output[-1], "activation": self.activation}
        if mix is None or mix.kind == "Conv_1":
            made = [_made(entries[0], "head", **settings)]
        else:
            made = [_made(entries[0], "pooled_head", head_bias=bias, **settings) for bias in (False, True)]
        return [head for head in made if head is not None]


def _entry(file: Path, name: str, values: Any) -> _Entry | None:
    """What a line says; None where its name is none of a block, or it has no mean."""
    match = _ENTRY.fullmatch(name)
    if match is None or not isinstance(values, dict) or "mean" not in values:
        return None
    mean, spread, count = values["mean"], values.get("std", 0.0), values.get("count", 0)
    for word, value in (("mean", mean), ("std", spread), ("count", count)):
        if type(value) not in (int, float) or not isfinite(value) or value < 0:
            raise TableError(f"{file}: {name}: `{word}` is a number of at least 0, got {str(value)[:40]!r}.")
    taken, given = (tuple(map(int, match[side].split("x"))) for side in ("input", "output"))
    settings = {word: int(number) for word, number in re.findall(r"-([a-z]+):([0-9]+)", match["settings"])}
    return _Entry(match["kind"], taken, given, settings, float(mean), float(spread), int(count))


def _conv(entry: _Entry, activation: str) -> Layer | None:
    height, _, _ = entry.input
    stride = -(-height // entry.output[0])
    kernel = 3 if entry.kind == "Conv" else 1
    return _fitting(entry, stride, "conv", kernel=kernel, activation=activation)


def _inverted(entry: _Entry) -> Layer | None:
    settings, width = entry.settings, entry.input[2]
    v3 = settings.keys() == _NEEDED | _V3
    if not (v3 or settings.keys() == _NEEDED) or settings["stride"] < 1:
        return None
    inner = v3 and settings["expand"] >= width  # a bottleneck narrower than its input is a ratio
    mid = settings["expand"] if inner else settings["expand"] * width
    excites = bool(settings.get("se"))
    return _fitting(
        entry,
        settings["stride"],
        "sepconv" if mid == width else "mbconv",
        mid_channels=mid,
        kernel=settings["kernel"],
        se_channels=squeezed(mid) if excites else 0,
        se_gate="hard-sigmoid" if excites else "sigmoid",
        activation=("hard-swish" if settings["hs"] else "relu") if v3 else "relu6",
        residual=bool(settings["idskip"]),
    )


def _fitting(entry: _Entry, stride: int, kind: str, **settings: Any) -> Layer | None:
    """A layer with a stride, where that gives the output that the entry names."""
    layer = _made(entry, kind, out_channels=entry.output[-1], stride=stride, **settings)
    height, width, channels = (*entry.output, 0, 0)[:3]
    return layer if layer is not None and layer.output == (channels, height, width) else None


def _made(entry: _Entry, kind: str, **settings: Any) -> Layer | None:
    """A layer for the input of an entry; None where it cannot be."""
    height, width, channels = entry.input
    try:
        layer = Layer(kind=kind, in_channels=channels, height=height, width=width, **settings)
        _ = layer.graph
    except ArchitectureError:
        return None
    return layer


def _row(layer: Layer, parts: Sequence[_Entry]) -> Row:
    spread = sqrt(sum(entry.spread_ms**2 for entry in parts)) if len(parts) > 1 else parts[0].spread_ms
    samples = min(entry.samples for entry in parts)
    return Row(layer, sum(entry.ms for entry in parts), spread, samples, "measured" if len(parts) == 1 else "derived")


def _header(file: Path, out: Path, entries: dict[str, _Entry]) -> TableHeader:
    word = re.sub(r"[^A-Za-z0-9_-]+", "-", out.resolve().name).strip("-")[:56]
    sizes = {entry.input[0] for entry in entries.values() if entry.kind == "Conv"}
    return TableHeader(
        format="nas-latency-table/1",
        name=word if word[:1].isalpha() else f"table-{word}".rstrip("-"),
        device=DeviceHeader(model=UNSTATED),
        runtime=RuntimeHeader(name=UNSTATED, version=UNSTATED),
        threads=UNSTATED,
        precision=UNSTATED,
        batch=UNSTATED,
        date=UNSTATED,
        resolution=sizes.pop() if len(sizes) == 1 else None,
        estimator="mean and standard deviation of repeats",
        source=f"{''.join(c if c.isprintable() else '?' for c in file.name)}, a lookup table of once-for-all or "
        "ProxylessNAS: it tells neither device, runtime nor threads",
        licence="that of its source",
        key_columns=[],
        calibration=f"none: blocks timed alone; that their sums are off by {BAND_PCT:.0f} % is an assumption",
        error=ErrorHeader(band_pct=Bands(**dict.fromkeys(Bands.model_fields, BAND_PCT))),
    )

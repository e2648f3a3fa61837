"""What a person reads of latency tables on the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from nas.blocks.layer import Layer
from nas.cli.screen import aligned, checked
from nas.system.text import MANY
from nas.tables.header import UNSTATED, DeviceHeader, TableHeader
from nas.tables.listing import asked
from nas.tables.rows import PROVENANCES
from nas.tables.table import LatencyTable, describe

WIDTH = 88
"""Of a list, in letters."""
NAMES_WIDTH = 18


def tables_summary(entries: Sequence[Mapping[str, Any]]) -> str:
    """What `nas table list` has of each table; many that begin alike and answer the same are told together."""
    kinds: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for entry in entries:
        kinds.setdefault((entry["name"].partition("-")[0], *entry["answers"], entry["licence"]), []).append(entry)
    alike = [[each] for kind in kinds.values() if len(kind) < MANY for each in kind]
    alike += [kind for kind in kinds.values() if len(kind) >= MANY]
    alike.sort(key=lambda kind: entries.index(kind[0]))
    return "".join(_told(kind) for kind in alike)


def _told(alike: Sequence[Mapping[str, Any]]) -> str:
    """Tables that are told together, in a few lines."""
    first, *others = alike
    name, device = first["name"], first["summary"]
    if others:
        begin = name.partition("-")[0]
        name = f"{begin}-… ({len(alike)})"
        device = ", ".join(entry["name"].removeprefix(f"{begin}-") for entry in alike)
    amounts = {name: sum(entry["provenance"].get(name, 0) for entry in alike) for name in PROVENANCES}
    what = "whole networks" if first["rows"] == 0 else "rows"
    rows = ", ".join(f"{amount:,} {name}" for name, amount in amounts.items() if amount)
    rows = f"{rows} {what}" if rows else "a block model without rows"
    spaces = ", ".join(asked(first["answers"])) or "no shipped space as a whole"
    noisy = ["TOO NOISY: see nas table show"] if any(entry["noise"] for entry in alike) else []
    figures = " · ".join([_off(alike), *noisy, rows, first["licence"] or "own measurement"])
    texts = [device, figures, f"answers {spaces}"]
    lines = [line for text in texts for line in wrap(text, WIDTH - NAMES_WIDTH, break_on_hyphens=False)]
    if len(name) >= NAMES_WIDTH:
        lines.insert(0, "")
    return "".join(
        f"{'' if number else name:<{NAMES_WIDTH}}{line}".rstrip() + "\n" for number, line in enumerate(lines)
    )


def _off(alike: Sequence[Mapping[str, Any]]) -> str:
    """How far tables are off, and on what that was found."""
    errors = [entry["error"] for entry in alike if entry["error"] is not None]
    if not errors:
        return "error not known"
    least, most = (f"{value:.1f}" for value in (f(error["mape_pct"] for error in errors) for f in (min, max)))
    figures = least if least == most else f"{least} to {most}"
    return f"{figures} % off on {errors[0]['count']:,} {errors[0]['of']}"


def table_summary(table: LatencyTable) -> str:
    """The main entries of a table's header."""
    header = table.header
    return aligned(
        [
            ("table", f"{table.name} · {table.path}"),
            ("device", _device(header.device)),
            ("runtime", _runtime(header)),
            ("network", f"{header.precision} · batch {header.batch} · {header.resolution or 'any'} px"),
            *([("int8", header.beside_float.told)] if header.beside_float else []),
            ("measured", f"{header.date} · {header.estimator}"),
            ("rows", _rows(table)),
            *(line for error in header.error.checks for line in checked(error.model_dump(), in_full=True)),
            *_noisy(table.noise()),
            ("between", _between(table)),
            ("source", header.source),
            ("licence", header.licence or "own measurement"),
            ("sha256", table.fingerprint),
        ]
    )


def added_summary(result: Mapping[str, Any]) -> str:
    """A table that was taken in."""
    where = f"{result['name']} · {result['path']}" + ("" if result["added"] else " · it was there already")
    networks = f" · {result['networks']} whole networks" if result["networks"] else ""
    return aligned([("table", where), ("rows", f"{result['rows']}{networks}"), ("sha256", result["fingerprint"])])


def imported_summary(result: Mapping[str, Any]) -> str:
    """A table that was made of another program's, and what of that has no equal."""
    left = result["left_out"].items()
    rows = " and ".join(f"{count} {name}" for name, count in result["rows"].items())
    lines = [
        ("table", f"{result['name']} · {result['path']}"),
        ("rows", f"{rows}, of {result['entries']} entries"),
        *(("left out", f"{each['count']} {kind}, the first is {each['first']}") for kind, each in left),
        ("sha256", result["fingerprint"]),
        ("use it", f"nas estimate NET --target {shlex.quote(str(Path(result['path']).absolute()))}"),
    ]
    return aligned(lines)


def diff_summary(result: Mapping[str, Any]) -> str:
    """How two tables differ."""
    rows = result["rows"]
    lines = [(side.upper(), "{name} · {path} · {device}".format(**result[side])) for side in "ab"]
    lines.append(("rows", f"{rows['both']} in both, {rows['only_a']} only in A, {rows['only_b']} only in B"))
    if result["ratio"] is not None:
        lines.append(("ratio", f"B / A {result['ratio']:.4f} in the middle"))
    if result["agreeing_pct"] is not None:
        lines.append(("agreeing", f"{result['agreeing_pct']:.1f} % within 2 % and their spreads"))
    for number, row in enumerate(result["largest"]):
        change = "" if row["ratio"] is None else f"{100 * (row['ratio'] - 1):>+9.1f} %"
        figures = f"{row['a_ms']:>10.4f} → {row['b_ms']:<9.4f} ms{change}{'' if row['agrees'] else ' !'}"
        lines.append(("largest" if not number else "", f"{figures:<40} {describe(Layer(**row['layer']))}"))
    lines += [("note" if not number else "", note) for number, note in enumerate(result["notes"])]
    return aligned(lines)


def merge_summary(result: Mapping[str, Any]) -> str:
    """A table that was merged from two."""
    rows = result["rows"]
    lines = [
        ("table", f"{result['name']} · {result['path']}"),
        ("rows", f"{rows['all']}: {rows['both']} of both, {rows['only_a']} of A, {rows['only_b']} of B"),
        *(("note" if not number else "", note) for number, note in enumerate(result["notes"])),
        ("sha256", result["fingerprint"]),
    ]
    return aligned(lines)


def _noisy(noise: str | None) -> list[tuple[str, str]]:
    """A line where a table was measured too noisily."""
    return [("NOISY", noise)] if noise else []


def check_summary(result: Mapping[str, Any]) -> str:
    """Errors of a table."""
    lines = [
        ("table", f"{result['table']} · {result['rows']} rows"),
        *checked(result.get("networks_error")),
        *_noisy(result.get("noise")),
    ]
    known = len(lines)
    for name, value in {**result["leave_one_stage_out"], **result["leave_one_out"]}.items():
        told = f"{value:.3g} %" if name.endswith("_pct") else f"{value:,.0f}"
        told = f"{name.removesuffix('_pct').replace('_', ' ')}  {told}"
        lines.append(("left out" if len(lines) == known else "", told))
    if not result["whole_networks"]:
        return aligned([*lines, ("networks", "no published ones are in its header")])
    lines.append(("networks", f"{'published':>34} ms   table ms    error"))
    for network in result["whole_networks"]:
        lines.append(
            (
                "",
                f"{network['name']:<24}{_ms(network['published_ms']):>10}{_ms(network['table_ms']):>14}"
                f"{network['error_pct']:>+9.1f} %",
            )
        )
    lines.append(("", f"mean {result['mape_pct']:.1f} %, worst {result['worst_pct']:.1f} %"))
    for number, (source, scale) in enumerate(result["source_scales"].items()):
        lines.append(("scales" if not number else "", f"{scale['scale']:.3f} not applied · {source}"))
    return aligned(lines)


def _device(device: DeviceHeader) -> str:
    memory = None if device.memory_mb is None else f"{device.memory_mb:,} MB"
    known = (device.model, device.soc, device.cores, device.architecture, memory, device.provider, device.system)
    parts = [*known, device.governor, "emulated" if device.emulated else None]
    return " · ".join(str(part) for part in parts if part)


def _ms(ms: float) -> str:
    return f"{ms:.1f}" if ms >= 10 else f"{ms:.3g}"


def _runtime(header: TableHeader) -> str:
    named = ", ".join(dict.fromkeys([header.runtime.name, header.runtime.version]))
    return f"{named} · threads not stated" if header.threads == UNSTATED else f"{named} · {header.threads} thread(s)"


def _rows(table: LatencyTable) -> str:
    counts = {name: int((table.provenance == code).sum()) for code, name in enumerate(PROVENANCES)}
    if table.whole is not None:
        return f"{len(table.whole.codes):,} whole networks of {table.whole.header.space}"
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"{len(table.keys)} rows: {told}" if told else "no rows: all is interpolated"


def _between(table: LatencyTable) -> str:
    """What answers where there is no row."""
    if table.whole is not None:
        return "an additive fit to these networks"
    if table.sums is not None:
        return f"nothing: only sums of the rows mean something, of whole networks of {table.sums.header.space}"
    return "a block model answers within its range" if table.model else "nothing: only rows answer"


def profile_summary(table: LatencyTable, use: str) -> str:
    """A table that was just made, and the command that uses it."""
    return table_summary(table) + aligned([("use it", use)])

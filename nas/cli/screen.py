"""What a person reads on the terminal: every summary is a function from results to text."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.blocks.layer import Layer
from nas.cost.cost import COSTS, by_key, counted
from nas.runs.result import Accuracy, Found, Result
from nas.space.space import Space
from nas.tables.header import DeviceHeader
from nas.tables.rows import PROVENANCES
from nas.tables.table import LatencyTable, describe

if TYPE_CHECKING:
    from nas.devices.listing import Listed


def search_summary(result: Result, run: Path) -> str:
    """A finished search: what was asked, what was found, what it rests on."""
    winner, accuracy, bound = result.winner, result.accuracy, result.latency_bound
    low, high = result.attainable
    asked = f"asked ≤ {_ms(bound)} ms"
    bounds = {by_key(key): most for key, most in result.bounds.items() if key != "latency_ms"}
    further = "".join(f", {cost.name} ≤ {cost.amount(most)}" for cost, most in bounds.items())
    lines = [
        (
            "space",
            f"{result.space} · {result.size:.1e} architectures · on {result.target} {_ms(low)} … {_ms(high)} ms "
            "attainable",
        ),
        ("accuracy", accuracy.provenance),
        *([] if result.chosen is None else [("chosen", f"{result.chosen.accuracy}: {result.chosen.why}")]),
        (
            "latency",
            f"{result.target}: {result.device} · {_answer(result)}",
        ),
        *_checked(None if result.networks_error is None else result.networks_error.model_dump()),
        *_unchecked(result),
        *_searched(result),
        *_raced(result),
        (
            "winner",
            f"{winner.name + ', scaled · ' if winner.name else ''}{asked}{further} · "
            f"{'measured' if result.by_clock else 'table'} {_figures(winner, result.winner_accuracy)}",
        ),
    ]
    lines += [("doubt", doubt) for doubt in result.doubts]
    if result.measured:
        missed = " · MISSED the bound" if result.measured.misses(bound) else ""
        lines.append(("measured", f"{asked} · {measured_line(result.measured.model_dump())}{missed}"))
    for number, (name, reference) in enumerate(result.references.items()):
        lines.append(("beside" if not number else "", f"{name}  {_figures(reference, accuracy)}"))
    if result.proof:
        told = result.proof.told(accuracy.label, len(result.bounds))
        lines.append(("proof", f"{told} ({result.proof.seconds:.1f} s)"))
    lines.append(("written", f"{run}/  {' '.join(result.written)}"))
    lines += [("", note) for note in result.notes]
    return _table(lines)


def estimate_summary(result: Mapping[str, Any]) -> str:
    """Size of a network, and its latency on a target or why there is none."""
    latency = [("latency", f"none: {result['why']}")] if "why" in result else []
    if result["latency_ms"] is not None:
        latency = [
            ("latency", f"{result['latency_ms']:.2f} ms on {result['target']} (± {result['latency_error_pct']:.0f} %)"),
            ("coverage", f"of that time {_coverage(result['coverage'])}"),
            *_checked(result.get("networks_error")),
        ]
    return _table([*latency, ("size", _sizes(result, exact=True))])


def scale_summary(result: Mapping[str, Any]) -> str:
    """A network that was scaled to a bound: by how much, and what its latency is."""
    measured, ms, on = result["measured"], result["latency_ms"], f"on {result['target']}"
    latency = [f"asked ≤ {_ms(result['asked_ms'])} ms"]
    if measured is not None:
        busy = f" · too busy: measure again, as {measured['too_busy']}" if measured.get("too_busy") else ""
        figure = f"{_ms(measured['measured_ms'])} ± {measured['measured_halfwidth_ms']:.2f}"
        latency.append(f"measured {figure} ms {on}{busy}")
    if ms is not None:
        latency.append(f"table {_ms(ms)} ms {on} (± {result['latency_error_pct']:.0f} %)")
    more = "" if result["by"] == "width" else f", {result['layers']} layers, {_pixels(result)} pixels"
    return _table(
        [
            ("network", f"{result['network']} · {result['width']:g} times as wide{more} · weights are random"),
            ("latency", " · ".join(latency)),
            ("size", _sizes(result, exact=True)),
            ("written", result["written"]),
        ]
    )


def family_summary(members: Sequence[Mapping[str, Any]]) -> str:
    """One network scaled to several bounds, a line each."""
    titles = ("asked", "table", "measured", "width", "layers", "pixels", "MACs", "parameters", "written")
    rows = [titles, *(_member(member) for member in members)]
    columns = [column for column in zip(*rows, strict=True) if set(column[1:]) != {""}]
    wide = [max(map(len, column)) for column in columns]
    lines = ["  ".join(map(str.ljust, row, wide)).rstrip() for row in zip(*columns, strict=True)]
    told = "{network} · {by} scaling · on {target} · weights are random".format(**members[0])
    return _table([("network", told), *(("" if number else "members", line) for number, line in enumerate(lines))])


def _member(member: Mapping[str, Any]) -> tuple[str, ...]:
    """Cells of a line of a family; empty where there is no figure."""
    asked = f"{member['asked_ms']:g} ms"
    if "why" in member:
        return (asked, *[""] * 7, "none")
    measured, ms = member["measured"], member["latency_ms"]
    table = "" if ms is None else f"{_ms(ms)} ± {ms * member['latency_error_pct'] / 100:.1f} ms"
    clock = measured and f"{_ms(measured['measured_ms'])} ± {measured['measured_halfwidth_ms']:.2f} ms"
    busy = " (busy)" if measured and measured.get("too_busy") else ""
    sizes = (COSTS[name].amount(member[name]) for name in ("macs", "params"))
    scale = (f"{member['width']:g}", str(member["layers"]), _pixels(member))
    return (asked, table, f"{clock or ''}{busy}", *scale, *sizes, member["written"])


def _pixels(result: Mapping[str, Any]) -> str:
    """Sides of a network's pictures: one of square ones, else height × width."""
    sides = result["resolution"]
    return "×".join(map(str, sides)) if isinstance(sides, list) else str(sides)


def table_line(table: LatencyTable) -> str:
    """One table in a list."""
    checked = "".join(
        f" · networks{f' of {error.space}' if error.space else ''} {error.mape_pct:.1f} % off"
        for error in table.header.error.checks
    )
    return f"{table.name:<16} {table.header.summary} · {_rows(table)}{checked}"


def table_summary(table: LatencyTable) -> str:
    """The main entries of a table's header."""
    header = table.header
    return _table(
        [
            ("table", f"{table.name} · {table.path}"),
            ("device", _device(header.device)),
            ("runtime", f"{header.runtime.name}, {header.runtime.version} · {header.threads} thread(s)"),
            ("network", f"{header.precision} · batch {header.batch} · {header.resolution or 'any'} px"),
            ("measured", f"{header.date} · {header.estimator}"),
            ("rows", _rows(table)),
            *(line for error in header.error.checks for line in _checked(error.model_dump(), in_full=True)),
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
    return _table([("table", where), ("rows", f"{result['rows']}{networks}"), ("sha256", result["fingerprint"])])


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
    return _table(lines)


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
    return _table(lines)


def merge_summary(result: Mapping[str, Any]) -> str:
    """A table that was merged from two."""
    rows = result["rows"]
    lines = [
        ("table", f"{result['name']} · {result['path']}"),
        ("rows", f"{rows['all']}: {rows['both']} of both, {rows['only_a']} of A, {rows['only_b']} of B"),
        *(("note" if not number else "", note) for number, note in enumerate(result["notes"])),
        ("sha256", result["fingerprint"]),
    ]
    return _table(lines)


def check_summary(result: Mapping[str, Any]) -> str:
    """Errors of a table."""
    lines = [("table", f"{result['table']} · {result['rows']} rows"), *_checked(result.get("networks_error"))]
    known = len(lines)
    for name, value in result["leave_one_stage_out"].items():
        lines.append(
            ("left out" if len(lines) == known else "", f"{name.removesuffix('_pct').replace('_', ' ')}  {value} %")
        )
    if not result["whole_networks"]:
        return _table([*lines, ("networks", "no published ones are in its header")])
    lines.append(("networks", f"{'published':>34} ms   table ms    error"))
    for network in result["whole_networks"]:
        lines.append(
            (
                "",
                f"{network['name']:<24}{network['published_ms']:>10.1f}{network['table_ms']:>14.1f}"
                f"{network['error_pct']:>+9.1f} %",
            )
        )
    lines.append(("", f"mean {result['mape_pct']:.1f} %, worst {result['worst_pct']:.1f} %"))
    for number, (source, scale) in enumerate(result["source_scales"].items()):
        lines.append(("scales" if not number else "", f"{scale['scale']:.3f} not applied · {source}"))
    return _table(lines)


def devices_summary(found: Sequence[Listed]) -> str:
    """What can be measured, a line each, then what cannot and why."""
    width = max(len(device.target) for device in found)
    ordered = sorted(found, key=lambda device: not device.usable)
    return "".join(f"{'yes' if d.usable else ' no'}  {d.target:<{width}}  {d.note}\n" for d in ordered)


def profile_summary(table: LatencyTable, use: str) -> str:
    """A table that was just made, and the command that uses it."""
    return table_summary(table) + _table([("use it", use)])


def verify_summary(result: Mapping[str, Any], tolerance_pct: float) -> str:
    """A network by its table and by the clock, and whether they agree; or by the clock alone and why."""
    if result["latency_ms"] is None:
        clock = f"{_ms(result['measured_ms'])} ± {result['measured_halfwidth_ms']:.2f} ms on {result['target']}"
        busy = f" · too busy: measure again, as {result['too_busy']}" if "too_busy" in result else ""
        return _table([("measured", clock + busy), ("table", f"none: {result['why']}")])
    lines = [("measured", measured_line(result)), ("coverage", f"of the table's {_coverage(result['coverage'])}")]
    if "too_busy" not in result:
        off = result["error_pct"]
        verdict = f"{abs(off):.1f} % {'slower' if off > 0 else 'faster'} than its table says"
        within = "within" if abs(off) <= tolerance_pct else "more than"
        lines.append(("verdict", f"{verdict}: {within} the tolerance of {tolerance_pct:g} %"))
    return _table(lines)


def measured_line(result: Mapping[str, Any]) -> str:
    """Table and measured, side by side; how the device's pace has changed, where it has."""
    if result.get("too_busy"):
        return (
            f"table {result['latency_ms']:.2f} ms · too busy: measure again, as {result['too_busy']} · by the clock "
            f"{result['raw_ms']:.2f} ± {result['measured_halfwidth_ms']:.2f} ms"
        )
    line = (
        f"table {result['latency_ms']:.2f} ms · measured {result['measured_ms']:.2f} ± "
        f"{result['measured_halfwidth_ms']:.2f} ms ({result['error_pct']:+.1f} %)"
    )
    if result["drift_pct"]:
        slower = "slower" if result["drift_pct"] > 0 else "faster"
        line += (
            f" · at the pace of the table's day: the device is {abs(result['drift_pct']):.1f} % {slower} now, "
            f"{result['raw_ms']:.2f} ms by the clock"
        )
    return line


def space_summary(space: Space) -> str:
    """Decisions and references of a space."""
    lines = [
        ("space", f"{space.name} · {float(space.size):.1e} architectures, {len(space.decisions)} decisions"),
        ("source", space.source),
        *([("strides", space.strides)] if space.strides else []),
    ]
    for number, decision in enumerate(space.decisions):
        options = " ".join(map(str, decision.options))
        lines.append(("decisions" if not number else "", f"{decision.name:<23} {options}"))
    for number, (name, choices) in enumerate(space.references.items()):
        network = space.decode(space.encode([choices])[0])
        size = _sizes({COSTS[cost].key: COSTS[cost].of(network) for cost in counted()})
        lines.append(("reference" if not number else "", f"{name:<23} {size}"))
    return _table(lines)


def _searched(result: Result) -> list[tuple[str, str]]:
    """How it was searched: evaluations, or the training of a policy and what became of it."""
    policy, seconds, bound = result.policy, result.seconds, result.latency_bound
    if policy is None:
        rate = result.archs_per_second
        pace = f"{rate:,.0f} a second" if rate >= 10 else f"{rate:.2g} a second"
        return [("search", f"{result.evaluations:,} architectures in {seconds:.1f} s, {pace}")]
    return [
        ("search", f"{policy.steps:,} training steps in {seconds:.0f} s"),
        (
            "policy",
            f"likeliest options {_ms(policy.argmax_ms)} ms ({100 * (policy.argmax_ms / bound - 1):+.0f} % of the "
            f"bound) · expected {_ms(policy.expected_ms)} ms · {policy.changed} of {policy.decisions} "
            f"decisions changed to keep it · undecided {policy.entropy:.0%} · skips {policy.skips:.0%}",
        ),
    ]


def _answer(result: Result) -> str:
    """What the winner's latency rests on."""
    if result.by_clock:
        return "the winner, which the table does not answer for, was measured as a whole"
    winner = result.winner
    return f"of the winner's time {_coverage(winner.coverage)} (± {winner.latency_error_pct:.0f} %, estimated)"


def _raced(result: Result) -> list[tuple[str, str]]:
    """Who was in the race, the winner first, and whether the estimates had told."""
    if result.race is None or result.accuracy_check is None:
        return []
    lines = []
    for runner in result.race.runners:
        clock = "" if runner.measured_ms is None else f", {_ms(runner.measured_ms)} ms measured"
        epochs = f"{runner.epochs} epoch{'s' * (runner.epochs > 1)}"
        begun = "inherited weights" if runner.inherited else "from scratch"
        guess = "" if runner.estimate is None else f" · estimated {runner.estimate:.1f} {result.accuracy.unit}".rstrip()
        name = runner.name if runner.width is None else f"{runner.name} × {runner.width:g}"
        lines.append(
            f"{name:<30}{runner.top1:.1f} ± {runner.top1_sigma:.1f} % after {epochs} {begun} · "
            f"{_ms(runner.latency_ms)} ms{clock}{guess}"
        )
    lines += [lost.told for lost in result.race.lost]
    lines.append(f"by {result.accuracy.label}, {result.accuracy_check.told}")
    return [("race" if not number else "", line) for number, line in enumerate(lines)]


def _figures(found: Found, accuracy: Accuracy) -> str:
    figure = f"{found.accuracy:.1f} ± {found.accuracy_sigma:.1f} {accuracy.unit}".rstrip()
    return f"{_ms(found.latency_ms)} ms · {accuracy.label} {figure} · {_sizes(found.costs)}"


def _sizes(costs: Mapping[str, Any], exact: bool = False) -> str:
    """What there is of a network by the keys of costs, but its latency; with all digits of counts where `exact`."""
    known = [cost for cost in COSTS.values() if cost.name != "latency" and cost.key in costs]
    amounts = [f"{costs[c.key]:,}" if exact and not c.unit else c.amount(costs[c.key]) for c in known]
    return " · ".join(f"{amount} {cost.words}" for amount, cost in zip(amounts, known, strict=True))


def _checked(error: Mapping[str, Any] | None, in_full: bool = False) -> list[tuple[str, str]]:
    """The error of a table on whole networks, where one was measured; in full for the table itself."""
    if error is None:
        return []
    of = f" of {error['space']}" if error.get("space") else ""
    text = (
        f"on {error['count']} whole networks{of} measured there the table was {error['mape_pct']:.1f} % off on "
        f"average, {error['worst_pct']:.1f} % at most"
    )
    if not in_full:
        return [("checked", text)]
    shares = f"{error['within_5_pct']:.0f} % within 5 %, {error['within_10_pct']:.0f} % within 10 %"
    tau = "" if error["kendall_tau"] is None else f" · Kendall tau {error['kendall_tau']:.3f}"
    floor = "" if error["floor_pct"] is None else f" · halves of the measurements differ by {error['floor_pct']:.1f} %"
    return [("checked", text), ("", f"{shares}{tau}{floor}")]


def _unchecked(result: Result) -> list[tuple[str, str]]:
    """What is told of a table that was checked, but on networks of other spaces."""
    others = ", ".join(result.checked_on)
    text = f"not on this space: {result.target} was checked on networks of {others}, as the space was then"
    return [("checked", text)] if others else []


def _device(device: DeviceHeader) -> str:
    memory = None if device.memory_mb is None else f"{device.memory_mb:,} MB"
    known = (device.model, device.soc, device.cores, device.architecture, memory, device.provider, device.system)
    parts = [*known, device.governor, "emulated" if device.emulated else None]
    return " · ".join(str(part) for part in parts if part)


def _coverage(coverage: Mapping[str, float]) -> str:
    return ", ".join(f"{share:.0%} {name}" for name, share in coverage.items() if share > 0)


def _rows(table: LatencyTable) -> str:
    counts = {name: int((table.provenance == code).sum()) for code, name in enumerate(PROVENANCES)}
    rows = f"{len(table.keys)} rows: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return rows if table.whole is None else f"{len(table.whole.codes):,} whole networks of {table.whole.header.space}"


def _between(table: LatencyTable) -> str:
    """What answers where there is no row."""
    if table.whole is not None:
        return "an additive fit to these networks"
    return "a block model answers within its range" if table.model else "nothing: only rows answer"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.1f}" if milliseconds >= 10 else f"{milliseconds:.2f}"


def _table(lines: Sequence[tuple[str, str]]) -> str:
    return "".join(f"{name:<10}{text}\n" for name, text in lines)

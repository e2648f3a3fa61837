"""What a person reads on the terminal: every summary is a function from results to text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.cost.cost import COSTS, by_key, counted
from nas.runs.part import Accuracy
from nas.runs.result import Found, OnTarget, Result
from nas.space.space import Space

if TYPE_CHECKING:
    from nas.devices.listing import Listed


def search_summary(result: Result, run: Path) -> str:
    """A finished search: what was asked, what was found, what it rests on."""
    winner, accuracy, targets = result.winner, result.accuracy, result.targets
    several = len(targets) > 1
    bounds = [f"≤ {_ms(on.bound_ms)} ms{f' on {on.target}' if several else ''}" for on in targets]
    further = {by_key(key): most for key, most in result.further_bounds.items()}
    asked = ", ".join([*bounds, *(f"{cost.name} ≤ {cost.amount(most)}" for cost, most in further.items())])
    ranges = [f"on {on.target} {_ms(on.attainable[0])} … {_ms(on.attainable[1])} ms" for on in targets]
    by_clock = all(on.by_clock for on in targets)
    lines = [
        (
            "space",
            f"{result.space} · {result.size:.1e} architectures · {', '.join(ranges)} attainable",
        ),
        ("accuracy", accuracy.provenance),
        *([] if result.chosen is None else [("chosen", f"{result.chosen.accuracy}: {result.chosen.why}")]),
        *(line for on in targets for line in _target(on)),
        *_searched(result),
        *_raced(result),
        (
            "winner",
            f"{winner.name + ', scaled · ' if winner.name else ''}asked {asked} · "
            f"{'measured' if by_clock else 'table'} {_figures(winner, result.winner_accuracy)}",
        ),
    ]
    lines += [("doubt", doubt) for doubt in result.doubts]
    for on, bound in zip(targets, bounds, strict=True):
        if on.measured is not None:
            missed = f" · MISSED {over}" if (over := on.measured.missed(on.bound_ms)) else ""
            lines.append(("measured", f"asked {bound} · {measured_line(on.measured.model_dump())}{missed}"))
    if result.int8 is not None:
        from nas.export.int8 import int8_lines

        lines += int8_lines(result.int8)
    for number, (name, reference) in enumerate(result.references.items()):
        lines.append(("beside" if not number else "", f"{name}  {_figures(reference, accuracy)}"))
    if result.proof:
        told = result.proof.told(accuracy.label, len(result.bounds))
        lines.append(("proof", f"{told} ({result.proof.seconds:.1f} s)"))
    lines.append(("written", f"{run}/  {' '.join(result.written)}"))
    lines += [("", note) for note in result.notes]
    return aligned(lines)


def estimate_summary(result: Mapping[str, Any]) -> str:
    """Size of a network, and its latency on a target or why there is none."""
    latency = [("latency", f"none: {result['why']}")] if "why" in result else []
    if result["latency_ms"] is not None:
        latency = [
            ("latency", f"{result['latency_ms']:.2f} ms on {result['target']} (± {result['latency_error_pct']:.0f} %)"),
            ("coverage", f"of that time {_coverage(result['coverage'])}"),
            *checked(result.get("networks_error")),
        ]
    return aligned([*latency, ("size", _sizes(result, exact=True))])


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
    return aligned(
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
    return aligned([("network", told), *(("" if number else "members", line) for number, line in enumerate(lines))])


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


def devices_summary(found: Sequence[Listed]) -> str:
    """What can be measured, a line each, then what cannot and why."""
    width = max(len(device.target) for device in found)
    ordered = sorted(found, key=lambda device: not device.usable)
    return "".join(f"{'yes' if d.usable else ' no'}  {d.target:<{width}}  {d.note}\n" for d in ordered)


def verify_summary(result: Mapping[str, Any], tolerance_pct: float) -> str:
    """A network by its table and by the clock, and whether they agree; or by the clock alone and why."""
    if result["latency_ms"] is None:
        clock = f"{_ms(result['measured_ms'])} ± {result['measured_halfwidth_ms']:.2f} ms on {result['target']}"
        busy = f" · too busy: measure again, as {result['too_busy']}" if "too_busy" in result else ""
        return aligned([("measured", clock + _beside_float(result) + busy), ("table", f"none: {result['why']}")])
    lines = [("measured", measured_line(result)), ("coverage", f"of the table's {_coverage(result['coverage'])}")]
    if "too_busy" not in result:
        off = result["error_pct"]
        verdict = f"{abs(off):.1f} % {'slower' if off > 0 else 'faster'} than its table says"
        within = "within" if abs(off) <= tolerance_pct else "more than"
        lines.append(("verdict", f"{verdict}: {within} the tolerance of {tolerance_pct:g} %"))
    return aligned(lines)


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
    line += _beside_float(result)
    if result["drift_pct"]:
        slower = "slower" if result["drift_pct"] > 0 else "faster"
        line += (
            f" · at the pace of the table's day: the device is {abs(result['drift_pct']):.1f} % {slower} now, "
            f"{result['raw_ms']:.2f} ms by the clock"
        )
    return line


def _beside_float(result: Mapping[str, Any]) -> str:
    """How a network in another precision compares with itself in float32."""
    if not result.get("float32_ms"):
        return ""
    ratio = result["raw_ms"] / result["float32_ms"]
    than = f"slower here by {ratio:.1f}x than" if ratio > 1 else f"{ratio:.2f} times the time of"
    return f" · {than} itself in float32"


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
    return aligned(lines)


def _searched(result: Result) -> list[tuple[str, str]]:
    """How it was searched: evaluations, or the training of a policy and what became of it."""
    policy, seconds = result.policy, result.seconds
    if policy is None:
        rate = result.archs_per_second
        pace = f"{rate:,.0f} a second" if rate >= 10 else f"{rate:.2g} a second"
        return [("search", f"{result.evaluations:,} architectures in {seconds:.1f} s, {pace}")]
    likeliest = [
        f"{_ms(ms)} ms ({100 * (ms / on.bound_ms - 1):+.0f} % of the bound)"
        for on in result.targets
        for ms in [policy.argmax_latencies.get(on.target, policy.argmax_ms)]
    ]
    return [
        ("search", f"{policy.steps:,} training steps in {seconds:.0f} s"),
        (
            "policy",
            f"likeliest options {', '.join(likeliest)} · expected "
            f"{_times(policy.expected_ms, policy.expected_latencies)} · {policy.changed} of {policy.decisions} "
            f"decisions changed to keep it · undecided {policy.entropy:.0%} · skips {policy.skips:.0%}",
        ),
    ]


def _target(on: OnTarget) -> list[tuple[str, str]]:
    """What the winner's latency on a target rests on, and how far off the table was."""
    answer = f"of the winner's time {_coverage(on.coverage)} (± {on.latency_error_pct:.0f} %, estimated)"
    if on.by_clock:
        answer = "the winner, which the table does not answer for, was measured as a whole"
    lines = [("latency", f"{on.target}: {on.device} · {answer}")]
    if on.checked_on:
        others = ", ".join(on.checked_on)
        told = f"not on this space: {on.target} was checked on networks of {others}, as the space was then"
        lines.append(("checked", told))
    return [*lines, *checked(None if on.networks_error is None else on.networks_error.model_dump())]


def _raced(result: Result) -> list[tuple[str, str]]:
    """Who was in the race, the winner first, and whether the estimates had told."""
    if result.race is None or result.accuracy_check is None:
        return []
    lines = []
    for runner in result.race.runners:
        clock = "" if runner.measured_ms is None else f", {_times(runner.measured_ms, runner.measured)} measured"
        epochs = f"{runner.epochs} epoch{'s' * (runner.epochs > 1)}"
        begun = "inherited weights" if runner.inherited else "from scratch"
        guess = "" if runner.estimate is None else f" · estimated {runner.estimate:.1f} {result.accuracy.unit}".rstrip()
        name = runner.name if runner.width is None else f"{runner.name} × {runner.width:g}"
        lines.append(
            f"{name:<30}{runner.top1:.1f} ± {runner.top1_sigma:.1f} % after {epochs} {begun} · "
            f"{_times(runner.latency_ms, runner.latencies)}{clock}{guess}"
        )
    lines += [lost.told for lost in result.race.lost]
    lines.append(f"by {result.accuracy.label}, {result.accuracy_check.told}")
    return [("race" if not number else "", line) for number, line in enumerate(lines)]


def _figures(found: Found, accuracy: Accuracy) -> str:
    figure = f"{found.accuracy:.1f} ± {found.accuracy_sigma:.1f} {accuracy.unit}".rstrip()
    return f"{_times(found.latency_ms, found.latencies)} · {accuracy.label} {figure} · {_sizes(found.costs)}"


def _times(first: float, all_: Mapping[str, float]) -> str:
    """Latency on all targets, in their order."""
    return f"{' / '.join(map(_ms, all_.values() or [first]))} ms"


def _sizes(costs: Mapping[str, Any], exact: bool = False) -> str:
    """What there is of a network by the keys of costs, but its latency; with all digits of counts where `exact`."""
    known = [cost for cost in COSTS.values() if cost.name != "latency" and cost.key in costs]
    amounts = [f"{costs[c.key]:,}" if exact and not c.unit else c.amount(costs[c.key]) for c in known]
    return " · ".join(f"{amount} {cost.words}" for amount, cost in zip(amounts, known, strict=True))


def checked(error: Mapping[str, Any] | None, in_full: bool = False) -> list[tuple[str, str]]:
    """The error of a table on whole networks, where one was measured; in full for the table itself."""
    if error is None:
        return []
    of = f" of {error['space']}" if error.get("space") else ""
    text = (
        f"on {error['count']:,} whole networks{of} measured there the table was {error['mape_pct']:.1f} % off on "
        f"average, {error['worst_pct']:.1f} % at most"
    )
    lines = [("checked", text), *(("", part) for part in _by_thirds(error.get("thirds") or []))]
    if in_full:
        shares = f"{error['within_5_pct']:.0f} % within 5 %, {error['within_10_pct']:.0f} % within 10 %"
        tau = "" if error["kendall_tau"] is None else f" · Kendall tau {error['kendall_tau']:.3f}"
        floor = (
            "" if error["floor_pct"] is None else f" · halves of the measurements differ by {error['floor_pct']:.1f} %"
        )
        lines.append(("", f"{shares}{tau}{floor}"))
    return lines


def _by_thirds(thirds: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line on the error in each part of the range; none where that was not told."""
    ends = ("" if third["up_to_ms"] is None else f" to {_ms(third['up_to_ms'])} ms" for third in thirds)
    names = ("fastest", "middle", "slowest")
    parts = [
        f"{name} {third['count']}{end} {third['mape_pct']:.1f} %, at most {third['worst_pct']:.1f} %"
        for name, third, end in zip(names, thirds, ends, strict=False)
    ]
    return [" · ".join(parts)] if parts else []


def _coverage(coverage: Mapping[str, float]) -> str:
    return ", ".join(f"{share:.0%} {name}" for name, share in coverage.items() if share > 0)


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.1f}" if milliseconds >= 10 else f"{milliseconds:.2f}"


def aligned(lines: Sequence[tuple[str, str]]) -> str:
    return "".join(f"{name:<10}{text}\n" for name, text in lines)

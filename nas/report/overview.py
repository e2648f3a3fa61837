"""The head of a report: what was asked, what came out, and of every figure whether it is estimated."""

from __future__ import annotations

from markupsafe import Markup

from nas.cost.cost import by_key
from nas.report.figures import amount, milliseconds, on_all, share, uncertain
from nas.report.markup import clipped, element
from nas.report.material import Material
from nas.runs.aim import Aim
from nas.runs.result import OnTarget, Proof, Result
from nas.tables.header import TableHeader
from nas.tables.rows import PROVENANCES

MOST_LETTERS = 2_000

LABELS = {
    "predictor": "estimated by a predictor",
    "table": "looked up",
    "zero-cost": "a score, not an accuracy",
    "supernet": "estimated with inherited weights",
    "train": "measured after a short training",
    "prior": "estimated: a rank from ImageNet",
}
"""What the accuracy of a network is, by the kind of `--accuracy`."""


def overview(material: Material) -> Markup:
    """Figures of the winner first, then what was asked and what the figures rest on."""
    doubts = [element("p", clipped(f"Doubt: {doubt}.", MOST_LETTERS), class_="off") for doubt in material.result.doubts]
    return element("section", figures(material), *doubts, _asked(material), id="overview")


def figures(material: Material) -> Markup:
    """The winner in six figures, and one for each further cost that was asked about."""
    result = material.result
    winner, accuracy, targets = result.winner, result.winner_accuracy, result.targets
    cards = [each for on in targets for each in _times(on, f" on {on.target}" if len(targets) > 1 else "")]
    cards += [
        card(
            accuracy.label,
            uncertain(winner.accuracy, winner.accuracy_sigma, accuracy.unit),
            LABELS.get(material.kind, "") if result.race is None else "measured after the race's training",
            "" if winner.name is None else f"a published network won: {winner.name}",
        ),
        *(
            card(by_key(key).words, amount(key, value), "counted", _bound(result, key))
            for key, value in winner.costs.items()
        ),
    ]
    return element("div", *cards, class_="cards")


def _times(on: OnTarget, where: str) -> list[Markup]:
    """What was asked of a target, what its table says, and what was measured."""
    measured, ms = on.measured, milliseconds(on.latency_ms)
    cards = [
        card(f"asked{where}", f"≤\u00a0{milliseconds(on.bound_ms)}", "upper bound on latency", ""),
        card(
            f"table{where}",
            "—" if on.by_clock else ms,
            "does not answer" if on.by_clock else f"estimated ± {on.latency_error_pct:.0f} %",
            "" if on.by_clock else _kept(on),
        ),
    ]
    if on.by_clock:
        return [*cards, card(f"measured{where}", ms, "measured before the race", _kept(on))]
    if measured is None:
        return [*cards, card(f"measured{where}", "—", "not measured: the figure beside it is an estimate", "")]
    half = f"measured ± {milliseconds(measured.measured_halfwidth_ms)}"
    missed = f"MISSES {over}" if (over := measured.missed(on.bound_ms)) else "keeps the bound"
    missed = "the device was too busy: measure again" if measured.too_busy else missed
    return [*cards, card(f"measured{where}", milliseconds(measured.measured_ms), half, missed)]


def card(name: str, figure: str, kind: str, remark: str) -> Markup:
    """A figure with its name above it, and under it what it is."""
    return element(
        "div",
        element("div", clipped(name, 60), class_="name"),
        element("div", figure, class_="figure"),
        element("div", kind, class_="kind"),
        element("div", remark, class_="kind") if remark else None,
        class_="card",
    )


def _kept(on: OnTarget) -> str:
    excess = on.latency_ms / on.bound_ms - 1
    return f"{100 * excess:.1f} % above what was asked" if excess > 0 else ""


def _bound(result: Result, name: str) -> str:
    return f"asked ≤\u00a0{amount(name, result.bounds[name])}" if name in result.bounds else ""


def _asked(material: Material) -> Markup:
    request, result = material.request, material.result
    rows = [
        (
            "space",
            f"{material.space.name} · {result.size:.1e} architectures, {len(material.space.decisions)} decisions",
        ),
        *(row for aim, on in zip(request.aims, result.targets, strict=True) for row in _target(aim, on, result)),
        ("objective", request.goal),
        ("controller", request.controller),
        ("accuracy", result.accuracy.provenance),
        *([] if result.chosen is None else [("chosen", f"{result.chosen.accuracy}: {result.chosen.why}")]),
        ("budget", _budget(material)),
        ("seed", str(request.seed)),
        *([("data", request.data)] if request.data is not None else []),
        *([("proof", _proof(result, result.proof))] if result.proof is not None else []),
        *(("note", note) for note in result.notes),
    ]
    return definitions(rows)


def _target(aim: Aim, on: OnTarget, result: Result) -> list[tuple[str, str]]:
    """A target, what was asked of it, and what the winner's latency on it rests on."""
    default, (low, high) = "", on.attainable
    if aim.latency_ms is None:
        part = "" if aim.latency_share is None else f"{100 * aim.latency_share:g} % of "
        default = f" ({part}the latency of the space's first reference network)"
    shares = ", ".join(f"{share(on.coverage[p])} {p}" for p in PROVENANCES if on.coverage.get(p, 0.0) > 0)
    return [
        ("target", f"{on.target} · {on.device}"),
        ("bound", f"≤\u00a0{milliseconds(on.bound_ms)}{default}" + _further(result)),
        ("attainable", f"{milliseconds(low)} to {milliseconds(high)} on this target, by the table"),
        (
            "latency",
            "measured as a whole: the table does not answer for the winner"
            if on.by_clock
            else f"by table; of the winner's time {shares} (± {on.latency_error_pct:.0f} %, estimated)",
        ),
    ]


def definitions(rows: list[tuple[str, str]]) -> Markup:
    """A list of names and what they stand for."""
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", clipped(words, MOST_LETTERS))) for name, words in rows),
    )


def _further(result: Result) -> str:
    return "".join(f", {by_key(key).name} ≤\u00a0{amount(key, bound)}" for key, bound in result.further_bounds.items())


def _budget(material: Material) -> str:
    result, policy = material.result, material.result.policy
    took = f"{result.seconds:,.1f} s"
    if policy is not None:
        return (
            f"{policy.steps:,} training steps in {took} · likeliest options "
            f"{on_all(policy.argmax_ms, policy.argmax_latencies)}, expected "
            f"{on_all(policy.expected_ms, policy.expected_latencies)} (estimated) · {policy.changed} of "
            f"{len(material.space.decisions)} decisions changed to keep the bound · "
            f"undecided {share(policy.entropy)}"
        )
    if material.request.controller == "exact":
        return f"solved exactly in {took}"
    planned = "" if material.setup.planned is None else f"{material.setup.planned:,} asked for, "
    return f"{planned}{len(material.values):,} different architectures evaluated in {took}"


def _proof(result: Result, proof: Proof) -> str:
    return f"{proof.told(result.accuracy.label, len(result.bounds))}, by this predictor and table"


def table_rows(header: TableHeader) -> list[tuple[str, str]]:
    """What a table's header says of how its figures came about."""
    return [
        ("runtime", f"{header.runtime.name}, {header.runtime.version}"),
        ("network", f"{header.precision} · batch {header.batch}"),
        ("measured", f"{header.date} · {header.estimator}"),
        ("source", header.source),
    ]

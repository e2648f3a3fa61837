"""The head of a report: what was asked, what came out, and of every figure whether it is estimated."""

from __future__ import annotations

from markupsafe import Markup

from nas.cost.cost import by_key
from nas.report.figures import amount, milliseconds, share, uncertain
from nas.report.markup import clipped, element
from nas.report.material import Material
from nas.runs.result import Proof, Result
from nas.tables.header import TableHeader

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
    winner, accuracy, measured = result.winner, result.winner_accuracy, result.measured
    bound = result.latency_bound
    cards = [
        card("asked", f"≤\u00a0{milliseconds(bound)}", "upper bound on latency", ""),
        card(
            "table",
            "—" if result.by_clock else milliseconds(winner.latency_ms),
            "does not answer" if result.by_clock else f"estimated ± {result.winner.latency_error_pct:.0f} %",
            "" if result.by_clock else _kept(result),
        ),
    ]
    if result.by_clock:
        cards.append(card("measured", milliseconds(winner.latency_ms), "measured before the race", _kept(result)))
    elif measured is None:
        cards.append(card("measured", "—", "not measured: the figure beside it is an estimate", ""))
    else:
        half = f"measured ± {milliseconds(measured.measured_halfwidth_ms)}"
        missed = "MISSES the bound" if measured.misses(bound) else "keeps the bound"
        missed = "the device was too busy: measure again" if measured.too_busy else missed
        cards.append(card("measured", milliseconds(measured.measured_ms), half, missed))
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


def _kept(result: Result) -> str:
    excess = result.winner.latency_ms / result.latency_bound - 1
    return f"{100 * excess:.1f} % above what was asked" if excess > 0 else ""


def _bound(result: Result, name: str) -> str:
    return f"asked ≤\u00a0{amount(name, result.bounds[name])}" if name in result.bounds else ""


def _asked(material: Material) -> Markup:
    request, result = material.request, material.result
    low, high = result.attainable
    default = ""
    if request.latency_ms is None:
        part = "" if request.latency_share is None else f"{100 * request.latency_share:g} % of "
        default = f" ({part}the latency of the space's first reference network)"
    rows = [
        (
            "space",
            f"{material.space.name} · {result.size:.1e} architectures, {len(material.space.decisions)} decisions",
        ),
        ("target", f"{result.target} · {result.device}"),
        ("bound", f"≤\u00a0{milliseconds(result.latency_bound)}{default}" + _further(result)),
        ("attainable", f"{milliseconds(low)} to {milliseconds(high)} on this target, by the table"),
        ("objective", request.goal),
        ("controller", request.controller),
        ("accuracy", result.accuracy.provenance),
        *([] if result.chosen is None else [("chosen", f"{result.chosen.accuracy}: {result.chosen.why}")]),
        (
            "latency",
            "measured as a whole: the table does not answer for the winner"
            if result.by_clock
            else f"by table; {_covered(material)} (± {result.winner.latency_error_pct:.0f} %, estimated)",
        ),
        ("budget", _budget(material)),
        ("seed", str(request.seed)),
        *([("data", request.data)] if request.data is not None else []),
        *([("proof", _proof(result, result.proof))] if result.proof is not None else []),
        *(("note", note) for note in result.notes),
    ]
    return definitions(rows)


def definitions(rows: list[tuple[str, str]]) -> Markup:
    """A list of names and what they stand for."""
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", clipped(words, MOST_LETTERS))) for name, words in rows),
    )


def _further(result: Result) -> str:
    return "".join(
        f", {by_key(key).name} ≤\u00a0{amount(key, bound)}"
        for key, bound in result.bounds.items()
        if key != "latency_ms"
    )


def _covered(material: Material) -> str:
    return "of the winner's time " + ", ".join(f"{share(p)} {name}" for name, p in material.coverage.items())


def _budget(material: Material) -> str:
    result, policy = material.result, material.result.policy
    took = f"{result.seconds:,.1f} s"
    if policy is not None:
        return (
            f"{policy.steps:,} training steps in {took} · likeliest options {milliseconds(policy.argmax_ms)}, "
            f"expected {milliseconds(policy.expected_ms)} (estimated) · {policy.changed} of "
            f"{len(material.space.decisions)} decisions changed to keep the bound · "
            f"undecided {share(policy.entropy)}"
        )
    if material.request.controller == "exact":
        return f"solved exactly in {took}"
    planned = "" if material.setup.planned is None else f"{material.setup.planned:,} asked for, "
    return f"{planned}{len(material.latency_ms):,} different architectures evaluated in {took}"


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

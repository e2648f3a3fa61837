"""The head of a report: what was asked, what came out, and of every figure whether it is estimated."""

from __future__ import annotations

from markupsafe import Markup

from nas.report.figures import millions, milliseconds, share, uncertain
from nas.report.markup import clipped, element
from nas.report.material import Material, Outcome
from nas.tables.header import TableHeader

MOST_LETTERS = 2_000

LABELS = {
    "predictor": "estimated by a predictor",
    "table": "looked up",
    "zero-cost": "a score, not an accuracy",
    "supernet": "estimated with inherited weights",
    "train": "measured after a short training",
}
"""What the accuracy of a network is, by the kind of `--accuracy`."""


def overview(material: Material) -> Markup:
    """Figures of the winner first, then what was asked and what the figures rest on."""
    return element("section", figures(material), _asked(material), id="overview")


def figures(material: Material) -> Markup:
    """The winner in six figures."""
    outcome = material.outcome
    winner, accuracy, measured = outcome.winner, outcome.accuracy, outcome.measured
    bound = outcome.bounds["latency_ms"]
    cards = [
        _card("asked", f"≤\u00a0{milliseconds(bound)}", "upper bound on latency", ""),
        _card("table", milliseconds(winner.latency_ms), f"estimated ± {outcome.error_pct:.0f} %", _kept(outcome)),
    ]
    if measured is None:
        cards.append(_card("measured", "—", "not measured: the figure beside it is an estimate", ""))
    else:
        half = f"measured ± {milliseconds(measured.halfwidth_ms)}"
        missed = "keeps the bound" if measured.ms <= bound else "MISSES the bound"
        cards.append(_card("measured", milliseconds(measured.ms), half, missed))
    cards += [
        _card(
            accuracy.label, uncertain(winner.accuracy, winner.sigma, accuracy.unit), LABELS.get(accuracy.kind, ""), ""
        ),
        _card("MACs", millions(winner.macs), "counted", _bound(outcome, "macs")),
        _card("parameters", millions(winner.params), "counted", _bound(outcome, "params")),
    ]
    return element("div", *cards, class_="cards")


def _card(name: str, figure: str, kind: str, remark: str) -> Markup:
    return element(
        "div",
        element("div", clipped(name, 60), class_="name"),
        element("div", figure, class_="figure"),
        element("div", kind, class_="kind"),
        element("div", remark, class_="kind") if remark else None,
        class_="card",
    )


def _kept(outcome: Outcome) -> str:
    excess = outcome.winner.latency_ms / outcome.bounds["latency_ms"] - 1
    return f"{100 * excess:.1f} % above what was asked" if excess > 0 else ""


def _bound(outcome: Outcome, name: str) -> str:
    return f"asked ≤\u00a0{millions(outcome.bounds[name])}" if name in outcome.bounds else ""


def _asked(material: Material) -> Markup:
    request, outcome = material.request, material.outcome
    low, high = outcome.attainable
    default = "" if request.latency_ms is not None else " (the latency of the space's first reference network)"
    rows = [
        (
            "space",
            f"{material.space.name} · {outcome.size:.1e} architectures, {len(material.space.decisions)} decisions",
        ),
        ("target", f"{outcome.target} · {outcome.device}"),
        ("bound", f"≤\u00a0{milliseconds(outcome.bounds['latency_ms'])}{default}" + _further(outcome)),
        ("attainable", f"{milliseconds(low)} to {milliseconds(high)} on this target, by the table"),
        ("objective", request.goal),
        ("controller", request.controller),
        ("accuracy", outcome.accuracy.provenance),
        ("latency", f"by table; {_covered(outcome)} (± {outcome.error_pct:.0f} %, estimated)"),
        ("budget", _budget(material)),
        ("seed", str(request.seed)),
        *([("data", request.data)] if request.data is not None else []),
        *([("proof", _proof(outcome.proof))] if outcome.proof is not None else []),
        *(("note", note) for note in outcome.notes),
    ]
    return definitions(rows)


def definitions(rows: list[tuple[str, str]]) -> Markup:
    """Names and what they are."""
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", clipped(words, MOST_LETTERS))) for name, words in rows),
    )


def _further(outcome: Outcome) -> str:
    return "".join(
        f", {name} ≤\u00a0{millions(bound)}" for name, bound in outcome.bounds.items() if name != "latency_ms"
    )


def _covered(outcome: Outcome) -> str:
    return "of the winner's time " + ", ".join(f"{share(p)} {name}" for name, p in outcome.coverage.items() if p > 0)


def _budget(material: Material) -> str:
    outcome, policy = material.outcome, material.outcome.policy
    took = f"{outcome.seconds:,.1f} s"
    if policy is not None:
        return (
            f"{policy['steps']:,} training steps in {took} · likeliest options {milliseconds(policy['argmax_ms'])}, "
            f"expected {milliseconds(policy['expected_ms'])} (estimated) · {policy['changed']} of "
            f"{len(material.space.decisions)} decisions changed to keep the bound · "
            f"undecided {share(policy['entropy'])}"
        )
    if material.request.controller == "exact":
        return f"solved exactly in {took}"
    planned = "" if material.setup.planned is None else f"{material.setup.planned:,} asked for, "
    return f"{planned}{len(material.latency_ms):,} different architectures evaluated in {took}"


def _proof(proof: tuple[float, bool]) -> str:
    gap, proven = proof
    if proven and gap < 1e-6:
        return "within these bounds, by this predictor and table, the winner is the best there is"
    if proven:
        return f"within these bounds, by this predictor and table, the best there is lies {gap:.3f} above the winner"
    return f"no architecture within these bounds beats the winner by more than {gap:.3f}, by this predictor and table"


def table_rows(header: TableHeader) -> list[tuple[str, str]]:
    """What a table's header says of how its figures came about."""
    return [
        ("runtime", f"{header.runtime.name}, {header.runtime.version}"),
        ("network", f"{header.precision} · batch {header.batch}"),
        ("measured", f"{header.date} · {header.estimator}"),
        ("source", header.source),
    ]

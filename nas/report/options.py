"""How often each option of each decision is taken near the front, or how likely a policy finds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from nas.report.chart import area_key, legend
from nas.report.figures import counted, share
from nas.report.markup import clipped, element, joined
from nas.report.material import Floats, Material
from nas.space.space import Decision

BEST = 0.05
"""Share of the evaluations within the bounds that count as near the front."""
LEAST_ROWS = 20
MOST_OPTIONS = 12
"""Options of a decision that are drawn."""
MOST_BARS = 320
"""Bars of all decisions together."""
ROW = 20
NARROW = 4
"""Letters of options that leave room for two charts beside each other on a phone."""


@dataclass(frozen=True)
class Chances:
    """A share for each option of each decision, and what they are shares of."""

    shares: list[Floats]
    words: str


def options_section(material: Material) -> Markup:
    """A small chart for each decision."""
    chances = policy_chances(material) or best_chances(material)
    if chances is None:
        return element("p", "No evaluation is within the bounds, so there is nothing to count.")
    decisions, genotype = material.space.decisions, material.genotype
    cards, bars = [], 0
    for decision, shares, taken in zip(decisions, chances.shares, genotype.tolist(), strict=True):
        shown = _shown(shares, taken)
        if bars + len(shown) > MOST_BARS:
            break
        bars += len(shown)
        cards.append(_card(decision, shares, shown, taken))
    left = len(decisions) - len(cards)
    more = f" The last {counted(left, 'decision')} are not drawn." if left else ""
    narrow = all(len(str(option)) <= NARROW for decision in decisions for option in decision.options)
    entries = [(area_key("share"), "share"), (area_key("share chosen"), "★ the winner's option")]
    without = "Where a decision has no effect, as for a layer that is left out, the first option counts."
    return joined(
        [
            element("p", f"{chances.words}{more}"),
            legend(entries),
            element("div", *cards, class_="options narrow" if narrow else "options"),
            element("p", without, class_="note"),
        ]
    )


def policy_chances(material: Material) -> Chances | None:
    """The probabilities that a policy ended with; None where there was none, or it is of other decisions."""
    policy, decisions = material.result.policy, material.space.decisions
    if policy is None:
        return None
    rows = [np.array(policy.probabilities.get(decision.name, [])) for decision in decisions]
    if any(len(row) != len(decision.options) for row, decision in zip(rows, decisions, strict=True)):
        return None
    return Chances(rows, "Probabilities of the policy at its end.")


def best_chances(material: Material) -> Chances | None:
    """Counted among the best evaluations within the bounds."""
    within = np.flatnonzero(material.within)
    if not len(within):
        return None
    count = min(len(within), max(LEAST_ROWS, round(BEST * len(within))))
    best = np.sort(within[np.argpartition(-material.values[within], count - 1)[:count]])  # in the order of the file
    population, sizes = material.genotypes(best), material.space.cardinalities
    shares = [np.bincount(population[:, d], minlength=sizes[d]) / count for d in range(population.shape[1])]
    of = f"{counted(len(within), 'evaluated architecture')} within the bounds"
    return Chances(shares, f"Counted among the best {count:,} by value of {of}.")


def _shown(shares: Floats, taken: int) -> list[int]:
    """The options of a decision that get a bar, in the space's order: all, or the commonest and the winner's."""
    if len(shares) <= MOST_OPTIONS:
        return list(range(len(shares)))
    return sorted({taken, *np.argsort(-shares, kind="stable")[: MOST_OPTIONS - 1].tolist()})


def _card(decision: Decision, shares: Floats, shown: list[int], taken: int) -> Markup:
    rows = []
    for row, option in enumerate(shown):
        name, part = str(decision.options[option]), float(shares[option])
        chosen = option == taken
        tip = element("title", f"{decision.name} {name}: {share(part)}{', the winner’s' if chosen else ''}")
        y = row * ROW + 14
        width = f"{min(max(100 * part, 0.0), 100.0):.1f}%"
        style = "share chosen" if chosen else "share"
        rows += [
            element(
                "text", f"{'★ ' if chosen else ''}{clipped(name, 11)}", x="-6", y=y, class_="tick end" + " own" * chosen
            ),
            element("rect", tip, x="0", y=row * ROW + 3, width=width, height=str(ROW - 6), class_=style),
            element("text", share(part), x="100%", dx="44", y=y, class_="tick end"),
        ]
    hidden = len(decision.options) - len(shown)
    more = element("div", f"{hidden} rarer options are not shown", class_="kind") if hidden else None
    svg = element("svg", *rows, role="img", aria_label=f"Options of {decision.name}", height=str(ROW * len(shown)))
    name = element("div", clipped(decision.name, 40), class_="name")
    return element("div", name, element("div", svg, class_="shares"), more, class_="option")

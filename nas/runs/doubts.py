"""Doubts: what in a search says that its winner means little, in sentences for whoever reads of the winner."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Protocol, runtime_checkable

from nas.runs.problem import Problem
from nas.runs.result import Found, OnTarget
from nas.runs.search_method import Searched

GUESSED = 0.98
"""A loss of at least this share of ln C is that of guessing one of C classes."""


@runtime_checkable
class HeldOut(Protocol):
    """An evaluator whose figures are shares of pictures held out that are right, in percent."""

    @property
    def classes(self) -> int:
        """Of the pictures."""


def doubts(problem: Problem, searched: Searched, winner: Found, fleet: Sequence[OnTarget] = ()) -> list[str]:
    """None where there is nothing to say: then a search may still have been too short, but it cannot be seen. Of the
    winner itself the `fleet` tells, a target each."""
    found = [*filter(None, (table.noise(problem.space) for table in problem.tables.values()))]
    accuracy, policy = problem.objective.accuracy, searched.policy
    for on, table in zip(fleet, problem.tables.values(), strict=True) if fleet else ():
        own, beside = on.measured and on.measured.float32_ratio, table.header.beside_float
        ratio, of = (own, "the winner") if own else (beside.ratio if beside else 0.0, "its networks")
        if ratio > 1:
            where = "here" if len(fleet) == 1 else f"on {on.target}"
            told = f"{problem.space.precision} is slower {where} by {ratio:.1f}x than {of} in float32"
            found.append(f"{told}: leave --precision out")
    if problem.weights is not None:
        steps, learnt = problem.weights.settings.steps, sum(problem.space.cardinalities > 1)
        if steps < learnt:
            kind = accuracy.label.partition(" ")[0]  # `supernet top-1` or `sensitivity top-1`
            more = "a larger --budget" if policy else f"more of them, as in --accuracy {kind}:2000"
            found.append(f"{steps:,} training steps are fewer than the {learnt} decisions to learn: give {more}")
    if isinstance(accuracy, HeldOut):
        guess = 100 / accuracy.classes
        if winner.accuracy <= guess + 2 * winner.accuracy_sigma:
            found.append(
                f"{accuracy.label} {winner.accuracy:.1f} ± {winner.accuracy_sigma:.1f} % cannot be told from guessing "
                f"one of {accuracy.classes:,} classes, {guess:.1f} %: train longer, or on more pictures"
            )
        if policy is not None and policy.loss is not None and policy.loss >= GUESSED * log(accuracy.classes):
            found.append(
                f"the training loss ends at {policy.loss:.2f}, and guessing has {log(accuracy.classes):.2f}: "
                "nothing was learnt that options could be told apart by"
            )
    return found

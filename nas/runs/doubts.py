"""Doubts: what in a search says that its winner means little, in sentences for whoever reads of the winner."""

from __future__ import annotations

from math import log
from typing import Protocol, runtime_checkable

from nas.runs.problem import Problem
from nas.runs.result import Found
from nas.runs.search_method import Searched

GUESSED = 0.98
"""A loss of at least this share of ln C is that of guessing one of C classes."""


@runtime_checkable
class HeldOut(Protocol):
    """An evaluator whose figures are shares of pictures held out that are right, in percent."""

    @property
    def classes(self) -> int:
        """Of the pictures."""


def doubts(problem: Problem, searched: Searched, winner: Found) -> list[str]:
    """None where there is nothing to say: then a search may still have been too short, but it cannot be seen."""
    found = [*filter(None, [problem.table.noise(problem.space)])]
    accuracy, policy = problem.objective.accuracy, searched.policy
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

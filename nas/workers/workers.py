"""The contract of workers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(Protocol):
    """Does pieces of work that are independent of each other; knows nothing of what they are."""

    @property
    def option(self) -> str:
        """The option that a resuming command needs: ` --workers ray`, or nothing."""

    def at_once(self, gpu: bool) -> int:
        """How many pieces are done at the same time, at least 1. Raises `NasError` where the workers are not there."""

    def map(
        self, work: Callable[[Item], Result], items: Sequence[Item], *, gpu: bool = False
    ) -> Generator[tuple[int, Result], None, None]:
        """`work` of every item, with the item's index, in the order in which they are finished.

        `work` and items are pickled, `work` once; `gpu` asks for a GPU for each piece, where there are any.
        Raises what `work` raises, `GivenUp` where a piece failed too often through no fault of its own, and
        `Interrupted` after SIGINT or SIGTERM. Close the generator where it is left early.
        """

    def close(self) -> None:
        """Let go of them; it can be called twice."""

"""Searching together: what the processes that torchrun started do of one search.

They train its supernet together. All else is the first one's: it loads, measures and sets up before the others, which
then load what it has left, and it evaluates and concludes when they are gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nas.errors import Alone, NasError
from nas.system import ranks

if TYPE_CHECKING:
    from nas.runs.request import Request
    from nas.training.processes import Processes


@contextmanager
def together(request: Request) -> Iterator[Processes | None]:
    """The processes of this search; None is this one alone, which needs no torch for it. Raises `NasError` where there
    are several, and nothing that they could do."""
    if ranks.count() == 1:
        yield None
        return
    if not request.inherits:
        raise NasError(
            "Several processes train a supernet together, and this search trains none. Start it without torchrun."
        )
    from nas.training.processes import joined

    with joined() as team:
        yield team


@contextmanager
def first_before_others(team: Processes | None) -> Iterator[None]:
    """What is done inside, the first process does before the others, which find on the disk what it has left there; all
    go on at the same time."""
    if team is None:
        yield
    elif team.first:
        yield
        team.wait()  # what the others read is on the disk now
        team.wait()  # and they have read it
    else:
        team.wait()
        try:
            yield
        except NasError as problem:
            raise Alone(f"Process {team.rank}: {problem}") from None
        team.wait()

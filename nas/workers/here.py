"""Here: one piece of work after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from nas.errors import Interrupted
from nas.system.interrupt import interruptible
from nas.workers.workers import Item, Result


class Here:
    """This process as a worker."""

    option = ""

    def at_once(self, gpu: bool) -> int:
        return 1

    def map(
        self, work: Callable[[Item], Result], items: Sequence[Item], *, gpu: bool = False
    ) -> Generator[tuple[int, Result], None, None]:
        """In order; a signal is answered between two pieces."""
        with interruptible() as interrupted:
            for index, item in enumerate(items):
                yield index, work(item)
                if interrupted():
                    raise Interrupted(f"{index + 1} of {len(items)} pieces of work were done.")

    def close(self) -> None:
        """Nothing to let go of."""

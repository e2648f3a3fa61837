"""Everything that `nas` raises on purpose.

NasError                     a wrong request: exit code 2
├── SpaceError               a search space or a genotype that breaks a rule
├── ArchitectureError        a layer, a config or an arch-def that breaks a rule
├── DataError                pictures that cannot be trained on
├── TableError               a latency table that breaks a rule
│   └── LatencyMissing       layers that a table cannot answer
├── RunError                 a run folder that is missing, taken or of another request
├── Alone                    what one of several processes may meet by itself
│   └── OutOfMemory          a step that does not fit into memory
├── Diverged                 a training whose loss is no number any more
├── GivenUp                  a piece of work whose workers died
├── Refused                  the system does not let us read or write: a full disk, a read-only medium
└── Unattainable             the answer is no: exit code 1
Interrupted                  stopped by the user, resumable: exit code 130

A message says the rule, what came and the next step, in one or two lines.
"""

from __future__ import annotations

import errno
from pathlib import Path


class NasError(Exception):
    """A wrong request; `exit_code` is what the command line ends with."""

    exit_code = 2


class SpaceError(NasError):
    """A search space, or a genotype of one, breaks a rule."""


class ArchitectureError(NasError):
    """A layer, a config or an arch-def breaks a rule."""


class DataError(NasError):
    """Pictures, or what names them, break a rule."""


class TableError(NasError):
    """A latency table breaks a rule."""


class LatencyMissing(TableError):
    """A table has neither a row nor a model that answers for a layer."""


class RunError(NasError):
    """A run folder is missing, taken, or belongs to another request."""


class Alone(NasError):
    """One of several processes may meet this by itself, and then tells it, whichever it is."""


class OutOfMemory(Alone):
    """A step of training does not fit into memory."""


class Diverged(NasError):
    """The loss of a training, or its gradient, is no finite number any more."""


class GivenUp(NasError):
    """A piece of work failed too often through no fault of its own: whoever did it died."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index
        """Of the piece."""


class Refused(NasError):
    """The system does not let us read or write: the disk is full, the medium read-only, the folder gone."""

    @classmethod
    def of(cls, problem: OSError, then: str = "run the command again.", folder: Path | None = None) -> Refused:
        """Where it refused (in `folder`, where it does not tell), why, what helps, and `then` what to type."""
        where = problem.filename or folder
        place = f"{where}: " if where else ""
        helps = _HELPS.get(problem.errno or 0, "Put that right")
        return cls(f"{place}{problem.strerror or problem}. {helps}, then {then}")


_HELPS = {
    errno.ENOSPC: "Make room (temporary files go where TMPDIR says)",
    errno.EDQUOT: "Make room in your quota",
    errno.EFBIG: "Allow larger files (ulimit -f)",
    errno.EROFS: "Make it writable",
    errno.EACCES: "Make it accessible to you",
    errno.EPERM: "Make it accessible to you",
    errno.EIO: "See to the disk or its connection",
    errno.EMFILE: "Allow more open files (ulimit -n)",
}


class Unattainable(NasError):
    """No architecture of the space meets the bounds; the message gives the attainable range."""

    exit_code = 1


class Interrupted(Exception):
    """SIGINT, SIGTERM or SIGHUP arrived between two steps; everything evaluated is in the ledger."""

    exit_code = 130

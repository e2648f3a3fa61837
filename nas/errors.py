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
└── Unattainable             the answer is no: exit code 1
Interrupted                  stopped by the user, resumable: exit code 130

A message says the rule, what came and the next step, in one or two lines.
"""


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


class Unattainable(NasError):
    """No architecture of the space meets the bounds; the message gives the attainable range."""

    exit_code = 1


class Interrupted(Exception):
    """SIGINT or SIGTERM arrived between two batches; everything evaluated is in the ledger."""

    exit_code = 130

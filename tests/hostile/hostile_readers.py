"""Every hostile input, by what reads it."""

from __future__ import annotations

from hostile_data import PICTURES
from hostile_networks import ARCH_DEFS, CONFIGS, ONCE_FOR_ALL, WEIGHTS
from hostile_runs import CHECKPOINTS, RUNS, TRAININGS
from hostile_spaces import SPACES
from hostile_tables import LOOKUPS, TABLES

READERS = (SPACES, TABLES, LOOKUPS, CONFIGS, ARCH_DEFS, ONCE_FOR_ALL, WEIGHTS, RUNS, TRAININGS, CHECKPOINTS, PICTURES)

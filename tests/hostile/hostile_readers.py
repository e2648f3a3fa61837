"""Every hostile input, by what reads it."""

from __future__ import annotations

from hostile_data import PICTURES
from hostile_networks import ARCH_DEFS, CONFIGS, WEIGHTS
from hostile_runs import CHECKPOINTS, RUNS, TRAININGS
from hostile_spaces import SPACES
from hostile_tables import TABLES

READERS = (SPACES, TABLES, CONFIGS, ARCH_DEFS, WEIGHTS, RUNS, TRAININGS, CHECKPOINTS, PICTURES)

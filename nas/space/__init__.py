"""What may be chosen.

space.py       Space: decisions, slots, genotypes as arrays
candidates.py  what each slot can be
canonical.py   one form for genotypes that mean the same network, derived from the candidates
schema.py      the typed YAML file; load.py turns it into a Space
"""

from nas.space.space import Decision, Option, Population, Slot, Space

__all__ = ["Decision", "Option", "Population", "Slot", "Space"]

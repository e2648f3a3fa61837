"""The best of a space from its factors alone, with a proof: exact.py; relaxation.py is its upper bound."""

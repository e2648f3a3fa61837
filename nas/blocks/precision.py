"""Precisions of a layer's arithmetic."""

FLOAT, EIGHT_BIT = "float32", "int8"
PRECISIONS = (FLOAT, "float16", EIGHT_BIT)
"""The first where nothing is said."""
MEASURED = (FLOAT, EIGHT_BIT)
"""Those that devices are asked for."""

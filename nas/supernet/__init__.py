"""A space's networks in one set of weights, the rules by which they are trained, and networks that leave it."""

"""What networks of a space cost: cost.py has the table of costs, factors.py how they compile to arrays.

cost.py     name, unit and fold of each cost, and its value of a layer
memory.py   bytes of weights and of activations
counts.py   costs that need no latency table, by name
factors.py  a cost of a space as small dense arrays
recount.py  MACs and parameters counted by fvcore, to compare
front.py    which networks no other beats
"""

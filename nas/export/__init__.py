"""What is made of a network or a run for other tools; the formats of a network themselves are in nas/formats/.

int8.py        the network in 8-bit integers
study.py       a run as an Optuna study
"""

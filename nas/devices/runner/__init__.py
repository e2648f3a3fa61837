"""The runner of devices that have no Python: `runner.c` does what `worker.py` does, and `build.py` compiles it."""

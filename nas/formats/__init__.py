"""Files that a network is read from and written to, and nothing else."""

"""Workers: where independent pieces of work are done. One kind a file.

workers.py  the contract
here.py     one after the other, in this process
on_ray.py   as Ray tasks, on this machine or a cluster (docs/ray.md)
"""

from __future__ import annotations

from nas.errors import NasError
from nas.system.teller import Teller
from nas.workers.here import Here
from nas.workers.workers import Workers

__all__ = ["Here", "Workers", "check_workers", "make_workers"]


def check_workers(word: str) -> None:
    """Raise `NasError` unless this is what `--workers` takes: `ray`, or `ray:ADDRESS`."""
    name, colon, address = word.partition(":")
    if name != "ray" or (colon and not address):
        raise NasError(f"Workers are ray, on this machine, or ray:ADDRESS of a cluster, got {word[:60]!r}.")
    if address.startswith("//") or "://" in address:
        raise NasError(
            f"Ray Client addresses (ray://…) are not supported, got {word[:60]!r}. "
            "Run nas on a machine of the cluster, with --workers ray:auto."
        )


def make_workers(word: str | None, teller: Teller) -> Workers:
    """The workers that `--workers` names, by default this process; to be closed. Nothing is started yet.

    Raises `NasError` for a word that names none.
    """
    if word is None:
        return Here()
    check_workers(word)
    from nas.workers.on_ray import OnRay

    return OnRay(word.partition(":")[2] or None, teller)

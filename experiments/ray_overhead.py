"""What it costs to have a piece of work done by Ray on this machine, beside doing it in this process.

    python experiments/ray_overhead.py [--rounds 15] [--pictures 512]

    nothing     a function that returns its argument
    zero-cost   the default proxies of one network of nas-bench-macro
    training    one epoch of one such network on so many digits, with its score

Each piece is done here and by a Ray task in turn, one at a time, and tells how long it took by itself. Figures are
medians: `overhead_ms` is the time until its result was here beyond that, `overhead_pct` its share, `cpu_ratio` the
processor time of a piece in a worker over that of the same piece here. `together_ms` is the time of one of 200 empty
tasks that are handed in at once; `start_s` is from nothing to a running Ray, `first_s` until a new worker has done its
first training, with torch imported and the pictures fetched.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

from nas.accuracy.short_training import Training
from nas.accuracy.zero_cost import ZeroCost
from nas.data import load_data
from nas.space.load import load_space
from nas.system.teller import Silent
from nas.training.recipe import Recipe
from nas.workers import Here, Workers
from nas.workers.on_ray import OnRay

TOGETHER = 200


def nothing(item: int) -> int:
    """Returned as it is."""
    return item


@dataclass(frozen=True)
class Timed:
    """Work that tells how long it took: wall-clock and processor time, in seconds."""

    work: Callable[[Any], Any]

    def __call__(self, item: Any) -> tuple[float, float]:
        """See `Timed`."""
        begun, cpu = perf_counter(), process_time()
        self.work(item)
        return perf_counter() - begun, process_time() - cpu


def done(workers: Workers, work: Callable[[Any], Any], items: Sequence[Any]) -> tuple[float, list[Any]]:
    """Seconds until the workers have done all of it, and the results."""
    begun = perf_counter()
    with closing(workers.map(work, items)) as results:
        found = [result for _, result in results]
    return perf_counter() - begun, found


def compared(ray: OnRay, work: Callable[[Any], Any], items: Sequence[Any], rounds: int) -> dict[str, float]:
    """One piece at a time, by Ray and here."""
    here, timed = Here(), Timed(work)
    for workers in (ray, here):
        done(workers, timed, items[:1])  # what is prepared at first
    overheads, shares, ratios, ours = [], [], [], []
    for number in range(rounds):
        item = [items[number % len(items)]]
        until, [(wall, cpu)] = done(ray, timed, item)
        _, [(wall_here, cpu_here)] = done(here, timed, item)
        overheads.append(1e3 * (until - wall))
        shares.append(100 * (until - wall) / until)
        ratios.append(cpu / max(cpu_here, 1e-9))
        ours.append(1e3 * wall_here)
    return {
        "here_ms": median(ours),
        "overhead_ms": median(overheads),
        "overhead_pct": median(shares),
        "cpu_ratio": median(ratios),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--pictures", type=int, default=512)
    arguments = parser.parse_args()
    space = load_space("nas-bench-macro", classes=10)
    data = load_data("digits", space.resolution).subset(arguments.pictures)
    networks = [space.decode(genotype) for genotype in space.sample(4, np.random.default_rng(0))]
    proxies = ZeroCost(space)._proxies
    training = Training(data, Recipe(epochs=1), seed=0)
    with closing(OnRay(None, Silent())) as ray:
        begun = perf_counter()
        ray.start()
        start_s = perf_counter() - begun
        first_s, _ = done(ray, training, networks[:1])
        figures: dict[str, Any] = {
            "nothing": compared(ray, nothing, range(TOGETHER), 10 * arguments.rounds),
            "zero-cost": compared(ray, proxies, [(network, 0) for network in networks], arguments.rounds),
            "training": compared(ray, training, networks, arguments.rounds),
        }
        figures["nothing"]["together_ms"] = 1e3 * done(ray, nothing, range(TOGETHER))[0] / TOGETHER
    print(json.dumps({"start_s": start_s, "first_s": first_s} | figures, indent=1))


if __name__ == "__main__":
    main()

"""What it costs to have a piece of work done by Ray on this machine, beside doing it in this process.

    python experiments/ray_overhead.py [--rounds 15] [--pictures 512]

    nothing     a function that returns its argument
    zero-cost   the default proxies of one network of nas-bench-macro
    training    one epoch of one such network on so many digits, with its score

Each piece is done here and by a Ray task in turn, one at a time. Figures are medians over such pairs: `overhead_ms` of
Ray's time less ours, `ratio` of Ray's time over ours. `together_ms` is the time of one of 200 empty tasks that are
handed in at once; `start_s` is from nothing to a running Ray, `first_s` until a new worker has done its first training,
with torch imported and the pictures fetched.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from nas.accuracy.short_training import Training
from nas.accuracy.zero_cost import ZeroCost
from nas.data import load_data
from nas.space.load import load_space
from nas.teller import Silent
from nas.training.recipe import Recipe
from nas.workers import Here, Workers
from nas.workers.on_ray import OnRay

TOGETHER = 200


def nothing(item: int) -> int:
    """Returned as it is."""
    return item


def seconds(workers: Workers, work: Callable[[Any], Any], items: Sequence[Any]) -> float:
    """Until the workers have done all of it."""
    begun = perf_counter()
    with closing(workers.map(work, items)) as results:
        assert len(list(results)) == len(items)
    return perf_counter() - begun


def compared(ray: OnRay, work: Callable[[Any], Any], items: Sequence[Any], rounds: int) -> dict[str, float]:
    """One piece at a time, here and by Ray, the first of each pair in turn."""
    here = Here()
    seconds(ray, work, items[:1])
    seconds(here, work, items[:1])
    pairs = []
    for number in range(rounds):
        one = [items[number % len(items)]]
        if number % 2:
            there = seconds(ray, work, one)
            pairs.append((seconds(here, work, one), there))
        else:
            ours = seconds(here, work, one)
            pairs.append((ours, seconds(ray, work, one)))
    return {
        "here_ms": 1e3 * median(ours for ours, _ in pairs),
        "ray_ms": 1e3 * median(there for _, there in pairs),
        "overhead_ms": 1e3 * median(there - ours for ours, there in pairs),
        "ratio": median(there / ours for ours, there in pairs),
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
        first_s = seconds(ray, training, networks[:1])
        figures: dict[str, Any] = {
            "nothing": compared(ray, nothing, range(TOGETHER), 10 * arguments.rounds),
            "zero-cost": compared(ray, proxies, [(network, 0) for network in networks], arguments.rounds),
            "training": compared(ray, training, networks, arguments.rounds),
        }
        figures["nothing"]["together_ms"] = 1e3 * seconds(ray, nothing, range(TOGETHER)) / TOGETHER
    print(json.dumps({"start_s": start_s, "first_s": first_s} | figures, indent=1))


if __name__ == "__main__":
    main()

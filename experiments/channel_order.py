"""Which channels of a trained network should a narrower one keep?

Those of large norms, those that Taylor's expansion of the loss says matter, or any?

    python experiments/channel_order.py TRAINED --data imagefolder:PICTURES

TRAINED is a training (`nas train`) or the `teacher` folder of a `nas search --network`. It is cut evenly in width and
not trained again; statistics are those of 512 training pictures. Prints the top-1 of the held-out pictures, in percent.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from nas.data import load_data
from nas.data.batches import picture_tensor
from nas.runs.network import find_network
from nas.space.elastic import elastic_space
from nas.supernet.channels import groups, important_first, ordered
from nas.supernet.inherit import inherit
from nas.supernet.past import taylor
from nas.supernet.subnet import CALIBRATION, recalibrate
from nas.supernet.superkernel import Superkernel
from nas.training.network import network_of
from nas.training.score import evaluate

LEVELS = (4, 3, 2, 1)
"""Options of six that a width takes, counted from the narrowest, 0."""
SEEDS = 3
"""Of the random orders."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("trained")
    parser.add_argument("--data", required=True)
    arguments = parser.parse_args()
    source = find_network(arguments.trained)
    network, weights, shown = source.config.architecture, source.weights, source.config.pictures
    if weights is None or shown is None:
        raise SystemExit(f"{arguments.trained}: the weights are not trained.")
    data = load_data(arguments.data, (network.height, network.width), channels=network.channels)
    data = replace(data, mean=shown.mean, std=shown.std)
    space = elastic_space(network, "whole")
    gradients = taylor(network_of(network, weights), data)
    orders = {"norm": important_first(network, weights), "Taylor": important_first(network, weights, gradients)}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        free = [group for group in groups(network) if not group.fixed]
        orders[f"random {seed}"] = ordered(weights, ((group, rng.permutation(group.channels)) for group in free))
    calibration = [picture_tensor(data, data.train.pictures[i : i + 128]) for i in range(0, CALIBRATION, 128)]
    top = (space.cardinalities - 1).astype(np.uint8)
    whole = space.decode(top).macs
    print(f"{'width':>6} {'MACs':>6}  " + "  ".join(f"{name:>8}" for name in orders))
    for level in LEVELS:
        genotype = top.copy()
        for place, decision in enumerate(space.decisions):
            if decision.name.endswith((".width", ".mid")):
                genotype[place] = round(level / 5 * top[place])
        cells = []
        for state in orders.values():
            supernet = Superkernel(space)
            inherit(supernet, network, state)
            subnet = supernet.standalone(genotype)
            recalibrate(subnet, calibration)
            cells.append(evaluate(subnet, data, data.validation).top1)
        share = space.decode(genotype).macs / whole
        print(f"{level / 5:6.2f} {share:6.2f}  " + "  ".join(f"{cell:8.1f}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()

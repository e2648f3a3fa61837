"""How long a network takes that was scaled to the same work by width, mostly by width, or by all three alike.

    python experiments/equal_work.py [--device cpu] [--network mobilenetv2-1.0] [--repeats 5]

*Fast and Accurate Model Scaling* (arXiv:2103.06877, sections 3 and 4) says that time follows activations, the values
that convolutions give, rather than work, so that `fast` is nearly as fast as `width`, and `compound` slower. All
networks are measured in the same sessions, and none is trained. Times are told as multiples of the network's own.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import kendalltau

from nas.blocks.architecture import Architecture
from nas.cli.output import ScreenTeller
from nas.profiler.bench import attached
from nas.profiler.verify import measure_networks
from nas.runs.network import find_network
from nas.runs.proportions import WAYS
from nas.runs.scaling import scalings


def activations(network: Architecture) -> int:
    """Values that convolutions give, for one picture: activations as the paper counts them."""
    nodes = (node for layer in network.layers for node in layer.graph.nodes if node.op.macs(*node.shapes))
    return sum(int(np.prod(node.shape)) for node in nodes)


def main() -> None:
    """Scale, measure together, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--network", default="mobilenetv2-1.0")
    parser.add_argument("--work", default="0.25,0.5,2,4", help="multiples of the network's MACs")
    parser.add_argument("--repeats", type=int, default=5, help="sessions; medians over them are told")
    arguments = parser.parse_args()
    whole = find_network(arguments.network).config.architecture
    rows: list[tuple[str, float, Architecture]] = [("as it is", 1.0, whole)]
    for by in WAYS:
        networks = list(scalings(whole, by))
        work = np.array([network.macs for network in networks]) / whole.macs
        for asked in map(float, arguments.work.split(",")):
            rows.append((by, asked, networks[int(np.abs(np.log(work / asked)).argmin())]))
    with ScreenTeller("measure") as teller, attached(arguments.device) as device:
        times = [
            measure_networks([network for _, _, network in rows], None, device, teller).ms
            for _ in range(arguments.repeats)
        ]
    ratios = np.array(times) / np.array(times)[:, :1]
    low, ratio, high = np.quantile(ratios, (0, 0.5, 1), axis=0)
    print(f"{arguments.network}, {np.median(times, axis=0)[0]:.2f} ms; times in its own (least to most)")
    print(f"{'by':<9}  work  MACs, M  values, M  layers  pixels  params, M  time")
    for place, (by, asked, network) in enumerate(rows):
        amounts = f"{network.macs / 1e6:>7.1f}  {activations(network) / 1e6:>9.2f}"
        shape = f"{len(network.layers):>6}  {network.height:>6}  {network.params / 1e6:>9.2f}"
        time = f"{ratio[place]:.2f} ({low[place]:.2f}-{high[place]:.2f})"
        print(f"{by:<9}  {asked:>4g}  {amounts}  {shape}  {time}")
    for what, values in {
        "MACs": [network.macs for _, _, network in rows],
        "values": [activations(network) for _, _, network in rows],
        "parameters": [network.params for _, _, network in rows],
    }.items():
        print(f"Kendall's tau of time and {what}: {kendalltau(values, ratio).statistic:.2f}")


if __name__ == "__main__":
    main()

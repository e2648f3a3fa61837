"""How true is a table of this machine? Fresh random networks of a space, by the table and by the clock.

Beside the table, in the same run and calibrated by the same 40 networks: plain sums of blocks, sums with a scale and an
offset, a line over MACs, and sums of single operators (with a scale and an offset, too). The networks are none of those
that the table was made or checked with. The floor is what halves of the measurements differ by.

    python experiments/table_error.py --seed 1 [--space nas-bench-201]

Sums of operators are of those that take one value; where branches meet, nothing is counted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import nas
from nas.blocks.architecture import Architecture
from nas.blocks.block import BLOCKS, Activation, Gate
from nas.blocks.convolution import Conv, SqueezeExcite
from nas.blocks.graph import Graph, Wire
from nas.blocks.layer import Layer
from nas.blocks.linear import Linear, Pool
from nas.blocks.op import Op
from nas.profiler.bench import attached
from nas.profiler.estimate import estimate
from nas.profiler.networks import random_networks
from nas.profiler.probe import write_weights
from nas.profiler.profile import profile
from nas.profiler.rounds import Effort, Rounds, Workload
from nas.profiler.samples import Samples
from nas.profiler.survey import Survey
from nas.profiler.verify import error_of, measure_networks


@dataclass(frozen=True, kw_only=True)
class Single:
    """One operation by itself."""

    out_channels: int
    se_channels: int = 0
    se_gate: Gate = "sigmoid"
    activation: Activation = "none"

    def write(self, g: Graph, x: Wire) -> Wire:
        """See `nas.blocks.block.Block`."""
        return g.add("op", self.op(x.channels), x)


class OnlyExcite(Single):
    """Squeeze-and-excitation."""

    def op(self, channels: int) -> Op:
        """The operation."""
        return SqueezeExcite(channels, self.se_channels, self.se_gate)


class OnlyPool(Single):
    """Pooling."""

    head: ClassVar[bool] = True

    def op(self, channels: int) -> Op:
        """The operation."""
        return Pool()


class OnlyLinear(Single):
    """A fully connected layer behind pooling, which of one pixel only reshapes."""

    head: ClassVar[bool] = True

    def write(self, g: Graph, x: Wire) -> Wire:
        """See `nas.blocks.block.Block`."""
        op = Linear(x.channels, self.out_channels, self.activation)
        return g.add("op", op, g.add("pool", Pool(), x))


class OnlyOp(Single):
    """Any other operation of one value, in the order in which they were met."""

    met: ClassVar[dict[Op, int]] = {}

    def op(self, channels: int) -> Op:
        """The operation."""
        return list(self.met)[self.se_channels]


BLOCKS |= {"only-se": OnlyExcite, "only-pool": OnlyPool, "only-linear": OnlyLinear, "only-op": OnlyOp}


class Stderr:
    """Tells on stderr."""

    def progress(self, done: int, total: int, note: str) -> None:
        """A line that writes over itself."""
        print(f"\r{done:>6} / {total} {note}   ", end="", file=sys.stderr)

    def say(self, line: str) -> None:
        """A line."""
        print(f"\n{line}", file=sys.stderr)


def operators(layer: Layer) -> list[Layer]:
    """Each operation of a layer as a layer of its own."""
    return [_single(node.op, *node.shapes[0]) for node in layer.graph.nodes if len(node.takes) == 1]


def _single(op: Op, channels: int, height: int = 1, width: int = 1) -> Layer:
    size = {"height": height, "width": width}
    match op:
        case Conv(norm=True):
            return Layer(
                kind="conv",
                in_channels=op.in_channels,
                out_channels=op.out_channels,
                kernel=op.kernel,
                stride=op.stride,
                groups=op.groups,
                activation=op.activation,
                **size,
            )
        case SqueezeExcite():
            return Layer(kind="only-se", in_channels=channels, out_channels=channels, se_channels=op.squeezed, **size)
        case Pool():
            return Layer(kind="only-pool", in_channels=channels, out_channels=channels, **size)
        case Linear():
            return Layer(
                kind="only-linear",
                in_channels=op.in_features,
                out_channels=op.out_features,
                activation=op.activation,
                **size,
            )
    place = OnlyOp.met.setdefault(op, len(OnlyOp.met))
    return Layer(kind="only-op", in_channels=channels, out_channels=channels, se_channels=place, **size)


def measured_alone(chains: Sequence[Layer], samples: Samples, weights: Path, effort: Effort) -> dict[Layer, float]:
    """ms of each layer alone; samples that are there are not taken again."""
    workload = Workload([(layer,) for layer in chains])
    with attached("cpu") as device:
        Rounds(device, workload, samples, weights, Stderr()).measure(effort)
    found = estimate(samples.slices(workload.probes))
    return dict(zip(chains, found.ms[found.of(workload.names)].tolist(), strict=True))


def line(known: NDArray[np.float64], ms: NDArray[np.float64], asked: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale and offset by least squares of the relative error, applied."""
    columns = np.column_stack([known, np.ones(len(known))]) / ms[:, None]
    scale, offset = np.linalg.lstsq(columns, np.ones(len(ms)), rcond=None)[0]
    return scale * asked + offset


def sums(networks: Sequence[Architecture], alone: dict[Layer, float], split: bool = False) -> NDArray[np.float64]:
    """ms of each network: its layers', or its operators', one by one."""
    parts = operators if split else (lambda layer: [layer] if layer.graph.nodes else [])
    return np.array([sum(alone[part] for layer in network.layers for part in parts(layer)) for network in networks])


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--table", type=Path, help="A table folder of this machine; by default a new one is made.")
    arguments = parser.parse_args()
    space, teller = nas.load_space(arguments.space), Stderr()
    with TemporaryDirectory() as temporary:
        folder = arguments.table or Path(temporary) / "table"
        with attached("cpu") as device:
            table = profile(space, "cpu", device, folder, Effort(), teller)
            networks = random_networks(space, arguments.networks, np.random.default_rng([arguments.seed, 2026]))
            measured = measure_networks(networks, table, device, teller)
        calibrating = list(Survey.of(space).calibrating)
        samples, weights = Samples(folder / "samples.jsonl"), Path(temporary) / "weights.bin"
        write_weights(weights)
        used = (layer for network in [*calibrating, *networks] for layer in network.layers)
        layers = [layer for layer in dict.fromkeys(used) if layer.graph.nodes]
        alone = measured_alone(layers, samples, weights, Effort(seconds=0))
        whole = Workload([network.layers for network in calibrating])
        found = estimate(samples.slices(whole.probes))
        calibrating_ms = found.ms[found.of(whole.names)]
        single = list(dict.fromkeys(part for layer in layers for part in operators(layer)))
        operator_samples = Samples(Path(temporary) / "operators.jsonl")
        alone |= measured_alone(single, operator_samples, weights, Effort(seconds=40))
    macs = [np.array([network.macs for network in some], float) for some in (calibrating, networks)]
    blocks = [sums(some, alone) for some in (calibrating, networks)]
    parts = [sums(some, alone, split=True) for some in (calibrating, networks)]
    predictions = {
        "table": np.array([table.estimate(network).latency_ms for network in networks]),
        "sums of blocks": blocks[1],
        "sums of blocks, scale and offset": line(blocks[0], calibrating_ms, blocks[1]),
        "MACs, scale and offset": line(macs[0], calibrating_ms, macs[1]),
        "sums of operators": parts[1],
        "sums of operators, scale and offset": line(parts[0], calibrating_ms, parts[1]),
    }
    floor = measured.floor_pct
    errors: dict[str, Any] = {}
    for name, ms in predictions.items():
        errors[name] = error_of(ms, measured.ms, floor).model_dump()
        off = 100 * np.abs(ms / measured.ms - 1)
        errors[name]["within_5_pct_and_floor"] = float(100 * (off <= 5 + floor).mean())
        errors[name]["bias_pct"] = float(100 * (ms / measured.ms - 1).mean())
    print(
        json.dumps(
            {
                "space": space.name,
                "seed": arguments.seed,
                "networks": len(networks),
                "ms": [float(measured.ms.min()), float(measured.ms.max())],
                "floor_pct": floor,
                "drift_pct": measured.drift_pct,
                "goal_mape_pct": max(1.5, 1.2 * floor),
                "errors": errors,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()

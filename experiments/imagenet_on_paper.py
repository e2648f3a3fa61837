"""What an ImageNet search would cost on 8, 64 and 1,000 GPUs: arithmetic on published figures, nothing measured here.

    python experiments/imagenet_on_paper.py [--json]

Sources and assumptions are the constants below, each with where it comes from; `docs/scale.md` explains the model and
has the table that this prints.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

import nas
from nas.cost import counts

# Published
PICTURES = 1_281_167  # ImageNet-1k, training split (Russakovsky et al. 2015, arXiv:1409.0575, table 2)
TRAINED_A_SECOND = 1_557  # EfficientNet-B0, 224 px, mixed precision, one V100: R. Wightman, timm benchmark (ngc2102)
ANSWERED_A_SECOND = 6_497  # the same without gradients
BENCHMARKED_MACS = 390e6  # of EfficientNet-B0 (arXiv:1905.11946, table 2)
SUPERNET_EPOCHS = 120  # of uniform single-path training (arXiv:1904.00420, section 4)
SANDWICH = 4  # networks a step: smallest, largest and two others (BigNAS, arXiv:2003.11142, section 3.1)
WINNER_EPOCHS = 350  # of EfficientNet (its released training code)
WINNER_BATCH = 4_096  # likewise, of its larger runs
LARGEST_BATCH = 32_768  # trained on ImageNet without loss, with LARS (arXiv:1708.03888)
TRIALS, TRIAL_EPOCHS = 8_000, 5  # MnasNet's search by training (arXiv:1807.11626, section 5)

# Assumed
BATCH = 256  # pictures a GPU, while the total stays within LARGEST_BATCH
LEAST_STEP = 0.060  # seconds: launching some 300 kernels forward and back, whatever the batch
NODE = 8  # GPUs of a machine
NETWORK = 12.5e9  # bytes a second and machine: 100 Gbit/s
HOP = 20e-6  # seconds a hop of a ring
DECODED_A_SECOND = 150  # JPEGs decoded and cropped by one core
EVALUATIONS = 1_000  # subnets with inherited weights
CALIBRATED, HELD_OUT = 512, 10_000  # pictures for the statistics of a subnet, and for its accuracy
CLUSTERS = (8, 64, 1_000)


@dataclass(frozen=True)
class Space:
    """Figures of `mobile`, from its own arithmetic."""

    macs: float
    """Mean over random networks."""
    params: float
    """Of the largest network: weights that are reduced over all GPUs each step, about."""

    @classmethod
    def mobile(cls) -> Space:
        """Over 20,000 networks."""
        space = nas.load_space("mobile")
        population = space.sample(20_000, np.random.default_rng(0))
        return cls(float(counts.macs(space)(population).mean()), counts.params(space).bounds()[1])

    @property
    def slower(self) -> float:
        """Time of a mean network over that of the benchmarked one: by MACs."""
        return self.macs / BENCHMARKED_MACS


@dataclass(frozen=True)
class Training:
    """One training by data parallelism."""

    gpus: int
    batch: int
    steps: int
    compute: float
    """Seconds a step; likewise `reduce`."""
    reduce: float

    @property
    def hours(self) -> float:
        """The reduction runs beside the backward pass, two thirds of a step; what does not fit there is waited for."""
        return self.steps * (self.compute + max(0.0, self.reduce - self.compute * 2 / 3)) / 3_600

    @property
    def pictures_a_second(self) -> float:
        """Read by all GPUs together."""
        return self.steps * self.batch / self.hours / 3_600


def train(space: Space, gpus: int, epochs: int, most: int, networks: int = 1) -> Training:
    """Batches grow with the GPUs until `most`; from there on each GPU has fewer pictures."""
    batch = min(BATCH * gpus, most)
    compute = networks * max(LEAST_STEP, batch / gpus * space.slower / TRAINED_A_SECOND)
    machines = -(-gpus // NODE)
    ring = 2 * (machines - 1) / machines * 4 * space.params / NETWORK + 2 * (machines - 1) * HOP
    return Training(gpus, batch, epochs * PICTURES // batch, compute, ring)


def on_paper(gpus: int, space: Space) -> dict[str, Any]:
    """All figures of a cluster."""
    supernet = train(space, gpus, SUPERNET_EPOCHS, LARGEST_BATCH)
    sandwich = train(space, gpus, SUPERNET_EPOCHS, LARGEST_BATCH, SANDWICH)
    busy = min(gpus, WINNER_BATCH // 64)  # fewer than 64 pictures a GPU would only wait for launches
    winner = train(space, busy, WINNER_EPOCHS, WINNER_BATCH)
    one = (CALIBRATED + HELD_OUT) * space.slower / ANSWERED_A_SECOND
    subnets = EVALUATIONS * one / 3_600
    trials = TRIALS * TRIAL_EPOCHS * PICTURES * space.slower / TRAINED_A_SECOND / 3_600
    total = supernet.hours + subnets + winner.hours
    return {
        "gpus": gpus,
        "supernet batch, of all GPUs": supernet.batch,
        "pictures a GPU and step": supernet.batch / gpus,
        "seconds a step": supernet.compute,
        "of these beside each other: all-reduce": supernet.reduce,
        "supernet, hours": supernet.hours,
        "the same with four networks a step": sandwich.hours,
        "pictures a second": supernet.pictures_a_second,
        "cores a GPU that decode JPEGs": supernet.pictures_a_second / gpus / DECODED_A_SECOND,
        "decoded pictures, GB a second and machine": supernet.pictures_a_second / gpus * NODE * 224 * 224 * 3 / 1e9,
        "1,000 subnets on one GPU, hours": subnets,
        "1,000 subnets on all GPUs, hours": subnets / gpus,
        "winner's training, hours": winner.hours,
        "GPUs it can use": busy,
        "in all, hours": total,
        "share of the supernet": supernet.hours / total,
        "share of the subnets": subnets / total,
        "share of the winner": winner.hours / total,
        "GPU-hours in use": supernet.hours * gpus + subnets + winner.hours * busy,
        "GPU-hours held": total * gpus,
        "8,000 short trainings instead, hours": trials / gpus,
    }


def table(columns: list[dict[str, Any]]) -> str:
    """As Markdown, a column a cluster."""
    lines = []
    for name in columns[0]:
        if name == "gpus":
            lines.append("| GPUs | " + " | ".join(f"{column[name]:,}" for column in columns) + " |")
            lines.append("|---" * (len(columns) + 1) + "|")
        else:
            lines.append(f"| {name} | " + " | ".join(shown(name, column[name]) for column in columns) + " |")
    return "\n".join(lines)


def shown(name: str, value: float) -> str:
    """Two or three digits, or a share in percent."""
    if name.startswith("share"):
        return f"{100 * value:.0f} %"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.2g}"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Unrounded.")
def main(as_json: bool) -> None:
    """Print the table."""
    space = Space.mobile()
    columns = [on_paper(gpus, space) for gpus in CLUSTERS]
    click.echo(json.dumps(columns, indent=1) if as_json else table(columns))


if __name__ == "__main__":
    main()

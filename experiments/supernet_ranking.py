"""How well inherited weights rank networks: NAS-Bench-Macro, where all were trained by themselves.

    python experiments/supernet_ranking.py --pictures CIFAR10.tar.gz --table nas_bench_macro_cifar10.csv \
        [--steps 4000] [--rule uniform] [--kind superkernel] [--pixels 16] [--networks 500] [--out FOLDER]

Trains one supernet on CIFAR-10 (JPEG copy) and prints Kendall's tau between the accuracy of random canonical networks
with its weights and their published accuracy, beside tau of MACs and of the sum of option indices on the same networks.
A few of them are evaluated on the way, for the curve. The folder holds a checkpoint and every evaluation; a further
call goes on from there.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau
from torch.nn.functional import cross_entropy

from nas.accuracy.tabular import load_tabular
from nas.cost import counts
from nas.data import load_data
from nas.data.batches import evaluation_batches, picture_tensor
from nas.data.data import Data, Split
from nas.space.codes import format_code
from nas.space.load import load_space
from nas.supernet import SUPERNETS
from nas.supernet.rules import RULES
from nas.supernet.subnet import recalibrate
from nas.supernet.training import WeightSettings, WeightTraining
from nas.system.interrupt import Signals
from nas.system.teller import Silent

CURVE_NETWORKS = 60
MARKS = (0.1, 0.25, 0.5, 0.75)
SETTINGS = WeightSettings(batch=128, learning_rate=0.1)


class Evaluation:
    """Networks of a supernet on held-out pictures; what was evaluated is kept in a file."""

    def __init__(self, data: Data, path: Path, pictures: int) -> None:
        held_out = Split(data.validation.pictures[:pictures], data.validation.labels[:pictures])
        self.batches = list(evaluation_batches(data, held_out, 250))
        calibration = data.train.pictures[:512]
        self.calibration = [picture_tensor(data, calibration[i : i + 128]) for i in range(0, len(calibration), 128)]
        self.path = path
        self.known = (
            {(e["step"], e["arch"]): e for e in map(json.loads, path.read_text().splitlines())} if path.exists() else {}
        )

    @torch.no_grad()
    def __call__(self, training: WeightTraining, step: int, genotypes: NDArray[np.uint8]) -> list[dict[str, float]]:
        found = []
        for genotype in genotypes:
            arch = format_code(genotype, training.supernet.space)
            if (step, arch) not in self.known:
                network = training.supernet.standalone(genotype)
                recalibrate(network, [x.to(training.device) for x in self.calibration])
                logits = torch.cat([network(x.to(training.device)).cpu() for x, _ in self.batches])
                y = torch.cat([y for _, y in self.batches])
                entry = {
                    "step": step,
                    "arch": arch,
                    "accuracy": 100 * float((logits.argmax(1) == y).float().mean()),
                    "probability": float(logits.softmax(1)[torch.arange(len(y)), y].mean()),
                    "loss": float(cross_entropy(logits, y)),
                }
                with self.path.open("a") as file:
                    file.write(json.dumps(entry) + "\n")
                self.known[step, arch] = entry
            found.append(self.known[step, arch])
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--rule", choices=list(RULES), default="uniform")
    parser.add_argument("--kind", choices=list(SUPERNETS), default="superkernel")
    parser.add_argument("--pixels", type=int, default=16)
    parser.add_argument("--networks", type=int, default=500)
    parser.add_argument("--held-out", type=int, default=2_500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/supernet_ranking"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)

    space = load_space("nas-bench-macro")
    data = load_data(f"imagefolder:{arguments.pictures}", arguments.pixels, held_out=0.1)
    published = load_tabular(space, str(arguments.table))
    everything = space.enumerate()
    networks = everything[np.random.default_rng(5).permutation(len(everything))[: arguments.networks]]
    truth = published(networks)

    torch.manual_seed(0)
    supernet, path = SUPERNETS[arguments.kind](space), arguments.out / "checkpoint.safetensors"
    identity = json.dumps([arguments.steps, arguments.rule, arguments.kind, data.fingerprint])
    training = WeightTraining(supernet, data, arguments.steps, 0, SETTINGS, None, path, identity)
    stepper = training.stepper
    stepper.restore(lambda state: setattr(stepper.clock, "seconds", state["seconds"]))
    evaluation = Evaluation(data, arguments.out / "evaluations.jsonl", arguments.held_out)
    marks = {round(mark * arguments.steps) for mark in MARKS}
    curve = {}
    for mark in sorted(marks):
        if all((mark, format_code(g, space)) in evaluation.known for g in networks[:CURVE_NETWORKS]):
            curve[mark] = tau(evaluation(training, mark, networks[:CURVE_NETWORKS]), truth[:CURVE_NETWORKS])
    rule = RULES[arguments.rule]

    def state() -> dict[str, float]:
        return {"seconds": stepper.clock.seconds}

    for step in stepper.steps(Silent(), Signals(), state):
        if step in marks:
            stepper.write(state)
            curve[step] = tau(evaluation(training, step, networks[:CURVE_NETWORKS]), truth[:CURVE_NETWORKS])
            print(json.dumps({"step": step, "seconds": round(stepper.clock.seconds), **curve[step]}), flush=True)
            stepper.clock.restart()
        x, y = training.batch(step)
        done = step / arguments.steps
        training.step(step, partial(rule, supernet, x, y, training.rng(step, 0), done))
    start = time.perf_counter()
    final = evaluation(training, arguments.steps, networks)
    macs = counts.macs(space)(networks)
    print(
        json.dumps(
            {
                "pictures": "CIFAR-10 (JPEG copy)",
                "steps": arguments.steps,
                "epochs": round(arguments.steps * SETTINGS.batch / len(data.train), 1),
                "rule": arguments.rule,
                "kind": arguments.kind,
                "pixels": arguments.pixels,
                "training_minutes": round(stepper.clock.seconds / 60, 1),
                "evaluation_minutes": round((time.perf_counter() - start) / 60, 1),
                "networks": len(networks),
                "held_out_pictures": sum(len(y) for _, y in evaluation.batches),
                "tau": tau(final, truth),
                "tau_macs": kendall(macs, truth),
                "tau_sum_of_options": kendall(networks.sum(axis=1), truth),
                "curve_networks": CURVE_NETWORKS,
                "curve": {str(at): each for at, each in sorted(curve.items())},
                "mean_accuracy": float(np.mean([entry["accuracy"] for entry in final])),
            },
            indent=1,
        )
    )


def tau(found: list[dict[str, float]], truth: NDArray[np.float64]) -> dict[str, float]:
    """Kendall's tau of held-out figures (accuracy, mean probability of the right class, negative loss) with the
    published accuracy, with bootstrap errors."""
    rng = np.random.default_rng(0)
    result = {}
    for name, sign in (("accuracy", 1), ("probability", 1), ("loss", -1)):
        values = np.array([sign * entry[name] for entry in found])
        result[name] = kendall(values, truth)
        draws = [rng.integers(len(truth), size=len(truth)) for _ in range(100)]
        result[f"{name}_se"] = round(float(np.std([kendall(values[d], truth[d]) for d in draws])), 4)
    return result


def kendall(values: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    return round(float(kendalltau(values, truth).statistic), 4)


if __name__ == "__main__":
    main()

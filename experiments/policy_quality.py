"""What policies find on NAS-Bench-Macro's space, where the accuracy of every network after its own training is known.

    python experiments/policy_quality.py --pictures CIFAR10.tar.gz --table nas_bench_macro_cifar10.csv \
        [--policies fbnet,single-path,proxyless,reinforce] [--seeds 10] [--steps 600] [--out FILE]

A policy is trained on CIFAR-10 (JPEG copy) pictures under a bound on MACs; its architecture's published accuracy is
compared with the mean of random networks of equal cost (within 5 % of its MACs). Every run is a line of the output
file, which a further call goes on from. Prints a JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from nas.accuracy.tabular import load_tabular
from nas.cost import counts
from nas.data import load_data
from nas.data.data import Data
from nas.policies import POLICIES
from nas.policies.bound import Bounds
from nas.policies.descent import Descent, derive
from nas.space.load import load_space
from nas.supernet import SUPERNETS
from nas.supernet.training import WeightTraining
from nas.system.interrupt import Signals
from nas.system.teller import Silent

BOUNDS = (35.0, 50.0, 65.0)
"""Million MACs; a run's bound follows from its seed. The space has 8 to 143."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--pixels", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/policy_quality.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    space = load_space("nas-bench-macro")
    macs = counts.macs(space) * 1e-6
    published = load_tabular(space, str(arguments.table))
    everything = space.enumerate()
    costs, accuracies = macs(everything), published(everything)
    data = load_data(f"imagefolder:{arguments.pictures}", arguments.pixels)
    done = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    known = {(run["policy"], run["seed"], run["steps"], run["pixels"]) for run in done}
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        for name in arguments.policies.split(","):
            if (name, seed, arguments.steps, arguments.pixels) in known:
                continue
            bound = BOUNDS[seed % len(BOUNDS)]
            start = perf_counter()
            found = run_policy(name, data, bound, arguments.steps, seed)
            ms = found["macs"]
            equal = np.abs(costs / ms - 1) <= 0.05
            within = costs <= bound
            run = {
                "policy": name,
                "seed": seed,
                "steps": arguments.steps,
                "pixels": arguments.pixels,
                "bound": bound,
                "accuracy": float(published(found["genotype"][None])[0]),
                "random_equal": float(accuracies[equal].mean()),
                "best_within": float(accuracies[within].max()),
                "seconds": perf_counter() - start,
                **{k: v for k, v in found.items() if k != "genotype"},
                "genotype": "".join(map(str, found["genotype"])),
            }
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            with arguments.out.open("a") as file:
                file.write(json.dumps(run) + "\n")
            done.append(run)
    print(json.dumps(summary(done, arguments.steps, arguments.pixels), indent=1))


def run_policy(name: str, data: Data, bound: float, steps: int, seed: int) -> dict[str, object]:
    """One policy under a bound on million MACs."""
    space = load_space("nas-bench-macro")
    macs = counts.macs(space) * 1e-6
    torch.manual_seed(seed)
    training = WeightTraining(SUPERNETS[POLICIES[name].supernet](space), data, steps, seed)
    policy = POLICIES[name](space, training.supernet, macs, bound)
    costs, bounds = {"latency_ms": macs}, {"latency_ms": bound}
    descent = Descent(training, policy, Bounds(costs, bounds))
    descent.run(Silent(), Signals())
    derived = derive(space, policy, costs, bounds)
    genotype = space.canonical(derived.solution.genotype[None])[0]
    return {
        "genotype": genotype,
        "macs": float(macs(genotype[None])[0]),
        "argmax_macs": derived.argmax_ms["latency_ms"],
        "expected_macs": derived.expected_ms["latency_ms"],
        "changed": derived.changed,
        "entropy": descent.records[-1].entropy,
        "skips": descent.records[-1].skips,
        "loss": descent.records[-1].loss,
    }


def summary(done: list[dict[str, object]], steps: int, pixels: int) -> dict[str, object]:
    """By policy: gain over random networks of equal cost, and how near the raw argmax is to the bound."""
    result: dict[str, object] = {"pictures": "CIFAR-10 (JPEG copy)", "steps": steps, "pixels": pixels}
    for name in POLICIES:
        runs = [run for run in done if (run["policy"], run["steps"], run["pixels"]) == (name, steps, pixels)]
        if len(runs) < 2:
            continue
        gains = np.array([run["accuracy"] - run["random_equal"] for run in runs])
        argmax = np.array([run["argmax_macs"] / run["bound"] for run in runs])
        result[name] = {
            "runs": len(runs),
            "gain": float(gains.mean()),
            "gain_se": float(gains.std(ddof=1) / np.sqrt(len(gains))),
            "behind_best": float(np.mean([run["best_within"] - run["accuracy"] for run in runs])),
            "argmax_within_15_pct": int((np.abs(argmax - 1) <= 0.15).sum()),
            "argmax_over_bound": [round(float(ratio), 3) for ratio in argmax],
            "used": [round(float(run["macs"] / run["bound"]), 3) for run in runs],
            "changed": [run["changed"] for run in runs],
            "entropy": float(np.mean([run["entropy"] for run in runs])),
            "skips": float(np.mean([run["skips"] for run in runs])),
            "seconds": float(np.mean([run["seconds"] for run in runs])),
        }
    return result


if __name__ == "__main__":
    main()

"""Does every policy meet the latency bound in one run? Five bounds, three seeds, four policies.

    python experiments/hard_bound.py [--space single-path] [--target pixel-cpu] [--steps 80] [--out FILE]

Each run is a `nas search` on scikit-learn's digits. The bounds divide the attainable range evenly, its ends left out.
Every run is a line of the output file, which a further call goes on from. Prints a JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import nas
from nas.policies import POLICIES
from nas.policies.descent import FLOOR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--space", default="single-path")
    parser.add_argument("--target", default="pixel-cpu")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--bounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/hard_bound.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    least, largest = nas.latency(nas.load_space(arguments.space), nas.load_table(arguments.target)).bounds()
    bounds = np.round(np.linspace(least, largest, arguments.bounds + 2)[1:-1], 1)
    done = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    setting = {"space": arguments.space, "target": arguments.target, "steps": arguments.steps}
    known = {(run["policy"], run["bound"], run["seed"]) for run in done if setting.items() <= run.items()}
    for seed in range(arguments.seeds):
        for bound in map(float, bounds):
            for policy in arguments.policies.split(","):
                if (policy, bound, seed) not in known:
                    run = (
                        setting
                        | {"policy": policy, "bound": bound, "seed": seed}
                        | search(setting, policy, bound, seed)
                    )
                    arguments.out.parent.mkdir(parents=True, exist_ok=True)
                    with arguments.out.open("a") as file:
                        file.write(json.dumps(run) + "\n")
                    done.append(run)
    print(json.dumps(setting | summary([run for run in done if setting.items() <= run.items()]), indent=1))


def search(setting: dict[str, object], policy: str, bound: float, seed: int) -> dict[str, float]:
    """One search."""
    with TemporaryDirectory() as folder:
        result = nas.search(
            space=str(setting["space"]),
            target=str(setting["target"]),
            controller=policy,
            data="digits",
            proxy_resolution=32,
            latency_ms=bound,
            budget=setting["steps"],
            seed=seed,
            out=Path(folder) / "run",
        ).result
    told = result.policy.model_dump()
    return {
        "latency_ms": result.winner.latency_ms,
        "accuracy": result.winner.accuracy,
        **{name: told[name] for name in ("argmax_ms", "expected_ms", "changed", "floored", "entropy", "skips")},
        "seconds": result.seconds,
    }


def summary(runs: list[dict[str, float]]) -> dict[str, object]:
    """By policy: how much of the bound is used, and where the likeliest options lie."""
    result: dict[str, object] = {}
    for name in POLICIES:
        mine = [run for run in runs if run["policy"] == name]
        if not mine:
            continue
        used = np.array([run["latency_ms"] / run["bound"] for run in mine])
        argmax = np.array([run["argmax_ms"] / run["bound"] for run in mine])
        result[name] = {
            "runs": len(mine),
            "within_bound": int((used <= 1).sum()),
            f"at_least_{FLOOR}": int((used >= FLOOR).sum()),
            "used": [round(float(used.min()), 3), round(float(used.max()), 3)],
            "argmax_over_bound": [round(float(q), 3) for q in np.percentile(argmax, (0, 25, 50, 75, 100))],
            "argmax_within_15_pct": int((np.abs(argmax - 1) <= 0.15).sum()),
            "decisions_changed": [int(min(run["changed"] for run in mine)), int(max(run["changed"] for run in mine))],
            "most_skips": round(max(run["skips"] for run in mine), 3),
            "seconds": round(float(np.mean([run["seconds"] for run in mine])), 1),
        }
    return result


if __name__ == "__main__":
    main()

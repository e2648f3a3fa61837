"""What does a busy machine do to a table? `mobile` profiled beside processes that work in bursts, and beside nothing.

Fresh networks, half of them drawn uniformly and half from the smallest to the largest, are then measured while nothing
else runs, beside the references of the quiet table, whose pace is taken out. Against these times stand both tables, by
thirds of the range, as they are (straight) and with a calibration that bends: latency as a power of the sum of rows,
with the power that errs least on calibrating networks left out. What it gains there is told, too: it would have to be
GAIN_PCT to be taken.

    python experiments/busy_profile.py --out DIR [--quick]

Needs a machine on which nothing else runs: about 8 minutes. What is in DIR already is not measured again. `--quick` is
for tests: a small space on the fake device, nothing beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pieces import Pieces

import nas
from nas.profiler.bench import attached
from nas.profiler.estimate import estimate
from nas.profiler.fit import Fit, in_network
from nas.profiler.networks import random_networks, ranged
from nas.profiler.profile import profile, standard_errors
from nas.profiler.rounds import Effort
from nas.profiler.samples import Samples
from nas.profiler.survey import Survey
from nas.profiler.verify import error_of, measure_networks
from nas.system.teller import Silent
from nas.tables.table import load_table

ON_S, OFF_S = 0.03, 0.03
"""Mean length of a burst and of a pause of each process, of which there is one a core."""
POWERS = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
GAIN_PCT = 10.0
"""By which the mean error on networks left out must fall for a bent calibration to be taken."""
SPACE, NETWORKS = "mobile", 60
QUICK_SPACE, QUICK_NETWORKS = "nas-bench-macro", 12
Array = NDArray[np.float64]


def burn(seed: int) -> None:
    """Work in bursts, on more memory than caches hold, until killed or left alone."""
    rng, memory, parent = np.random.default_rng(seed), np.ones(8 << 20), os.getppid()
    while os.getppid() == parent:
        until = time.monotonic() + rng.exponential(ON_S)
        while time.monotonic() < until:
            memory += 1.0
        time.sleep(rng.exponential(OFF_S))


@contextmanager
def burning(processes: int) -> Iterator[None]:
    """So many processes that burn in bursts, meanwhile."""
    command = [sys.executable, __file__, "--burn"]
    running = [subprocess.Popen([*command, str(seed)]) for seed in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def fitted(survey: Survey, alone: Array, has: Array, ms: Array, errors: Array, power: float) -> Fit:
    """Rows whose sums, to this power about the mean, are the networks' times."""
    return in_network(survey.layers, alone, has, unbent(ms, ms.mean(), power), errors / power)


def unbent(ms: Array, mean: float, power: float) -> Array:
    """What has to be bent to become these."""
    result: Array = mean * (ms / mean) ** (1 / power)
    return result


def left_out_pct(survey: Survey, alone: Array, has: Array, ms: Array, errors: Array, power: float) -> float:
    """Mean error on calibrating networks of rows that were fitted without each."""
    off = []
    for number in range(len(ms)):
        rest = np.arange(len(ms)) != number
        fit = fitted(survey, alone, has[rest], ms[rest], errors[rest], power)
        told = unbent(has[number] @ fit.ms, ms[rest].mean(), 1 / power)
        off.append(100 * abs(told / ms[number] - 1))
    return float(np.mean(off))


def calibrations(survey: Survey, folder: Path, networks: Array, measured: Array) -> dict[str, Any]:
    """Errors of the calibrations of a table's samples, on networks (`counts`) that were measured elsewhere."""
    samples = Samples(folder / "samples.jsonl")
    names = list(survey.workload.probes)
    found = estimate(samples.slices(names), survey.workload.whole(names))
    samples.close()
    rows, errors = found.of(survey.workload.names), standard_errors(found)
    blocks, whole, _ = np.split(rows, [len(survey.alone), len(survey.alone) + len(survey.calibrating)])
    known = survey, found.ms[blocks], survey.counts(survey.calibrating), found.ms[whole], errors[whole]
    left_out = {power: left_out_pct(*known, power) for power in POWERS}
    best = min(left_out, key=left_out.__getitem__)
    gain = 100 * (1 - left_out[best] / left_out[1.0])
    told = {"left_out_pct": left_out, "power": best, "gain_pct": gain, "holds": gain >= GAIN_PCT}
    for name, power in (("straight", 1.0), ("bent", best)):
        ms = unbent(networks @ fitted(*known, power).ms, float(found.ms[whole].mean()), 1 / power)
        told[name] = error_of(ms, measured, found.split_half_pct, found.drift_pct).model_dump()
    return told


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="Where tables and pieces are kept, and gone on with.")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--burn", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.burn is not None:
        burn(arguments.burn)
        return
    if arguments.out is None:
        parser.error("--out DIR is required")
    quick = arguments.quick
    space, target = nas.load_space(QUICK_SPACE if quick else SPACE), "fake" if quick else "cpu"
    pieces, teller = Pieces(arguments.out / "pieces", {"space": space.fingerprint, "target": target}), Silent()
    half, rng = (QUICK_NETWORKS if quick else NETWORKS) // 2, np.random.default_rng(2026)
    networks = list(dict.fromkeys([*random_networks(space, half, rng), *ranged(space, half, rng)]))
    seconds: dict[str, float] = {}
    for name, beside in (("quiet", 0), ("busy", 0 if quick else os.cpu_count() or 1)):

        def made(name: str = name, beside: int = beside) -> float:
            start = time.monotonic()
            with burning(beside), attached(target) as device:
                profile(space, target, device, arguments.out / name, Effort(10.0, 1.0) if quick else Effort(), teller)
            return time.monotonic() - start

        seconds[name] = pieces.kept(f"profile-{name}", made)
    tables = {name: load_table(arguments.out / name) for name in seconds}

    def timed() -> dict[str, Any]:
        with attached(target) as device:
            found = measure_networks(networks, tables["quiet"], device, teller)
        told = {"floor_pct": found.floor_pct, "drift_pct": found.drift_pct, "too_busy": found.too_busy}
        return {**told, "ms": found.ms.tolist()}

    truth = pieces.kept("networks", timed)
    measured = np.array(truth.pop("ms"))
    survey = Survey.of(space)
    counts = survey.counts(networks)
    result = {"space": space.name, "networks": len(networks), "ms": [measured.min(), measured.max()], **truth}
    for name, table in tables.items():
        own = np.array([table.estimate(network).latency_ms for network in networks])
        result[name] = {
            "profile_seconds": seconds[name],
            "noise": table.noise(space),
            "in_header": table.checked_on(space),
            "table": error_of(own, measured, truth["floor_pct"]).model_dump(),
            "calibration": calibrations(survey, arguments.out / name, counts, measured),
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

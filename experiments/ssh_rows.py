"""Are rows over ssh those of the machine itself? This machine as its own board, blocks measured in turns.

In each turn the machine itself, over ssh, and the machine itself once more: what the two local ways differ by is what
the changing pace of the machine does. Of both comparisons the common factor of all rows is told, and the rest beside.

HOST must lead back to this machine: an sshd on loopback, with its port and keys in a config file.

    python experiments/ssh_rows.py HOST [--config FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import nas
from nas.devices.device import Device
from nas.devices.hosted import Hosted, python_runner
from nas.devices.ssh import ssh_device
from nas.devices.transport import Local
from nas.profiler.estimate import Estimates, estimate
from nas.profiler.probe import write_weights
from nas.profiler.rounds import Effort, Rounds, Workload
from nas.profiler.samples import Samples
from nas.system.teller import Silent

TURNS = 8
SECONDS = 6.0
"""Of measuring in one turn."""


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host")
    parser.add_argument("--config", type=Path, help="An ssh config file.")
    arguments = parser.parse_args()
    workload = Workload([(layer,) for layer in nas.load_space("mobile").layers() if layer.graph.nodes])
    with TemporaryDirectory() as temporary:
        weights = Path(temporary) / "weights.bin"
        write_weights(weights)
        ways: list[tuple[Device, Samples]] = [
            (Hosted(Local, python_runner(sys.executable)), Samples(Path(temporary) / "local.jsonl")),
            (ssh_device(arguments.host, config=arguments.config), Samples(Path(temporary) / "ssh.jsonl")),
            (Hosted(Local, python_runner(sys.executable)), Samples(Path(temporary) / "again.jsonl")),
        ]
        for turn in range(1, TURNS + 1):
            for device, samples in ways:
                Rounds(device, workload, samples, weights, Silent()).measure(Effort(0.1, turn * SECONDS))
        local, remote, again = (estimate(samples.slices(workload.probes)) for _, samples in ways)
        for device, samples in ways:
            device.close()
            samples.close()
    print(json.dumps({"ssh": compared(local, remote), "once more": compared(local, again)}, indent=1))


def compared(local: Estimates, other: Estimates) -> dict[str, float]:
    """Rows of another way beside those of the machine itself, with and without their common factor."""
    ratio = other.ms / local.ms
    rest = 100 * np.abs(ratio / np.median(ratio) - 1)
    return {
        "rows": len(ratio),
        "sessions": float(np.median(other.sessions)),
        "common_factor_pct": float(100 * (np.median(ratio) - 1)),
        "within_3_pct": float((100 * np.abs(ratio - 1) <= 3).mean()),
        "within_3_pct_at_one_pace": float((rest <= 3).mean()),
        "p90_pct_at_one_pace": float(np.quantile(rest, 0.9)),
        "worst_pct_at_one_pace": float(rest.max()),
    }


if __name__ == "__main__":
    main()

"""Are rows over ssh those of the machine itself? This machine as its own board, blocks measured alternately both ways.

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
from nas.blocks.kinds import ops
from nas.devices.device import Device
from nas.devices.hosted import Hosted, python_runner
from nas.devices.ssh import ssh_device
from nas.devices.transport import Local
from nas.profiler.estimate import estimate
from nas.profiler.probe import write_weights
from nas.profiler.rounds import Effort, Rounds, Workload
from nas.profiler.samples import Samples
from nas.teller import Silent

TURNS = 8
SECONDS = 10.0
"""Of measuring in one turn."""


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host")
    parser.add_argument("--config", type=Path, help="An ssh config file.")
    arguments = parser.parse_args()
    workload = Workload([(layer,) for layer in nas.load_space("mobile").layers() if ops(layer)])
    with TemporaryDirectory() as temporary:
        weights = Path(temporary) / "weights.bin"
        write_weights(weights)
        ways: list[tuple[Device, Samples]] = [
            (Hosted(Local, python_runner(sys.executable)), Samples(Path(temporary) / "local.jsonl")),
            (ssh_device(arguments.host, config=arguments.config), Samples(Path(temporary) / "ssh.jsonl")),
        ]
        for turn in range(1, TURNS + 1):
            for device, samples in ways:
                Rounds(device, workload, samples, weights, Silent()).measure(Effort(0.1, turn * SECONDS))
        local, remote = (estimate(samples.slices(workload.probes)) for _, samples in ways)
        for device, samples in ways:
            device.close()
            samples.close()
    off = 100 * (remote.ms / local.ms - 1)
    print(
        json.dumps(
            {
                "rows": len(off),
                "sessions": [int(np.median(found.sessions)) for found in (local, remote)],
                "within_3_pct": float((np.abs(off) <= 3).mean()),
                "median_pct": float(np.median(off)),
                "p90_pct": float(np.quantile(np.abs(off), 0.9)),
                "worst_pct": float(np.abs(off).max()),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()

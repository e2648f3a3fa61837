"""Time and peak memory of a training step of each kind of supernet, beside the same networks standing alone.

    python experiments/supernet_step.py [--space single-path] [--pixels 64] [--batch 32] [--rounds 12] [--threads 1]

A step is forward, cross-entropy, backward and SGD with momentum on the same batch in channels_last. Ratios are medians
over rounds in which all variants run in turn, in a new order each round; peak memory is that of one process a variant.

    superkernel       all candidates of a slot in one masked superkernel   / the largest network alone
    uniform           one sampled network of the superkernel a step        / the same networks alone
    two paths         two sampled networks at once (ProxylessNAS)          / the same two alone, one after the other
    multi-path        every candidate a branch (FBNet)                     / the largest network alone
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from nas.space.load import load_space
from nas.supernet.multi_path import MultiPath
from nas.supernet.rules import ends
from nas.supernet.shares import shares_of
from nas.supernet.superkernel import Superkernel

PATHS = 8
"""Sampled networks that the uniform and the two-path variants go through in turn."""
VARIANTS = ("largest", "superkernel", "alone", "uniform", "two alone", "two paths", "multi-path")


class Bench:
    """One variant, ready to step."""

    def __init__(self, name: str, space_name: str, pixels: int, batch: int, device: str, compiled: bool) -> None:
        space = load_space(space_name, classes=10)
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        paths = space.sample(PATHS, rng)
        largest = ends(space)[1]
        self.device = torch.device(device)
        self.x = torch.randn(batch, 3, pixels, pixels, device=self.device).to(memory_format=torch.channels_last)
        self.y = torch.randint(10, (batch,), device=self.device)
        self.count = 0
        superkernel = Superkernel(space).to(self.device)
        chances = [torch.full((int(n),), 1 / int(n), device=self.device) for n in space.cardinalities]
        shares = [shares_of(choice, chances) for choice in superkernel.choices]
        alone = [superkernel.standalone(genotype).train() for genotype in paths]
        half = [torch.tensor(0.5, device=self.device)] * len(superkernel.choices)
        module: nn.Module
        forward: Callable[[int], list[torch.Tensor]]
        match name:
            case "largest":
                module = superkernel.standalone(largest).train()
                forward = lambda step: [module(self.x)]  # noqa: E731
            case "superkernel":
                module = superkernel
                forward = lambda step: [superkernel.gated(self.x, largest, shares)]  # noqa: E731
            case "alone":
                module = nn.ModuleList(alone)
                forward = lambda step: [alone[step % PATHS](self.x)]  # noqa: E731
            case "uniform":
                module = superkernel
                forward = lambda step: [superkernel(self.x, paths[step % PATHS])]  # noqa: E731
            case "two alone":
                module = nn.ModuleList(alone)
                forward = lambda step: [alone[(step + k) % PATHS](self.x) for k in (0, 1)]  # noqa: E731
            case "two paths":
                module = superkernel
                forward = lambda step: [  # noqa: E731
                    superkernel.paired(self.x, paths[step % PATHS], paths[(step + 1) % PATHS], half)
                ]
            case _:
                module = multi = MultiPath(space).to(self.device)
                forward = lambda step: [multi.mixed(self.x, shares)]  # noqa: E731
        self.forward = torch.compile(forward) if compiled else forward
        parameters = {id(p): p for p in module.parameters()}
        self.parameters = list(parameters.values())
        self.momenta: dict[int, torch.Tensor] = {}

    def step(self) -> float:
        """One step; returns seconds."""
        start = perf_counter()
        for parameter in self.parameters:
            parameter.grad = None
        for logits in self.forward(self.count):
            cross_entropy(logits, self.y).backward()
        used = [p for p in self.parameters if p.grad is not None]  # an optimiser skips what has no gradient
        with torch.no_grad():
            for p in used:
                momentum = self.momenta.setdefault(id(p), torch.zeros_like(p))
                momentum.mul_(0.9).add_(p.grad)
                p.add_(momentum, alpha=-0.01)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.count += 1
        return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--space", default="single-path")
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--memory-of", choices=VARIANTS, help="internal: print the peak memory of one variant")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    setting = (arguments.space, arguments.pixels, arguments.batch, arguments.device, arguments.compile)
    if arguments.memory_of:
        print(json.dumps(peak_memory(arguments.memory_of, setting)))
        return
    benches = {name: Bench(name, *setting) for name in VARIANTS}
    for bench in benches.values():
        for _ in range(2):
            bench.step()
    rng = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(arguments.rounds):
        for name in rng.permutation(list(VARIANTS)):
            seconds[name].append(sum(benches[name].step() for _ in range(PATHS)) / PATHS)
    pairs = {
        "superkernel": ("superkernel", "largest"),
        "uniform": ("uniform", "alone"),
        "two paths": ("two paths", "two alone"),
        "multi-path": ("multi-path", "largest"),
    }
    memory = {name: memory_of(name) for name in VARIANTS}
    print(
        json.dumps(
            {
                "space": arguments.space,
                "pixels": arguments.pixels,
                "batch": arguments.batch,
                "threads": arguments.threads,
                "device": torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU",
                "compiled": arguments.compile,
                "candidates": max(len(c.chains) for c in MultiPath(load_space(arguments.space)).choices),
                "ms": {name: round(1e3 * float(np.median(times)), 1) for name, times in seconds.items()},
                "ratio": {title: ratio(seconds[one], seconds[other]) for title, (one, other) in pairs.items()},
                "peak_mb": memory,
                "peak_ratio": {title: round(memory[one] / memory[other], 3) for title, (one, other) in pairs.items()},
            },
            indent=1,
        )
    )


def ratio(one: list[float], other: list[float]) -> dict[str, float]:
    """Median of the rounds' ratios, and its quartiles."""
    ratios = np.array(one) / np.array(other)
    low, middle, high = np.percentile(ratios, (25, 50, 75))
    return {"median": round(float(middle), 3), "low": round(float(low), 3), "high": round(float(high), 3)}


def peak_memory(name: str, setting: tuple[str, int, int, str, bool]) -> float:
    """Megabytes that steps of one variant add to a process, at most (Linux: its own high-water mark, reset before)."""
    bench = Bench(name, *setting)
    if setting[3] == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        for _ in range(PATHS):
            bench.step()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    for _ in range(PATHS):
        bench.step()
    return (status("VmHWM") - before) / 1e3


def status(name: str) -> float:
    """A figure of this process, in kilobytes."""
    return float(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]


def memory_of(name: str) -> float:
    """Of a process of its own, as the peak of one would hide that of the next."""
    output = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--memory-of", name], capture_output=True, text=True, check=True
    )
    return round(float(json.loads(output.stdout)), 1)


if __name__ == "__main__":
    main()

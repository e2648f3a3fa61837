"""A fake device that follows a script: it fails, lies, is noisy or takes its time just where a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from nas.blocks.layer import Layer
from nas.devices.device import Fault, Plan, Remark, Sample
from nas.devices.fake import Fake

Act = Callable[[int, Sample], Sample | Remark | None]
"""What becomes of the n-th sample (from 1): itself, another, None for silence; or it raises."""


class Scripted:
    """`Fake`, and an act for each of its samples; keeps the plans that it was asked for and what it gave."""

    def __init__(self, act: Act = lambda number, sample: sample, memory_mb: int | None = 1 << 16) -> None:
        self.inner = Fake()
        self.info = replace(self.inner.info, memory_mb=memory_mb)
        self.act = act
        self.plans: list[Plan] = []
        self.taken = 0
        self.given: list[Sample] = []
        self.closed = 0

    def measure(self, plan: Plan) -> Iterator[Sample | Remark]:
        self.plans.append(plan)
        for sample in self.inner.measure(plan):
            self.taken += 1
            assert self.taken < 500_000, "a device is asked again and again, without an end"
            item = self.act(self.taken, sample)
            if isinstance(item, Sample):
                self.given.append(item)
            if item is not None:
                yield item

    def close(self) -> None:
        self.closed += 1


def faults_at(*numbers: int) -> Act:
    def act(number: int, sample: Sample) -> Sample:
        if number in numbers:
            raise Fault(f"unplugged at sample {number}.")
        return sample

    return act


def small_chains(n: int) -> list[tuple[Layer, ...]]:
    """n chains of one small convolution each, the k-th with k + 1 output channels."""
    return [(Layer(kind="conv", in_channels=4, out_channels=k + 1, kernel=3, height=8, width=8),) for k in range(n)]


def bursts(every_ms: float, length_ms: float, slower: float, seed: int = 0) -> Act:
    """Another process, by a clock that only runs advance: in bursts work takes `slower` times as long.

    Their lengths and pauses are exponential with these means, ms. A long run meets more of them than a short one.
    """
    rng, burst = np.random.default_rng(seed), False
    left = float(rng.exponential(every_ms))

    def took(work_ms: float) -> float:
        nonlocal burst, left
        spent = 0.0
        while work_ms > left / (slower if burst else 1.0):
            work_ms -= left / (slower if burst else 1.0)
            spent, burst = spent + left, not burst
            left = float(rng.exponential(length_ms if burst else every_ms))
        rest = work_ms * (slower if burst else 1.0)
        left -= rest
        return spent + rest

    def act(_: int, sample: Sample) -> Sample:
        return replace(sample, ns=tuple(1e6 * took(ns / 1e6) for ns in sample.ns))

    return act

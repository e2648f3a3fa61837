"""A device for tutorials and for tests of everything but measuring: its times are computed, and it says so."""

from __future__ import annotations

import random
from collections.abc import Iterator

from nas.devices.device import DeviceInfo, Plan, Probe, Sample

NS_PER_MAC = 0.05
SHARE_OF_INT8 = 0.5
"""Of that, what a multiply-accumulate of 8-bit numbers costs."""
NS_PER_VALUE = 0.5
NS_PER_NODE = 500.0
SPREAD = 0.01
"""Relative standard deviation between sessions."""


class Fake:
    """Time is work: a cost for each multiply-accumulate, each value written and each node of a model."""

    def __init__(self) -> None:
        self.info = DeviceInfo(
            model="fake device (times are computed, not measured)",
            architecture="none",
            cores=1,
            runtime="arithmetic",
            runtime_version="1",
            provider="fake",
            threads=1,
            memory_mb=1 << 16,
            emulated=True,
        )
        self._work: dict[str, float] = {}
        """Of the probes that it was asked for, by name: reading a model takes longer than all else here."""

    def measure(self, plan: Plan) -> Iterator[Sample]:
        """Samples as a real device would give them, pass after pass, in no time; equal plans give equal samples."""
        for number, group in enumerate(plan.groups):
            drawn = [random.Random(f"{plan.seed} {number} {probe.name}") for probe in group]
            for probe in group:
                if probe.name not in self._work:
                    self._work[probe.name] = work_ns(probe)
            usual = [
                self._work[probe.name] * (1 + SPREAD * rng.gauss(0, 1)) for probe, rng in zip(group, drawn, strict=True)
            ]
            sessions = [f"{rng.getrandbits(64):016x}" for rng in drawn]
            for turn in range(plan.passes):
                for probe, rng, ns, session in zip(group, drawn, usual, sessions, strict=True):
                    runs = tuple(ns * (1 + SPREAD / 4 * rng.random()) for _ in range(plan.runs))
                    yield Sample(probe.name, session, number * plan.passes + turn, 0.0, 1, runs, 1.0)

    def close(self) -> None:
        """Nothing to let go of."""


def work_ns(probe: Probe) -> float:
    """The computed time of one run, nanoseconds, from the shapes in the model."""
    import onnx
    from onnx import shape_inference

    model = shape_inference.infer_shapes(onnx.load_model_from_string(probe.model))
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    eight_bit = set()
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]
            eight_bit.add(node.output[0])
    values = {
        value.name: [dimension.dim_value or 1 for dimension in value.type.tensor_type.shape.dim]
        for value in (*model.graph.value_info, *model.graph.output)
    }
    total = 0.0
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear", "Transpose") and eight_bit:
            continue  # a part of the operators around it
        written = 1
        for size in values.get(node.output[0], []):
            written *= size
        total += NS_PER_NODE + NS_PER_VALUE * written
        if node.op_type in ("Conv", "Gemm"):
            per_value = 1
            for size in weights[node.input[1]][1:]:
                per_value *= size
            total += NS_PER_MAC * written * per_value * (SHARE_OF_INT8 if node.input[1] in eight_bit else 1)
        elif node.op_type == "MatMul":
            total += NS_PER_MAC * written * values[node.input[0]][-1]
    return total

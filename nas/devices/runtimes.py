"""Runtimes: what runs models on a processor, here and on boards, as targets name them (`cpu:ncnn`, `ssh:pi:ncnn`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from nas.devices.device import Probe
from nas.errors import NasError

Files = Mapping[str, bytes | Path]


@dataclass(frozen=True)
class Runtime:
    """One of them. How it opens and runs a model stands in `worker.py`."""

    word: str
    """In a target; empty for ONNX Runtime. It is the extra that installs it here, too."""
    title: str
    module: str
    """What is imported on the device."""
    package: str
    """What pip installs there."""

    @property
    def provider(self) -> str:
        """What a job calls it."""
        return self.word or "CPUExecutionProvider"

    def check_here(self) -> None:
        """Raise `NasError` where it is not installed on this machine."""
        if self.word and find_spec(self.module) is None:
            raise NasError(f"cpu:{self.word} needs {self.title}, which is not here: pip install 'nas[{self.word}]'.")

    def files(self, probe: Probe, weights: Path) -> Files:
        """A probe as it reads it, whose weights are slices of a file. Raises `NasError` for what it cannot run."""
        return {f"{probe.name}.onnx": probe.model}


RUNTIMES = {
    runtime.word: runtime
    for runtime in (
        Runtime("", "ONNX Runtime", "onnxruntime", "onnxruntime"),
        Runtime("openvino", "OpenVINO", "openvino", "openvino"),
    )
}
"""The one place where they are registered, by their words."""
ONNX_RUNTIME = RUNTIMES[""]

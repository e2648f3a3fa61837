"""What is looked at in files that version 0.1 wrote, and what a search comes to: for tests/fixtures/0.1.

Only the command line and the names of `nas` itself are used, so that all of it holds wherever modules lie.
"""

from __future__ import annotations

import inspect
import json
import platform
import re
import runpy
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import nas

KEPT = Path(__file__).parent / "fixtures" / "0.1"
SPACES = ("fbnet", "mnasnet", "mobile", "nas-bench-macro", "single-path")
MOBILE = ["--space", "mobile", "--target", "pixel-cpu", "--latency", "75ms", "--seed", "0"]
SEARCHES = {
    "evolution": [*MOBILE, "--budget", "50000"],
    "nsga2": [*MOBILE, "--budget", "50000", "--controller", "nsga2"],
    "random": [*MOBILE, "--budget", "5000", "--controller", "random"],
    "surrogate": [*MOBILE, "--budget", "150", "--controller", "surrogate"],
    "exact": [*MOBILE, "--controller", "exact"],
}
CLOCK = ("seconds", "archs_per_second")
"""What result.json has of the clock; a proof has `seconds` too."""


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str


def command(*words: str, cwd: Path, code: int | None = 0) -> Done:
    """What `python -m nas` does with these words in a folder, in this process; expect this exit code."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), chdir(cwd), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["nas", *words])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("nas", run_name="__main__")
    done = Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())
    assert code is None or done.code == code, done
    return done


COMMANDS = (
    *("search", "estimate", "export", "profile", "verify", "train", "report", "devices"),
    *("table list", "table show", "table check", "table add", "table diff", "table merge"),
    *("spaces list", "spaces show"),
)
SMALL = ["search", "--space", "mobile", "--target", "pixel-cpu", "--budget", "100"]
REQUESTS = {
    "a table": ["table", "show", "pixel-cpu"],
    "no command": [],
    "no such command": ["nothing"],
    "no such option": ["search", "--nothing"],
    "nothing is named": ["search"],
    "no such space": ["search", "--space", "nothing", "--target", "pixel-cpu"],
    "no such target": ["search", "--space", "mobile", "--target", "nothing"],
    "no such controller": [*SMALL, "--controller", "nothing"],
    "no unit": [*SMALL, "--latency", "75"],
    "not attainable": [*SMALL, "--latency", "1ms", "--out", "run"],
    "no such run": ["search", "--resume", "--out", "nothing"],
    "no such config": ["estimate", "nothing.json", "--target", "pixel-cpu"],
    "no such training": ["train", "--resume", "--out", "nothing"],
    "a foreign format": ["export", "nothing.json", "--format", "nothing", "--out", "out"],
    "the version": ["--version"],
}
"""Requests, most of them wrong in one thing."""


def interface(folder: Path) -> dict[str, Any]:
    """What may be typed and imported: commands, their options, exit codes, public names and their parameters."""
    helped = {name: command(*name.split(), "--help", cwd=folder).stdout for name in COMMANDS}
    found = {name: getattr(nas, name) for name in sorted(nas.__all__)}
    return {
        "options": {name: sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))) for name, text in helped.items()},
        "codes": {name: command(*words, cwd=folder, code=None).code for name, words in REQUESTS.items()},
        "names": {
            name: list(inspect.signature(thing).parameters) if inspect.isfunction(thing) else None
            for name, thing in found.items()
        },
    }


def hash_of(content: bytes | NDArray[Any]) -> str:
    return sha256(content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()).hexdigest()


def drawn(space: Any, n: int) -> NDArray[np.uint8]:
    """`n` genotypes of a space, always the same."""
    return space.sample(n, np.random.default_rng(0))  # type: ignore[no-any-return]


def space_numbers(name: str) -> dict[str, Any]:
    """A shipped space and what 200 of its genotypes cost, as hashes of arrays."""
    space, rng = nas.load_space(name), np.random.default_rng(1)
    population = drawn(space, 200)
    macs, params = nas.macs(space), nas.params(space)
    decoded = [space.decode(genotype) for genotype in population[:20]]
    assert [a.macs for a in decoded] == macs(population)[:20].tolist()
    assert [a.params for a in decoded] == params(population)[:20].tolist()
    try:
        latency = hash_of(nas.latency(space, nas.load_table("pixel-cpu"))(population))
    except nas.NasError as problem:
        latency = type(problem).__name__
    try:
        accuracy = hash_of(nas.load_predictor(name)(population))
    except nas.NasError:
        accuracy = None
    return {
        "size": space.size,
        "decisions": {decision.name: list(decision.options) for decision in space.decisions},
        "fingerprint": space.fingerprint,
        "fingerprint at 64 px, 10 classes": nas.load_space(name, resolution=64, strides="drop", classes=10).fingerprint,
        "references": {known: dict(options) for known, options in space.references.items()},
        "sample": hash_of(population),
        "canonical": hash_of(space.canonical(population)),
        "mutate": hash_of(space.mutate(population, rng)),
        "crossover": hash_of(space.crossover(population, population[::-1], rng)),
        "macs": hash_of(macs(population)),
        "params": hash_of(params(population)),
        "bounds": [macs.bounds(), params.bounds()],
        "latency": latency,
        "accuracy": accuracy,
        "first": {"macs": decoded[0].macs, "params": decoded[0].params},
    }


def run_content(run: Path) -> dict[str, Any]:
    """What a finished run found: hashes of its files, and its result without the clock."""
    result = json.loads((run / "result.json").read_text())
    for name in CLOCK:
        del result[name]
    if result["proof"]:
        del result["proof"]["seconds"]
    front = result.pop("front")
    files = ("ledger.bin", "front.csv", "winner/config.json", "winner/arch.txt", "policy.csv")
    return {
        "files": {name: hash_of((run / name).read_bytes()) for name in files if (run / name).is_file()},
        "winner/model.onnx": graph_hash(run / "winner" / "model.onnx"),
        "front": [len(front), hash_of(json.dumps(front).encode())],
        "result": result,
    }


def searched(words: list[str], cwd: Path) -> dict[str, Any]:
    """What a search from the start comes to."""
    command("search", *words, "--out", "run", cwd=cwd)
    return run_content(cwd / "run")


def network_numbers(config: Path, folder: Path) -> dict[str, Any]:
    """What the commands say of a config, what they write of it, and what the network answers to a picture."""
    target = str(KEPT / "table") if nas.read_config(config).architecture.height == 16 else "pixel-cpu"
    told = command("estimate", str(config), "--target", target, "--json", cwd=folder, code=None)
    command("export", str(config), "--format", "config,onnx,torch", "--seed", "3", "--out", "out", cwd=folder)
    again = command("export", str(config), "--format", "timm", "--out", "timm", cwd=folder, code=None)
    graph = folder / "out" / "model.onnx"
    architecture = nas.read_config(config).architecture
    return {
        "estimate": json.loads(told.stdout) if told.code == 0 else told.code,
        "config": hash_of((folder / "out" / "config.json").read_bytes()),
        "arch.txt": hash_of((folder / "timm" / "arch.txt").read_bytes()) if again.code == 0 else again.code,
        "graph": graph_hash(graph),
        "answer": answer(graph),
        "macs": architecture.macs,
        "params": architecture.params,
    }


def published_numbers(folder: Path) -> dict[str, Any]:
    """Estimates of the published networks that ship beside a table."""
    networks = Path(__file__).parents[1] / "latency_tables" / "pixel-cpu" / "networks"
    return {
        file.stem: json.loads(
            command("estimate", "--arch-def", str(file), "--target", "pixel-cpu", "--json", cwd=folder).stdout
        )
        for file in sorted(networks.iterdir())[::3]
    }


def weights_hash(path: Path) -> str:
    """Of a safetensors file: the tensors and their names, not which version of nas wrote it."""
    from safetensors.numpy import load_file

    tensors = load_file(path)
    return hash_of(json.dumps([[n, str(t.dtype), t.shape, hash_of(t)] for n, t in sorted(tensors.items())]).encode())


def picture(graph: Path) -> NDArray[np.float32]:
    """A picture for a network, always the same: `float32[1, C, H, W]`."""
    import onnx

    shape = onnx.load(graph).graph.input[0].type.tensor_type.shape.dim[1:]
    return np.random.default_rng(0).standard_normal((1, *(d.dim_value for d in shape))).astype(np.float32)


def answer(graph: Path) -> list[float]:
    """The first eight scores that ONNX Runtime computes of that picture."""
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return [float(score) for score in session.run(None, {"input": picture(graph)})[0][0, :8]]


def plain_answer(model: Path, graph: Path) -> list[float]:
    """The same by model.py with the weights of the graph, whose names are those of its state."""
    import onnx
    import torch

    weights = {t.name: torch.tensor(onnx.numpy_helper.to_array(t)) for t in onnx.load(graph).graph.initializer}
    network = runpy.run_path(str(model))["model"]()
    state = network.state_dict()
    known = {name: weights.get(name, value) for name, value in state.items()}
    missing = [name for name in state if name not in weights and not name.endswith("num_batches_tracked")]
    assert not missing, missing
    network.load_state_dict(known)
    with torch.no_grad():
        return network.eval()(torch.from_numpy(picture(graph)))[0, :8].tolist()  # type: ignore[no-any-return]


def graph_hash(path: Path) -> str:
    """Of an ONNX model: operators and how they are joined, weights and their names; not what values between are
    called, nor which version of nas wrote it."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    names: dict[str, str] = {name: name for name in ("input", "output", *weights)}
    lines = [[entry.version for entry in model.opset_import], model.ir_version]
    lines += sorted([p.key, p.value] for p in model.metadata_props if p.key != "nas_version")
    for node in graph.node:
        attributes = sorted((a.name, repr(onnx.helper.get_attribute_value(a))) for a in node.attribute)
        ends = [names.setdefault(name, f"value {len(names)}") for name in (*node.input, *node.output)]
        lines.append([node.op_type, ends, attributes])
    lines += [[name, str(array.dtype), array.shape, hash_of(array)] for name, array in sorted(weights.items())]
    return hash_of(json.dumps(lines).encode())


def machine() -> dict[str, Any]:
    """What decides the last bits of convolutions and matrix products."""
    import scipy
    import sklearn
    import threadpoolctl
    import torch

    return {
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "blas": sorted({pool["architecture"] for pool in threadpoolctl.threadpool_info() if "architecture" in pool}),
        "machine": platform.machine(),
    }

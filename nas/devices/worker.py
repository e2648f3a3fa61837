#!/usr/bin/env python3
"""Times models on the device that it runs on. One file; needs Python 3.8, numpy and a runtime, nothing of nas.

    python3 worker.py info THREADS PROVIDER    print one line about this device
    python3 worker.py run JOB                  run a job; the models and weights.bin lie in the same folder

A job is text, a word and its values a line: `threads`, `provider`, `passes`, `runs`, `seed`, then for each group
`group` and its probes as `probe NAME BATCH CHANNELS HEIGHT WIDTH`. The models of a group are opened together, each in
a session of its own, and timed in shuffled passes, so that whatever else happens on the device meets all of them.
A provider is one of ONNX Runtime's, or the name of another runtime in `RUNTIMES`.
Every line printed is one JSON object: {"info"}, {"alive"}, a sample, {"remark", "value"}, {"error"}, {"done"}.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import random
import sys
import time
from typing import Any, Callable, Iterator


def say(**document: Any) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def first_line(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read(400).replace("\0", "\n").split("\n")[0].strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def model_name() -> str:
    board = first_line("/proc/device-tree/model")
    if board:
        return board
    try:
        with open("/proc/cpuinfo") as file:
            pairs = [line.split(":", 1) for line in file if ":" in line]
        names = {key.strip(): value.strip() for key, value in reversed(pairs)}
        for key in ("model name", "Hardware", "Model"):
            if names.get(key):
                return names[key]
        if "CPU part" in names:
            return f"implementer {names.get('CPU implementer')} part {names['CPU part']}"
    except OSError:
        pass
    return platform.processor() or platform.machine()


class OnnxRuntime:
    """ONNX Runtime, by one of its execution providers."""

    title = "ONNX Runtime"

    def __init__(self, threads: int, provider: str) -> None:
        import onnxruntime as ort

        if provider not in ort.get_available_providers():
            raise SystemExit(f"onnxruntime here has {', '.join(ort.get_available_providers())}, not {provider}")
        ort.set_default_logger_severity(3)
        ort.disable_telemetry_events()  # nothing else shall run while we time
        self.version, self.provider = ort.__version__, provider
        self.alone = threads == 1 and provider == "CPUExecutionProvider"
        self.options = ort.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1

    def open(self, path: str, picture: Any) -> tuple[Callable[[], Any], Any]:
        """Opens the model at a path without ending, input and output in place, so that a run allocates nothing.

        Returns what runs it, and its output.
        """
        import numpy as np
        import onnxruntime as ort

        session = ort.InferenceSession(path + ".onnx", self.options, providers=[self.provider])
        used = session.get_providers()[0]
        if used != self.provider:
            raise RuntimeError(f"{os.path.basename(path)} ran on {used} instead of {self.provider}")
        if "uint8" in session.get_inputs()[0].type:
            picture = np.resize(picture.view(np.uint8), picture.shape)
        where = "cuda" if self.provider in ("CUDAExecutionProvider", "TensorrtExecutionProvider") else "cpu"
        binding = session.io_binding()
        taken = ort.OrtValue.ortvalue_from_numpy(picture, where, 0)
        binding.bind_ortvalue_input("input", taken)
        result = session.run(None, {"input": picture})[0]
        given = ort.OrtValue.ortvalue_from_numpy(np.empty_like(result), where, 0)
        binding.bind_ortvalue_output("output", given)
        run = session.run_with_iobinding

        def once(_held: Any = (taken, given)) -> None:
            run(binding)
            binding.synchronize_outputs()

        return once, result


class OpenVino:
    """OpenVINO on the processor, in float32; it reads ONNX."""

    title = "OpenVINO"

    def __init__(self, threads: int, provider: str) -> None:
        import openvino

        self.version, self.provider = openvino.__version__.split("-")[0], "CPU"
        self.alone = False  # a thread of its own does the work, and others wait for it
        self.core = openvino.Core()
        self.core.set_property(
            "CPU", {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        )

    def open(self, path: str, picture: Any) -> tuple[Callable[[], Any], Any]:
        """See `OnnxRuntime.open`."""
        import openvino

        model = self.core.read_model(path + ".onnx")
        model.reshape(list(picture.shape))
        request = self.core.compile_model(model, "CPU").create_infer_request()
        request.set_input_tensor(openvino.Tensor(picture))
        request.infer()
        return request.infer, request.get_output_tensor().data


def read_model(path: str) -> tuple[str, list[Any]]:
    """Of NAME.json: what a runtime reads besides weights, and these. One is a part of weights.bin, as its first value,
    shape, order of axes and scale; or, in base64, values of its own."""
    import numpy as np

    with open(path + ".json") as file:
        document = json.load(file)
    weights = []
    shared = os.path.join(os.path.dirname(path), "weights.bin")
    for part in document["weights"]:
        if isinstance(part, str):
            weights.append(np.frombuffer(base64.b64decode(part), np.float32))
        else:
            first, shape, order, scale = part
            values = np.fromfile(shared, np.float32, int(np.prod(shape)), offset=4 * first).reshape(shape)
            weights.append(np.ascontiguousarray(values.transpose(order) * np.float32(scale)))
    return document["model"], weights


class Ncnn:
    """ncnn on the processor, in float32."""

    title = "ncnn"

    def __init__(self, threads: int, provider: str) -> None:
        import ncnn

        self.version, self.provider, self.threads = ncnn.__version__, "CPU", threads
        self.alone = threads == 1
        self.pools = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()

    def open(self, path: str, picture: Any) -> tuple[Callable[[], Any], Any]:
        """See `OnnxRuntime.open`. What it makes in a run lies in pools, as in ncnn's own benchmark."""
        import ncnn
        import numpy as np

        model, weights = read_model(path)
        net = ncnn.Net()
        net.opt.num_threads, net.opt.use_vulkan_compute = self.threads, False
        for name in dir(net.opt):
            if name.startswith(("use_fp16", "use_bf16", "use_int8")):
                setattr(net.opt, name, False)
        with open(path + ".bin", "wb") as file:
            file.writelines(array.tobytes() for array in weights)
        if net.load_param_mem(model) or net.load_model(path + ".bin"):
            raise RuntimeError(f"ncnn does not read {os.path.basename(path)}")
        os.remove(path + ".bin")
        given, (taken,), (output,) = ncnn.Mat(picture[0]).clone(), net.input_names(), net.output_names()

        def once() -> Any:
            extractor = net.create_extractor()
            extractor.set_blob_allocator(self.pools[0])
            extractor.set_workspace_allocator(self.pools[1])
            extractor.input(taken, given)
            code, result = extractor.extract(output)
            if code:
                raise RuntimeError(f"ncnn fails with code {code}")
            return result

        return once, np.array(once())


class LiteRt:
    """LiteRT, TensorFlow Lite's successor, on the processor by XNNPACK, in float32."""

    title = "LiteRT"

    def __init__(self, threads: int, provider: str) -> None:
        from importlib.metadata import version

        from ai_edge_litert.interpreter import Interpreter

        self.version, self.provider, self.threads = version("ai-edge-litert"), "XNNPACK", threads
        self.kind, self.alone = Interpreter, threads == 1

    def open(self, path: str, picture: Any) -> tuple[Callable[[], Any], Any]:
        """See `OnnxRuntime.open`. Its pictures have their channels last."""
        import numpy as np

        model, weights = read_model(path)
        content = b"".join([base64.b64decode(model), *(array.tobytes() for array in weights)])
        interpreter = self.kind(model_content=content, num_threads=self.threads)
        interpreter.allocate_tensors()
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.set_tensor(taken["index"], np.ascontiguousarray(picture.transpose(0, 2, 3, 1)))
        interpreter.invoke()
        return interpreter.invoke, interpreter.get_tensor(given["index"])


RUNTIMES: dict[str, Any] = {"openvino": OpenVino, "ncnn": Ncnn, "litert": LiteRt}


def runtime(threads: int, provider: str) -> Any:
    kind = RUNTIMES.get(provider, OnnxRuntime)
    try:
        return kind(threads, provider)
    except (ImportError, AttributeError) as problem:
        raise SystemExit(f"the {kind.title} that is installed here does not work ({problem})") from None


def info(threads: int, provider: str) -> dict[str, Any]:
    used = runtime(threads, provider)
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return {
        "model": model_name(),
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 1,
        "runtime": used.title,
        "runtime_version": used.version,
        "provider": used.provider,
        "threads": threads,
        "system": f"{platform.system()} {platform.release()}",
        "governor": first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_mb": memory,
    }


def read_job(path: str) -> tuple[dict[str, Any], list[list[tuple[str, tuple[int, ...]]]]]:
    job: dict[str, Any] = {}
    groups: list[list[tuple[str, tuple[int, ...]]]] = []
    with open(path) as file:
        for line in file:
            words = line.split()
            if words[0] == "group":
                groups.append([])
            elif words[0] == "probe":
                groups[-1].append((words[1], tuple(int(word) for word in words[2:])))
            else:
                job[words[0]] = words[1] if words[0] == "provider" else int(words[1])
    return job, groups


TAKEN_NS = 100_000
"""A run that took so much longer than its processor worked had it taken by other processes, whose turns are a
millisecond and more. Less is an interrupt, or how coarse the processor's clock is."""


class Session:
    """One session of one probe, ready to run."""

    def __init__(self, folder: str, name: str, shape: tuple[int, ...], runtime: Any, data: Any) -> None:
        import numpy as np

        self.name = name
        self.alone = runtime.alone
        self.id = f"{random.SystemRandom().getrandbits(64):016x}"
        self.picture = np.resize(data, int(np.prod(shape))).reshape(shape).astype(np.float32)
        self.run, result = runtime.open(os.path.join(folder, name), self.picture)
        self.checksum = float(np.abs(result.astype(np.float64)).mean())
        self.run()

    def timed(self, runs: int) -> list[int]:
        """Nanoseconds of each of `runs` runs, after one that is not counted: others have used the caches since.

        Where one thread of the processor does all the work, a run that others took it from counts with the
        processor's time: what it takes when it is left alone.
        """
        run, clock, work = self.run, time.perf_counter_ns, time.process_time_ns
        times = []
        for _ in range(runs + 1):
            worked, start = work(), clock()
            run()
            took = clock() - start
            worked = work() - worked
            times.append(worked if self.alone and took - worked > TAKEN_NS else took)
        return times[1:]


def processor_times() -> tuple[int, int, int, float] | None:
    """Jiffies of this machine: (all, idle, stolen by the hypervisor), and of this process; None where unknown."""
    try:
        with open("/proc/stat") as file:
            values = [int(word) for word in file.readline().split()[1:9]]
        own = os.times()
        return sum(values), values[3] + values[4], values[7], (own.user + own.system) * os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def throttle_count() -> int | None:
    count = first_line("/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count")
    return int(count) if count and count.isdigit() else None


def remarks(before: Any, after: Any, throttled_before: int | None, throttled_after: int | None) -> Iterator[Any]:
    """What disturbed the round: shares of all processors that others used or a hypervisor took, and throttling."""
    if before and after and after[0] > before[0]:
        spent, idle, stolen, own = (now - then for now, then in zip(after, before))
        yield "load", max(0.0, (spent - idle - stolen - own) / spent)
        yield "stolen", max(0.0, stolen / spent)
    if throttled_before is not None and throttled_after is not None:
        yield "throttled", float(max(0, throttled_after - throttled_before))


def run_group(
    folder: str,
    turn: int,
    group: list[Any],
    job: dict[str, Any],
    runtime: Any,
    data: Any,
    shuffler: random.Random,
    began: float,
) -> None:
    sessions: list[Session] = []
    told = time.monotonic()
    for name, shape in shuffler.sample(group, len(group)):
        sessions.append(Session(folder, name, shape, runtime, data))
        if time.monotonic() - told > 1:
            told = time.monotonic()
            say(alive=len(sessions))
    for number in range(job["passes"]):
        for session in shuffler.sample(sessions, len(sessions)):
            at = time.monotonic() - began
            say(
                probe=session.name,
                session=session.id,
                slice=turn * job["passes"] + number,
                at_s=at,
                batch=1,
                ns=session.timed(job["runs"]),
                checksum=session.checksum,
            )


def run(path: str) -> None:
    import numpy as np

    folder = os.path.dirname(os.path.abspath(path))
    job, groups = read_job(path)
    used = runtime(job["threads"], job["provider"])
    weights = os.path.join(folder, "weights.bin")
    data = np.fromfile(weights, np.float32, job["input_values"], offset=4 * job["input_offset"])
    shuffler, began = random.Random(job["seed"]), time.monotonic()
    before, throttled = processor_times(), throttle_count()
    for turn, group in enumerate(groups):
        run_group(folder, turn, group, job, used, data, shuffler, began)
    for kind, value in remarks(before, processor_times(), throttled, throttle_count()):
        say(remark=kind, value=value)
    say(done=sum(len(group) for group in groups))


def main(arguments: list[str]) -> int:
    try:
        if arguments[:1] == ["info"]:
            say(info=info(int(arguments[1]), arguments[2]))
        else:
            run(arguments[1])
    except (Exception, SystemExit) as problem:  # whatever it is, the other side is told in one line
        say(error=f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

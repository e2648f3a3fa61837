"""README.md of a folder in the manner of Hugging Face: what a network is, how good and how fast, how it is fed.

See https://huggingface.co/docs/hub/model-cards for the keys at its head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from nas.blocks.architecture import Architecture
from nas.formats.answers import SAMPLES, Answers
from nas.formats.config import TOP5_ABOVE, Pictures, told_latencies
from nas.formats.feeding import feeding_example, stored_size

EXAMPLES = tuple(f"example-{number}.png" for number in range(1, SAMPLES + 1))
"""Files of the pictures that the card states answers for."""
MOST_NAMES = 20
"""Classes that are named one by one."""

_KINDS = {
    "random": "None: the network is untrained, and there is no `model.safetensors` here.",
    "supernet": "Cut out of a supernet, not trained by themselves: a start for fine-tuning.",
    "trained": "Trained.",
}


def to_card(
    architecture: Architecture,
    *,
    decisions: Mapping[str, Any] | None,
    space: str | None,
    metrics: Mapping[str, Any] | None,
    weights_from: str,
    pictures: Pictures | None,
    answers: Answers | None = None,
) -> str:
    """The text of README.md. What is not known is said to be; pictures of `answers` lie beside it as `EXAMPLES`."""
    known = metrics or {}
    accuracy = value if isinstance(value := known.get("accuracy"), dict) else {}
    trained = weights_from == "trained"
    parts = [
        f"---\n{yaml.safe_dump(_head(accuracy if trained else {}), sort_keys=False, allow_unicode=True)}---\n",
        f"# A network for {architecture.height} × {architecture.width} px and {architecture.num_classes:,} classes\n",
        f"Written by `nas`{f', of the search space {_code(space)}' if space else ''}: "
        f"{architecture.macs:,} multiply-accumulates, {architecture.params:,} parameters.\n",
        _table("Accuracy", _accuracy(accuracy, architecture.num_classes)),
        *(_table("Latency", _latency(latency)) for latency in told_latencies(metrics) or [{}]),
        f"## Weights\n\n{_KINDS[weights_from]}\n",
        _loading(architecture, weights_from),
        *([] if pictures is None else _feeding(architecture, pictures, answers)),
    ]
    if decisions:
        parts.append(_table("Decisions", [(_code(name), _code(option)) for name, option in decisions.items()]))
    return "\n".join(parts)


def _head(accuracy: Mapping[str, Any]) -> dict[str, Any]:
    head: dict[str, Any] = {
        "library_name": "nas",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "neural-architecture-search", "hardware-aware", "pytorch"],
        "metrics": ["accuracy"],
    }
    if isinstance(value := accuracy.get("value"), int | float):
        data = str(accuracy.get("data", "unknown"))
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"name": data, "type": data, "split": "test"},
            "metrics": [{"type": "accuracy", "name": "top-1", "value": round(value / 100, 6)}],
        }
        head["model-index"] = [{"name": "nas network", "results": [result]}]
    return head


def _accuracy(accuracy: Mapping[str, Any], classes: int) -> Iterator[tuple[str, str]]:
    if not accuracy:
        yield "top-1", "not known"
        return
    unit = f" {_plain(accuracy['unit'])}" if accuracy.get("unit") else ""
    spread = f" ± {_figure(accuracy['sigma'])}" if accuracy.get("sigma") is not None else ""
    yield _plain(accuracy.get("label", "top-1")), f"{_figure(accuracy.get('value'))}{spread}{unit}"
    if accuracy.get("top5") is not None and classes > TOP5_ABOVE:
        yield "top-5", f"{_figure(accuracy['top5'])} %"
    yield "what it is", _plain(accuracy.get("provenance", "not known"))


def _latency(latency: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not latency:
        yield "target", "not known"
        return
    measured = latency.get("measured")
    measured = measured if isinstance(measured, dict) else {}
    yield "target", _code(latency.get("target"))
    yield "table (SHA-256)", _code(latency.get("table"))
    yield "asked", f"≤ {_figure(latency['asked_ms'])} ms" if latency.get("asked_ms") is not None else "not known"
    error = f" ± {_figure(latency['error_pct'])} %" if latency.get("error_pct") is not None else ""
    yield "by the table", f"{_figure(latency.get('ms'))} ms{error}"
    yield (
        "measured",
        f"{_figure(measured.get('measured_ms'))} ± {_figure(measured.get('measured_halfwidth_ms'))} ms"
        if measured
        else "not measured",
    )


def _loading(architecture: Architecture, weights_from: str) -> str:
    shape = f"1, {architecture.channels}, {architecture.height}, {architecture.width}"
    lines = ["from model import model", "", "network = model()"]
    if weights_from != "random":
        lines = [
            "from safetensors.torch import load_file",
            *lines,
            'network.load_state_dict(load_file("model.safetensors"))',
        ]
    lines += ["network.eval()", f"# float32 {shape} in, one score a class out"]
    return (
        "## How to load it in torch\n\n`model.py` is plain torch; nothing else is needed.\n\n```python\n"
        + "\n".join(lines)
        + "\n```\n"
    )


def _feeding(architecture: Architecture, pictures: Pictures, answers: Answers | None) -> Iterator[str]:
    """What is done to a picture, a program that does it, and what that prints."""
    samples = answers.samples if answers and pictures.classes else []
    example = feeding_example(architecture, bool(pictures.classes), EXAMPLES[: len(samples)])
    yield _table("How to feed it", _steps(architecture, pictures))
    yield (
        "## How to run it\n\nIn this folder, with onnxruntime, Pillow and numpy, and with the names of pictures behind "
        f"it:\n\n```python\n{example}```\n"
    )
    if samples:
        true = ", ".join(_code(pictures.classes[sample.true]) for sample in samples)
        said = "".join(
            f"{file}: {_plain(pictures.classes[sample.said]).replace('`', '′')} {100 * sample.chance:.1f} %\n"
            for file, sample in zip(EXAMPLES, samples, strict=False)
        )
        yield f"Without names it prints this, of test pictures of the classes {true}:\n\n```text\n{said}```\n"


def _steps(architecture: Architecture, pictures: Pictures) -> Iterator[tuple[str, str]]:
    """What is done to a picture, step by step."""
    height, width, channels = architecture.height, architecture.width, architecture.channels
    colours = {1: "grey", 3: "red, green and blue"}.get(channels, f"{channels} channels")
    mean, std = (", ".join(f"{value:.6g}" for value in values) for values in (pictures.mean, pictures.std))
    names, more = pictures.classes[:MOST_NAMES], len(pictures.classes) - MOST_NAMES
    yield "colours", f"{colours}; transparent parts on white; turned as EXIF says"
    high, wide = stored_size(height, width)
    size = f"the shorter side to {high} pixels" if high == wide else f"to cover {high} × {wide} pixels"
    yield "resize", f"{size}, bilinear with antialiasing (Pillow's)"
    yield "crop", f"the middle {height} × {width} pixels"
    yield "range", "0 to 1: bytes divided by 255"
    yield "mean", f"{mean}, taken away"
    yield "standard deviation", f"{std}, divided by"
    yield "layout", f"float32, NCHW: 1 × {channels} × {height} × {width}"
    listed = ", ".join(map(_code, names)) + (f" and {more:,} more, in `config.json`" if more > 0 else "")
    yield "classes", f"in the order of the scores: {listed}" if names else "a score each; nobody said their names"


def _table(title: str, rows: Any) -> str:
    return f"## {title}\n\n| | |\n|---|---|\n" + "".join(f"| {name} | {text} |\n" for name, text in rows)


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "not known"


def _code(value: object) -> str:
    """In a code span, whatever it is."""
    return f"`{_plain(value).replace('`', '′')}`"


def _plain(value: object) -> str:
    """In one line that ends no cell of a table and opens no tag."""
    text = " ".join(str(value).split())
    return text.replace("|", "¦").replace("<", "‹").replace(">", "›")

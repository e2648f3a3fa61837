"""What a person reads of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.formats.config import TOP5_ABOVE
from nas.system.pace import to_go
from nas.training.history import Epoch


def epoch_line(epoch: Epoch, epochs: int, left: float | None) -> str:
    """An epoch that ended, of so many, and how long those that are left will take, in seconds."""
    held_out = epoch.validation_top1
    parts = (
        f"epoch {epoch.epoch} of {epochs}",
        f"loss {epoch.train_loss:.3f}",
        "" if held_out is None else f"held-out top-1 {held_out:.1f} %",
        f"{epoch.pictures_per_second:,.0f} img/s",
        to_go(left) if epoch.epoch < epochs else "",
    )
    return " · ".join(filter(None, parts))


def training_summary(result: Mapping[str, Any]) -> str:
    """A finished training: on what, how, and what came out."""
    data, network, recipe, test = (result[name] for name in ("data", "network", "recipe", "test"))
    pictures, last = data["pictures"], result["last_epoch"]
    validation, side = last["validation_top1"], data["resolution"]
    pixels = " × ".join(map(str, side)) if isinstance(side, list | tuple) else side
    lines = [
        (
            "data",
            f"{data['name']} · {data['classes']:,} classes · {pixels} px · {pictures['train']:,} pictures "
            f"to train, {pictures['validation']:,} to validate, {pictures['test']:,} to test",
        ),
        (
            "network",
            f"{network['layers']} layers · {network['macs'] / 1e6:.1f} M MACs · {network['params']:,} "
            f"parameters · weights {network['weights']}",
        ),
        (
            "recipe",
            f"{recipe['epochs']} epochs, {result['steps']:,} steps of {recipe['batch']} · learning rate "
            f"{recipe['learning_rate']:g} · seed {result['seed']}{_particulars(recipe, result['teacher'])}",
        ),
        (
            "training",
            f"{result['seconds']:.1f} s, {result['pictures_per_second']:,.0f} img/s{_memory(result)}"
            + f" · loss {last['train_loss']:.3f}"
            + ("" if validation is None else f" · validation top-1 {validation:.1f} %"),
        ),
        (
            "test",
            f"top-1 {test['top1']:.1f} ± {test['standard_error']:.1f} % "
            + (f"· top-5 {test['top5']:.1f} % " if data["classes"] > TOP5_ABOVE else "")
            + f"of {test['count']:,} pictures that nothing was chosen by",
        ),
        ("written", f"{result['training']}/  {' '.join(result['written'])}"),
        *(("", note) for note in result["notes"]),
    ]
    return "".join(f"{name:<10}{text}\n" for name, text in lines)


def _particulars(recipe: Mapping[str, Any], teacher: str | None) -> str:
    """What is not as usual."""
    said = (
        f"only {' and '.join(recipe['only'])} trained" if "only" in recipe else "",
        "statistics kept" if "norm" in recipe else "",
        "with a teacher" if teacher else "",
    )
    return "".join(f" · {part}" for part in said if part)


def _memory(result: Mapping[str, Any]) -> str:
    """Trainings of version 0.1 do not say it."""
    peak = result.get("peak_memory_bytes")
    return "" if peak is None else f", {peak / 2**20:,.0f} MiB at most"

"""What a person reads of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
            f"{recipe['learning_rate']:g} · seed {result['seed']}" + (" · with a teacher" if result["teacher"] else ""),
        ),
        (
            "training",
            f"{result['seconds']:.1f} s, {result['pictures_per_second']:,.0f} img/s · loss {last['train_loss']:.3f}"
            + ("" if validation is None else f" · validation top-1 {validation:.1f} %"),
        ),
        (
            "test",
            f"top-1 {test['top1']:.1f} ± {test['standard_error']:.1f} % · top-5 {test['top5']:.1f} % "
            f"of {test['count']:,} pictures that nothing was chosen by",
        ),
        ("written", f"{result['training']}/  {' '.join(result['written'])}"),
        *(("", note) for note in result["notes"]),
    ]
    return "".join(f"{name:<10}{text}\n" for name, text in lines)

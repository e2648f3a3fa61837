"""`nas export`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli.output import ScreenTeller, json_option, network_option, print_json, show
from nas.errors import NasError
from nas.system.places import absolute_data
from nas.system.teller import Teller

if TYPE_CHECKING:
    from nas.runs.network import Network

MAX_BATCH = 65_536
"""Pictures at a time that a graph can be written for."""


@click.command()
@click.argument("source", metavar="NET|RUN")
@click.option("--format", "formats", help="Of config,timm,onnx,torch,hf,int8,study. Default: the first four.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to write into.")
@click.option("--data", metavar="NAME[:PATH]", help="int8: the pictures to calibrate on and to test with.")
@click.option(
    "--batch", metavar="N|fixed", help="onnx, int8: takes so many pictures at a time; fixed: 1. Default: any."
)
@network_option
@click.option("--seed", type=int, default=0, show_default=True, help="Of random weights in model.onnx.")
@json_option
def export(
    source: str,
    formats: str | None,
    out: Path,
    data: str | None,
    batch: str | None,
    resolution: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Write a network as config.json, arch.txt (timm), model.onnx and model.py, or a run as an Optuna study."""
    from nas.runs.network import find_network
    from nas.system.folder_lock import is_held

    names = None if formats is None else [name.strip() for name in formats.split(",")]
    if is_held(out):
        raise NasError(f"{out}: another process is working in this folder. Wait for it, or choose another --out.")
    if data is not None and not {"int8", "study"} & set(names or ()):
        raise NasError("--data is for the format int8, which is calibrated on it. Add it to --format, or leave it out.")
    if batch is not None and not {"onnx", "int8", "hf"} & set(("onnx",) if names is None else names):
        raise NasError("--batch is of the formats onnx, hf and int8. Add one to --format, or leave it out.")
    pictures = _batch(batch)
    written: list[Path] = []
    report = None
    with ScreenTeller("export") as teller:
        if names and "study" in names:
            from nas.export.study import to_study

            names.remove("study")
            written.append(to_study(Path(source), out, data=None if data is None else absolute_data(data)))
        if names != []:
            network = find_network(source, resolution)
            found, report = _export_network(network, names, out, seed, data, pictures, teller)
            written += found
    if as_json:
        print_json({"written": [str(path) for path in written]} | ({} if report is None else {"int8": report}))
        return
    for path in written:
        click.echo(path)
    if report is not None:
        from nas.export.int8 import int8_summary

        show(int8_summary(report))


def _batch(text: str | None) -> int | None:
    """Pictures at a time; None for any number. Raises `NasError`."""
    if text is None:
        return None
    number = 1 if text == "fixed" else int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
    if not 1 <= number <= MAX_BATCH:
        raise NasError(f"`--batch` is a whole number of 1 to {MAX_BATCH:,}, or fixed (which is 1), got {text!r}.")
    return number


def _export_network(
    source: Network,
    names: list[str] | None,
    out: Path,
    seed: int,
    data: str | None,
    batch: int | None,
    teller: Teller,
) -> tuple[list[Path], dict[str, Any] | None]:
    """Files written, and the report of int8 where that was asked for."""
    from nas.formats.winner import export as write

    config, weights, quantised = source.config, source.weights, names is not None and "int8" in names
    if names is not None and quantised:
        if data is None:
            raise NasError("int8 needs --data, the pictures to calibrate on and to test with.")
        names = [name for name in names if name != "int8"]
    written: list[Path] = []
    if names != []:
        written = write(
            config.architecture,
            out,
            names,
            decisions=config.decisions,
            space=config.space,
            metrics=config.metrics,
            seed=seed,
            weights=weights,
            weights_from=config.weights,
            pictures=config.pictures,
            batch=batch,
            answers=source.answers,
            skipped=teller.say,
        )
    if out / "model.py" in written:
        from nas.cost.recount import differences

        for line in differences(config.architecture):
            teller.say(line)
    if not quantised:
        return written, None
    from nas.data import load_data
    from nas.formats.winner import Origin
    from nas.profiler.bench import attached

    origin = Origin(
        config.decisions, config.space, config.metrics, seed, weights, config.weights, config.pictures, batch
    )
    with attached("cpu") as device:
        from nas.export.int8 import to_int8  # brings torch and ONNX Runtime

        network = config.architecture
        size = (network.height, network.width)
        pictures = load_data(data or "", size, channels=network.channels, teller=teller)
        more, report = to_int8(config.architecture, origin, pictures, device, out, teller)
    return written + more, report

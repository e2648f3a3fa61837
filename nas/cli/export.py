"""`nas export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas.cli.output import ScreenTeller, json_option, print_json, show, tell
from nas.errors import NasError
from nas.system.places import absolute_data


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="RUN|CONFIG")
@click.option("--format", "formats", help="Of config,timm,onnx,torch,hf,int8,study. Default: the first four.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to write into.")
@click.option("--data", metavar="NAME[:PATH]", help="int8: the pictures to calibrate on and to test with.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of random weights in model.onnx.")
@json_option
def export(source: Path, formats: str | None, out: Path, data: str | None, seed: int, as_json: bool) -> None:
    """Write a network as config.json, arch.txt (timm), model.onnx and model.py, or a run as an Optuna study."""
    from nas.system.folder_lock import is_held

    names = None if formats is None else [name.strip() for name in formats.split(",")]
    if is_held(out):
        raise NasError(f"{out}: another process is working in this folder. Wait for it, or choose another --out.")
    if data is not None and not {"int8", "study"} & set(names or ()):
        raise NasError("--data is for the format int8, which is calibrated on it. Add it to --format, or leave it out.")
    written: list[Path] = []
    if names and "study" in names:
        from nas.export.study import to_study

        names.remove("study")
        written.append(to_study(source, out, data=None if data is None else absolute_data(data)))
    report = None
    if names != []:
        found, report = _export_network(source, names, out, seed, data)
        written += found
    if as_json:
        print_json({"written": [str(path) for path in written]} | ({} if report is None else {"int8": report}))
        return
    for path in written:
        click.echo(path)
    if report is not None:
        from nas.export.int8 import int8_summary

        show(int8_summary(report))


def _export_network(
    place: Path, names: list[str] | None, out: Path, seed: int, data: str | None
) -> tuple[list[Path], dict[str, Any] | None]:
    """Files written, and the report of int8 where that was asked for."""
    from nas.formats.winner import export as write
    from nas.runs.network import find_network

    source = find_network(place)
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
            skipped=tell,
        )
    if out / "model.py" in written:
        from nas.cost.recount import differences

        for line in differences(config.architecture):
            tell(line)
    if not quantised:
        return written, None
    from nas.data import load_data
    from nas.export.int8 import to_int8
    from nas.formats.winner import Origin
    from nas.profiler.bench import attached

    origin = Origin(config.decisions, config.space, config.metrics, seed, weights, config.weights, config.pictures)
    with ScreenTeller("int8") as teller, attached("cpu") as device:
        network = config.architecture
        size = (network.height, network.width)
        pictures = load_data(data or "", size, channels=network.channels, teller=teller)
        more, report = to_int8(config.architecture, origin, pictures, device, out)
    return written + more, report

"""`nas import`."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from nas.cli.output import json_option, print_json, tell
from nas.errors import NasError

if TYPE_CHECKING:
    from nas.runs.importing import Imported


@click.command("import")
@click.argument("source")
@click.option("--network", metavar="NET", help="Which network the weights are of: a shipped name, or a file of it.")
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="For timm:NAME. Default: timm's own.")
@click.option("--resolution", type=int, help="Pixels a side of its pictures. Default: what the network says.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to write into.")
@json_option
def import_(
    source: str, network: str | None, weights: Path | None, resolution: int | None, out: Path, as_json: bool
) -> None:
    """Bring in a trained network: SOURCE is a file of weights, timm:NAME, or a folder of the Hugging Face hub."""
    from nas.runs.importing import import_network
    from nas.system.folder_lock import is_held

    if is_held(out):
        raise NasError(f"{out}: another process is working in this folder. Wait for it, or choose another --out.")
    if out.is_dir() and any(out.iterdir()):
        raise NasError(f"{out}: there are files in this folder. Choose another --out.")
    imported = import_network(source, network=network, weights=weights, resolution=resolution)
    written = [str(path) for path in imported.write(out)]
    told = _told(imported)
    if as_json:
        print_json({**told, "written": written})
        return
    for path in written:
        click.echo(path)
    conventions = ", ".join(f"{name} {value}" for name, value in told["conventions"].items()) or "as usual"
    mean, std = (" ".join(f"{value:.3f}" for value in told[name]) for name in ("mean", "std"))
    branches = imported.architecture.for_training().params
    merged = "" if branches == told["params"] else f" (branches merged: {branches:,} while they are trained)"
    size = f"{told['params']:,} parameters{merged} · {told['macs'] / 1e6:.1f} M MACs"
    tell(f"weights in the names of {told['dialect']} · {size}")
    tell(f"pictures of {told['resolution']} pixels, mean {mean}, deviation {std} · conventions {conventions}")
    tell(f"train it on your own pictures: nas train {quote(str(out))} --data imagefolder:FOLDER")


def _told(imported: Imported) -> dict[str, Any]:
    architecture = imported.architecture
    first = architecture.layers[0]
    return {
        "dialect": imported.fitted.dialect,
        "resolution": architecture.height,
        "num_classes": architecture.num_classes,
        "macs": architecture.macs,
        "params": architecture.params,
        "mean": list(imported.mean),
        "std": list(imported.std),
        "conventions": first.conventions | architecture.layers[-1].conventions,
        **imported.origin,
    }

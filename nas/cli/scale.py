"""`nas scale`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

from nas.cli.output import (
    ScreenTeller,
    classes_option,
    json_option,
    network_option,
    precision_option,
    print_json,
    show,
)
from nas.errors import Interrupted, NasError, Unattainable


@click.command()
@click.argument("source", metavar="NET")
@click.option("--target", required=True, help="A table's name or the path of a table folder, or a device.")
@click.option(
    "--latency", required=True, metavar="2.5ms", help="At most. With commas a family: 20ms,40ms,80ms, a folder each."
)
@click.option(
    "--by",
    type=click.Choice(["width", "fast", "compound"]),
    default="width",
    show_default=True,
    help="Width alone; mostly width, some depth and resolution; or all three alike, as EfficientNet.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to write into.")
@network_option
@precision_option
@classes_option
@json_option
def scale(
    source: str,
    target: str,
    latency: str,
    by: str,
    out: Path,
    resolution: int | None,
    precision: str | None,
    classes: int | None,
    as_json: bool,
) -> None:
    """Scale a network until it meets a latency, or several: a baseline for a search. Its weights are random.

    NET is a shipped network's name, a config.json, an arch-def file, a network of once-for-all, a run or a folder.
    """
    from nas.cli.screen import family_summary, scale_summary
    from nas.runs.family import Family
    from nas.runs.network import find_network
    from nas.runs.request import check_classes
    from nas.system.atomic import clear_parts
    from nas.system.folder_lock import FolderLock
    from nas.tables.target import check_target

    bounds = _bounds(latency)
    check_classes(classes)
    config = find_network(source, resolution, precision).config
    check_target(target, config.architecture.layers[0].precision)
    alone = len(bounds) == 1
    folders = {bound: out if alone else out / name for bound, name in bounds.items()}
    if out.exists() and (not out.is_dir() or any(_is_other(path, folders) for path in out.iterdir())):
        raise NasError(f"{out}: something is there already. Choose another --out.")
    network = config.architecture if classes is None else config.architecture.classified(classes)
    fresh = not out.exists()
    with FolderLock(out, "is working in this folder"), ScreenTeller("scale") as teller:
        clear_parts(out)  # what a killed process left half-written
        try:
            found = list(Family(source, network, config.space, target, by, teller).members(folders))
        except Interrupted:
            kept = "" if alone else " Those that were are kept: the same command goes on."
            raise Interrupted(f"not every network was found.{kept}") from None
        finally:
            with suppress(OSError):  # there is something in it
                if fresh:
                    out.rmdir()
    missing = {member["asked_ms"]: member["why"] for member in found if "why" in member}
    if len(missing) < len(found):
        if as_json:
            print_json(found[0] if alone else {"members": found})
        else:
            show(scale_summary(found[0]) if alone else family_summary(found))
    if missing:
        names = "" if alone else f"No network for {', '.join(bounds[bound] for bound in sorted(missing))}. "
        raise Unattainable(f"{names}{missing[max(missing)]}")


def _bounds(text: str) -> dict[float, str]:
    """`20ms,0.04s` → {20.0: "20ms", 40.0: "40ms"}: bounds in ms, and what folders are named by them. Raises `NasError`
    where one stands twice."""
    from nas.runs.request import parse_latency

    bounds: dict[float, str] = {}
    for part in text.split(","):
        bound = parse_latency(part)
        name = f"{bound:.12g}ms"
        if name in bounds.values():
            raise NasError(f"Each latency of a family stands once, got {part.strip()} twice or as another unit's.")
        bounds[bound] = name
    return bounds


def _is_other(path: Path, folders: Mapping[float, Path]) -> bool:
    """Whether a path in the folder that is to be written into is neither a member's, nor what was left half-written."""
    from nas.system.atomic import PART

    member = path in folders.values() or (path.name.endswith("ms") and (path / "config.json").is_file())
    return not path.name.endswith(PART) and not (member and len(folders) > 1)

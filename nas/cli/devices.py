"""Commands about devices: `nas devices`, `nas profile`, `nas verify`."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.blocks.precision import FLOAT, MEASURED
from nas.cli.output import (
    ScreenTeller,
    classes_option,
    json_option,
    network_option,
    precision_option,
    print_json,
    resolution_option,
    show,
    show_result,
    strides_option,
)
from nas.errors import Interrupted, LatencyMissing, NasError

if TYPE_CHECKING:
    from nas.space.adapt import Strides
    from nas.space.space import Space
    from nas.tables.table import LatencyTable


@click.command()
@click.option("--install", metavar="browser", help="Put onnxruntime-web, which a browser needs, into your data folder.")
@click.option("--from", "source", type=click.Path(path_type=Path), metavar="TARBALL", help="Of a file, not of npm.")
@json_option
def devices(install: str | None, source: Path | None, as_json: bool) -> None:
    """What can be measured from here; for the rest why not, and the next step."""
    if install is not None or source is not None:
        if install != "browser":
            raise NasError(
                f"`--install` takes browser, got {install!r}. "
                "Boards: nas profile --space SPACE --target ssh:HOST --install"
            )
        from nas.devices.browser.runtime import install_runtime

        folder = install_runtime(source)
        print_json({"installed": str(folder)}) if as_json else click.echo(folder)
        return
    from dataclasses import asdict

    from nas.cli.screen import devices_summary
    from nas.devices.listing import list_devices

    found = list_devices()
    if as_json:
        print_json([asdict(device) for device in found])
    else:
        show(devices_summary(found))


def _python(context: click.Context, parameter: click.Parameter, word: str | None) -> str | None:
    from nas.devices.names import check_python

    return word if word is None else check_python(word)


def _ways(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how a device is reached."""
    for option in (
        click.option("--https", is_flag=True, help="browser: encrypted, with a certificate of our own."),
        click.option("--lan", is_flag=True, help="browser: for other machines too, such as a phone."),
        click.option(
            "--python", metavar="PATH", callback=_python, help="ssh: the interpreter there. Default: one that is found."
        ),
        click.option("--install", is_flag=True, help="ssh: put the runtime into a private folder on the board."),
    ):
        command = option(command)
    return command


@click.command()
@click.option("--space", required=True, help="A shipped space's name, or the path of a YAML file.")
@click.option(
    "--target",
    "targets",
    required=True,
    multiple=True,
    help="A device: cpu, cpu:4t, cpu:openvino, ssh:HOST, adb:SERIAL, browser (see `nas devices`). Repeated: boards of "
    "one kind.",
)
@resolution_option
@strides_option
@classes_option
@click.option("--workers", metavar="ray", help="Measure on several boards at once (docs/ray.md).")
@click.option(
    "--precision",
    default=FLOAT,
    show_default=True,
    help="Of the networks' numbers: float32, or int8 (docs/profiling.md).",
)
@click.option("--interval", metavar="1%", help="Half-width of each figure's 95 % interval. Default: 1%.")
@click.option("--budget", default="90s", show_default=True, help="Time of measuring; then what is sure enough is used.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Table folder. Default: among your tables.")
@_ways
@json_option
def profile(
    space: str,
    targets: tuple[str, ...],
    workers: str | None,
    resolution: int | None,
    strides: Strides | None,
    classes: int | None,
    precision: str,
    interval: str | None,
    budget: str,
    out: Path | None,
    as_json: bool,
    **ways: Any,
) -> None:
    """Measure the latency table of a space on a device. Run again, it goes on where it was stopped."""
    from nas.runs.request import check_classes, check_resolution, parse_budget, parse_percent
    from nas.tables.target import check_target, table_folder

    seconds = parse_budget(budget)["seconds"]
    if seconds is None:
        raise NasError(f"The budget of a profile is a time, such as 75s or 5m, got {budget!r}.")
    check_classes(classes)
    check_resolution(resolution, strides)
    if precision not in MEASURED:  # in version 0.1 it was the interval's
        if interval is not None or not re.match(r"[0-9.]", precision):
            raise NasError(f"--precision is {' or '.join(MEASURED)}, got {precision!r}.")
        precision, interval = FLOAT, precision
    percent = parse_percent(interval or "1%")
    for target in targets:
        check_target(target, precision)

    from nas.devices.find import Ways
    from nas.profiler.bench import named, together
    from nas.profiler.profile import check_folder
    from nas.profiler.profile import profile as measure
    from nas.profiler.rounds import Effort
    from nas.space.load import load_space

    loaded = load_space(space, resolution=resolution, strides=strides, classes=classes, precision=precision)
    folder = out or table_folder(named(targets[0]), loaded.name)
    check_folder(folder, targets[0], precision)
    with (
        ScreenTeller("profile") as teller,
        together(targets, workers, teller, Ways(**ways)) as device,
    ):
        if loaded.strides:
            teller.say(f"strides of {loaded.name}: {loaded.strides}")
        try:
            table = measure(loaded, targets[0], device, folder, Effort(percent, seconds), teller)
        except Interrupted as interrupted:
            raise Interrupted(f"{interrupted} They are kept: the same command goes on.") from None
    if as_json:
        print_json(
            {
                "table": str(folder),
                "rows": len(table.keys),
                "fingerprint": table.fingerprint,
                "noise": table.noise(loaded),
                "header": table.header.model_dump(mode="json"),
            }
        )
    else:
        from nas.cli.screen_tables import profile_summary

        place = targets[0] if out is None else str(out) if os.sep in str(out) else f"./{out}"  # it names no device
        show(profile_summary(table, _search_with(table, loaded, space, place, resolution, strides)))


def _search_with(
    table: LatencyTable, space: Space, name: str, target: str, resolution: int | None, strides: Strides | None
) -> str:
    """The search that uses the table that was just made of a space, which a command names so: classes come with
    pictures, and a space without references has no bound of its own."""
    from nas.space.load import load_space
    from nas.system.command import command
    from nas.tables.table import latency

    plain = load_space(name, resolution=resolution, strides=strides, precision=space.precision)
    other = space.name != plain.name
    low, high = latency(space, table).bounds()
    use = command(
        "search",
        space=name,
        target=target,
        resolution=resolution,
        strides=strides,
        precision=None if space.precision == FLOAT else space.precision,
        latency=None if space.references else f"{math.sqrt(low * high):.3g}ms",
        data="imagefolder:PICTURES" if other else None,
    )
    return f"{use}\n{'':10}PICTURES: a folder with a folder for each of its classes" if other else use


@click.command()
@click.argument("source", metavar="NET")
@click.option("--target", help="A device, or a table that names one. Default: the run's target.")
@click.option("--tolerance", default="5%", show_default=True, help="Largest difference of measured and table.")
@network_option
@precision_option
@_ways
@json_option
def verify(
    source: str,
    target: str | None,
    tolerance: str,
    resolution: int | None,
    precision: str | None,
    as_json: bool,
    **ways: Any,
) -> None:
    """Measure a whole network on a device, beside what the table says; exit code 1 where they do not agree.

    Without a table that answers for the network it is measured alone.
    """
    from nas.runs.network import find_network
    from nas.runs.request import parse_percent
    from nas.runs.run import Run

    percent = parse_percent(tolerance)
    found = find_network(source, resolution, precision)
    config = found.config
    if target is None:
        if found.path != Path(source, "winner", "config.json"):
            raise NasError("--target is required for a config, for example: nas verify config.json --target cpu")
        targets = [aim.target for aim in Run.load(Path(source)).request.aims]
        if len(targets) > 1:
            raise NasError(f"{source} was searched for {', '.join(targets)}. Say by --target on which to measure it.")
        target = targets[0]

    from nas.cli.screen import verify_summary
    from nas.devices.find import Ways
    from nas.profiler.bench import attached, device_of
    from nas.profiler.verify import verify as measure
    from nas.tables.table import load_table
    from nas.tables.target import check_target, target_path

    check_target(target, config.architecture.layers[0].precision)
    table: LatencyTable | None = None
    device_name, alone = target, {}
    try:
        table = load_table(target_path(target, config.space))
        device_name = device_of(target, table)
        table.estimate(config.architecture)
    except LatencyMissing as missing:
        table, alone = None, {"target": target, "why": str(missing)}
    with ScreenTeller("verify") as teller, attached(device_name, Ways(**ways)) as device:
        result = measure(config.architecture, table, device, teller) | alone
    show_result(result, partial(verify_summary, tolerance_pct=percent), as_json)
    if "too_busy" in result or (table is not None and abs(result["error_pct"]) > percent):
        sys.exit(1)

"""Commands about devices: `nas devices`, `nas profile`, `nas verify`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli.output import ScreenTeller, json_option, print_json, resolution_option, show, show_result, strides_option
from nas.errors import Interrupted, NasError

if TYPE_CHECKING:
    from nas.space.adapt import Strides


@click.command()
@click.option("--install", metavar="browser", help="Put onnxruntime-web, which a browser needs, into your data folder.")
@click.option("--from", "source", type=click.Path(path_type=Path), metavar="TARBALL", help="Of a file, not of npm.")
@json_option
def devices(install: str | None, source: Path | None, as_json: bool) -> None:
    """What can be measured from here; for the rest why not, and the next step."""
    if install is not None or source is not None:
        if install != "browser":
            raise NasError(
                f"`--install` takes browser, got {install!r}. Boards: nas profile --target ssh:HOST --install"
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


def _on_stderr(text: str) -> None:
    click.echo(text, err=True)


def _ways(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how a device is reached."""
    for option in (
        click.option("--https", is_flag=True, help="browser: encrypted, with a certificate of our own."),
        click.option("--lan", is_flag=True, help="browser: for other machines too, such as a phone."),
        click.option("--install", is_flag=True, help="ssh: put onnxruntime into a private folder on the board."),
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
    help="A device: cpu, cpu:4t, ssh:HOST, adb:SERIAL, browser (see `nas devices`). Repeated: boards of one kind.",
)
@resolution_option
@strides_option
@click.option("--classes", type=int, metavar="N", help="That the networks tell apart. Default: the space's.")
@click.option("--workers", metavar="ray", help="Measure on several boards at once (docs/ray.md).")
@click.option("--precision", default="1%", show_default=True, help="Half-width of each figure's 95 % interval.")
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
    budget: str,
    out: Path | None,
    as_json: bool,
    **ways: bool,
) -> None:
    """Measure the latency table of a space on a device. Run again, it goes on where it was stopped."""
    from nas.blocks.layer import MAX_DIMENSION
    from nas.runs.request import check_resolution, parse_budget, parse_percent
    from nas.tables.target import check_target, table_folder

    seconds = parse_budget(budget)["seconds"]
    if seconds is None:
        raise NasError(f"The budget of a profile is a time, such as 75s or 5m, got {budget!r}.")
    if classes is not None and not 1 <= classes <= MAX_DIMENSION:
        raise NasError(f"`--classes` is a whole number of 1 to {MAX_DIMENSION:,}, got {classes}.")
    check_resolution(resolution, strides)
    percent = parse_percent(precision)
    for target in targets:
        check_target(target)

    from nas.devices.find import Ways
    from nas.profiler.bench import named, together
    from nas.profiler.profile import profile as measure
    from nas.profiler.rounds import Effort
    from nas.space.load import load_space

    loaded = load_space(space, resolution=resolution, strides=strides, classes=classes)
    folder = out or table_folder(named(targets[0]), loaded.name)
    with (
        ScreenTeller("profile") as teller,
        together(targets, workers, teller, Ways(**ways, show=_on_stderr)) as device,
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
                "header": table.header.model_dump(mode="json"),
            }
        )
    else:
        from nas.cli.screen import profile_summary

        pixels = "" if resolution is None else f" --resolution {resolution}"
        way = "" if strides is None else f" --strides {strides}"
        show(profile_summary(table, f"{space}{pixels}{way}", target if out is None else str(out)))


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="RUN|CONFIG")
@click.option("--target", help="A device, or a table that names one. Default: the run's target.")
@click.option("--tolerance", default="5%", show_default=True, help="Largest difference of measured and table.")
@_ways
@json_option
def verify(source: Path, target: str | None, tolerance: str, as_json: bool, **ways: bool) -> None:
    """Measure a whole network on its device, beside what the table says; exit code 1 where they differ."""
    from nas.runs.network import find_network
    from nas.runs.request import parse_percent
    from nas.runs.run import Run

    percent = parse_percent(tolerance)
    found = find_network(source)
    config = found.config
    if target is None:
        if found.path in (source, source / "config.json"):
            raise NasError("--target is required for a config, for example: nas verify config.json --target cpu")
        target = Run.load(source).request.target

    from nas.cli.screen import verify_summary
    from nas.devices.find import Ways
    from nas.profiler.bench import attached, device_of
    from nas.profiler.verify import verify as measure
    from nas.tables.table import load_table
    from nas.tables.target import target_path

    table = load_table(target_path(target, config.space))
    with (
        ScreenTeller("verify") as teller,
        attached(device_of(target, table), Ways(**ways, show=_on_stderr)) as device,
    ):
        result = measure(config.architecture, table, device, teller)
    show_result(result, verify_summary, as_json)
    if abs(result["error_pct"]) > percent:
        sys.exit(1)

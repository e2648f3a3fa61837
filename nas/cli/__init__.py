"""The command line. Progress and messages go to stderr, results to stdout; heavy imports wait for their command."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from nas.cli.devices import devices, profile, verify
from nas.cli.output import Commands, ScreenTeller, json_option, print_json, search_bar, show, summed_up, tell
from nas.cli.report import report
from nas.cli.spaces import spaces
from nas.cli.tables import table
from nas.cli.train import train
from nas.errors import Interrupted, NasError, Refused
from nas.system import ranks
from nas.system.interrupt import raised
from nas.system.places import absolute_data
from nas.system.streams import open_streams

if TYPE_CHECKING:
    from nas.blocks.architecture import Architecture


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nas")
def cli() -> None:
    """Hardware-aware neural architecture search on measured latency tables."""


def main() -> NoReturn:
    """Run a command; whatever it raises becomes one or two lines and an exit code. NAS_DEBUG=1 shows tracebacks."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin on busy cores take them from others
    stdout = open_streams()
    try:
        with raised():
            cli.main(standalone_mode=False)
    except click.exceptions.Exit as problem:
        sys.exit(problem.exit_code)
    except click.ClickException as problem:
        message = " ".join(problem.format_message().split())
        _fail(f"{message} See: nas {' '.join(sys.argv[1:2])} --help".rstrip(), 2, problem)
    except NasError as problem:
        _fail(str(problem), problem.exit_code, problem)
    except Interrupted as problem:
        _fail(f"Interrupted: {problem}", problem.exit_code, None)
    except (KeyboardInterrupt, click.Abort):
        _fail("Interrupted.", 130, None)
    except OSError as problem:
        _fail(str(Refused.of(problem)), Refused.exit_code, problem)
    except Exception as problem:  # a mistake of ours: never taken for a wrong request, and its place is told
        place = traceback.extract_tb(problem.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        _fail(f"A mistake in nas itself, at {where}: {problem!r}. Please report it with NAS_DEBUG=1.", 70, problem)
    if stdout is not None and stdout.problem is not None and not isinstance(stdout.problem, BrokenPipeError):
        _fail(f"what was to be printed could not be written ({stdout.problem.strerror}).", 2, None)
    sys.exit(0)


def _fail(message: str, code: int, problem: BaseException | None) -> NoReturn:
    if problem is not None and os.environ.get("NAS_DEBUG") == "1":
        traceback.print_exception(problem)
    tell(message)
    sys.exit(code)


@cli.command()
@click.option("--space", help="A shipped space's name (see `nas spaces list`) or the path of a YAML file.")
@click.option("--target", help="A table (see `nas table list`), a table folder's path, or a device: cpu, ssh:HOST, …")
@click.option("--latency", metavar="75ms", help="Upper bound. Default: that of the space's first reference network.")
@click.option("--at-most", multiple=True, metavar="macs=300M", help="Further upper bounds, on macs and params.")
@click.option(
    "--objective",
    help="bound, front[:macs,params], mnasnet-soft or mnasnet-hard. Default: front for nsga2, else bound.",
)
@click.option(
    "--controller",
    help="evolution (default), nsga2, surrogate, exact, random, optuna:NAME; with --data also fbnet, single-path, "
    "proxyless, reinforce.",
)
@click.option(
    "--accuracy",
    help="predictor (default where there is one), zero-cost, table:PATH; with --data supernet (default), train, asha.",
)
@click.option("--data", metavar="D", help="Pictures: digits, imagefolder:PATH, cifar10:PATH, … (docs/data.md).")
@click.option("--resolution", type=int, metavar="PX", help="Of the deployed network. Default: the space's.")
@click.option("--proxy-resolution", type=int, metavar="PX", help="Of the pictures that a supernet is trained on.")
@click.option("--skip-broken", is_flag=True, default=None, help="Leave broken pictures out.")
@click.option(
    "--budget", metavar="N|5m", help="Evaluations (of policies: training steps), or a time. Default: by the accuracy."
)
@click.option("--batch", type=int, metavar="N", help="Evaluations asked for together. Default: by budget and workers.")
@click.option(
    "--workers", metavar="ray[:ADDRESS]", help="Evaluate on this machine's cores, or a cluster (docs/ray.md)."
)
@click.option("--prove", is_flag=True, default=None, help="Also bound how much better any architecture could be.")
@click.option("--seed", type=int, help="Default: 0. One seed, one result.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Run folder. Default: runs/SPACE-TARGET-N.")
@click.option(
    "--resume", is_flag=True, help="Go on with the run in --out, or with the newest of this space and target."
)
@json_option
@ranks.told_once()
def search(
    space: str | None,
    target: str | None,
    latency: str | None,
    at_most: tuple[str, ...],
    budget: str | None,
    workers: str | None,
    out: Path | None,
    resume: bool,
    as_json: bool,
    **plain: Any,
) -> None:
    """Find the most accurate architecture of a space within a latency bound on a target."""
    from nas.runs.request import Request, parse_at_most, parse_budget, parse_latency
    from nas.runs.run import Run
    from nas.workers import check_workers

    if workers is not None:
        check_workers(workers)
    asked = {name: value for name, value in plain.items() if value is not None}
    for name, place in {"space": space, "target": target}.items():
        if place is not None:
            asked[name] = _absolute(place)
    kind, colon, place = asked.get("accuracy", "").partition("table:")
    if colon and not kind and place:
        asked["accuracy"] = f"table:{Path(place).resolve()}"  # a `#COLUMN` at its end is kept
    if "data" in asked:
        asked["data"] = absolute_data(asked["data"])
    if latency is not None:
        asked["latency_ms"] = parse_latency(latency)
    if at_most:
        asked["at_most"] = dict(map(parse_at_most, at_most))
    if budget is not None:
        asked |= parse_budget(budget)
    if resume:
        run = Run.resume(out, asked)
    else:
        for name in ("space", "target"):
            if name not in asked:
                raise NasError(f"--{name} is required, for example: nas search --space mobile --target pixel-cpu")
        request = Request(**asked)
        _check_names(request.space, request.target)
        run = Run.create(out, request)

    from nas.runs.loop import carry_out  # only now: the request is on disk

    with search_bar() as progress, ScreenTeller("profile") as teller:
        carry_out(run, progress, teller, workers)
    if ranks.rank():
        return
    if as_json:
        print_json(run.result)
    else:
        from nas.cli.screen import search_summary

        show(summed_up(search_summary, run.result, run.path / "result.json"))


def _absolute(place: str) -> str:
    """Names stay; paths are made absolute, so that a run can be resumed from another folder."""
    from nas.system.places import is_path

    return str(Path(place).resolve()) if is_path(place) else place


def _check_names(space: str, target: str) -> None:
    """Refuse names that nothing answers to, before anything is written or imported."""
    from nas.system.places import space_path
    from nas.tables.target import check_target

    space_path(space)
    check_target(target)


@cli.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--arch-def", type=click.Path(path_type=Path), metavar="FILE", help="A JSON file of timm block strings.")
@click.option("--target", required=True, help="A table's name or the path of a table folder.")
@json_option
def estimate(config: Path | None, arch_def: Path | None, target: str, as_json: bool) -> None:
    """Latency, MACs and parameters of a network: a config.json, or an arch-def file."""
    from nas.tables.table import load_table
    from nas.tables.target import target_path

    architecture, space = _architecture(config, arch_def)
    table = load_table(target_path(target, space))
    found = table.estimate(architecture)
    result = {
        "target": table.name,
        "latency_ms": found.latency_ms,
        "coverage": found.coverage,
        "latency_error_pct": found.error_pct,
        "networks_error": table.networks_error,
        "macs": architecture.macs,
        "params": architecture.params,
    }
    if as_json:
        print_json(result)
    else:
        from nas.cli.screen import estimate_summary

        show(estimate_summary(result))


def _architecture(config: Path | None, arch_def: Path | None) -> tuple[Architecture, str | None]:
    """The network, and the space that it names."""
    from nas.formats.archdef import read_archdef
    from nas.runs.source import find_source

    if (config is None) == (arch_def is None):
        raise NasError("Give a config.json or --arch-def FILE, and just one of them.")
    if arch_def is not None:
        return read_archdef(arch_def), None
    assert config is not None
    found = find_source(config).config
    return found.architecture, found.space


@cli.command()
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
    from nas.runs.source import find_source

    source = find_source(place)
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
        pictures = load_data(data or "", config.architecture.height, teller=teller)
        more, report = to_int8(config.architecture, origin, pictures, device, out)
    return written + more, report


for command in (table, spaces, devices, profile, verify, train, report):
    cli.add_command(command)

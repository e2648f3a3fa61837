"""The command line. Progress and messages go to stderr, results to stdout; heavy imports wait for their command."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from nas.catalog import absolute_data
from nas.cli_devices import devices, profile, verify
from nas.cli_output import ScreenTeller, json_option, print_json, search_bar
from nas.cli_report import report
from nas.cli_train import train
from nas.errors import Interrupted, NasError

if TYPE_CHECKING:
    from nas.blocks.architecture import Architecture


class _Commands(click.Group):
    """Lists commands in the order of use."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nas")
def cli() -> None:
    """Hardware-aware neural architecture search on measured latency tables."""


def main() -> NoReturn:
    """Run a command; whatever it raises becomes one or two lines and an exit code. NAS_DEBUG=1 shows tracebacks."""
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # torch's threads: spinning on busy cores costs 20 times the step
    try:
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
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has seen enough
        sys.exit(0)
    except OSError as problem:
        _fail(f"{problem.filename or 'the system'}: {problem.strerror}.", 2, problem)
    except Exception as problem:  # a mistake of ours: never taken for a wrong request, and its place is told
        place = traceback.extract_tb(problem.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        _fail(f"A mistake in nas itself, at {where}: {problem!r}. Please report it with NAS_DEBUG=1.", 70, problem)
    sys.exit(0)


def _fail(message: str, code: int, problem: BaseException | None) -> NoReturn:
    if problem is not None and os.environ.get("NAS_DEBUG") == "1":
        traceback.print_exception(problem)
    click.echo(f"nas: {message}", err=True)
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
    help="predictor (default where there is one), zero-cost, table:PATH; with --data supernet (default) or train.",
)
@click.option("--data", metavar="D", help="Pictures: digits, imagefolder:PATH, cifar10:PATH, … (docs/data.md).")
@click.option("--resolution", type=int, metavar="PX", help="Of the deployed network. Default: the space's.")
@click.option("--proxy-resolution", type=int, metavar="PX", help="Of the pictures that a supernet is trained on.")
@click.option("--skip-broken", is_flag=True, default=None, help="Leave broken pictures out.")
@click.option(
    "--budget", metavar="N|5m", help="Evaluations (of policies: training steps), or a time. Default: by the accuracy."
)
@click.option("--prove", is_flag=True, default=None, help="Also bound how much better any architecture could be.")
@click.option("--seed", type=int, help="Default: 0. One seed, one result.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Run folder. Default: runs/SPACE-TARGET-N.")
@click.option(
    "--resume", is_flag=True, help="Go on with the run in --out, or with the newest of this space and target."
)
@json_option
def search(
    space: str | None,
    target: str | None,
    latency: str | None,
    at_most: tuple[str, ...],
    budget: str | None,
    out: Path | None,
    resume: bool,
    as_json: bool,
    **plain: Any,
) -> None:
    """Find the most accurate architecture of a space within a latency bound on a target."""
    from nas.request import Request, parse_at_most, parse_budget, parse_latency
    from nas.run import Run

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

    from nas.loop import carry_out  # only now: the request is on disk

    with search_bar() as progress, ScreenTeller("profile") as teller:
        carry_out(run, progress, teller)
    if as_json:
        print_json(run.result)
    else:
        from nas.screen import search_summary

        click.echo(search_summary(run.result), nl=False)


def _absolute(place: str) -> str:
    """Names stay; paths are made absolute, so that a run can be resumed from another folder."""
    from nas.catalog import is_path

    return str(Path(place).resolve()) if is_path(place) else place


def _check_names(space: str, target: str) -> None:
    """Refuse names that nothing answers to, before anything is written or imported."""
    from nas.catalog import space_path
    from nas.target import check_target

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
    from nas.target import target_path

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
        from nas.screen import estimate_summary

        click.echo(estimate_summary(result), nl=False)


def _architecture(config: Path | None, arch_def: Path | None) -> tuple[Architecture, str | None]:
    """The network, and the space that it names."""
    from nas.export.archdef import read_archdef
    from nas.export.config import read_config
    from nas.run import config_file

    if (config is None) == (arch_def is None):
        raise NasError("Give a config.json or --arch-def FILE, and just one of them.")
    if arch_def is not None:
        return read_archdef(arch_def), None
    assert config is not None
    found = read_config(config_file(config))
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
    names = None if formats is None else [name.strip() for name in formats.split(",")]
    if data is not None and "int8" not in (names or ()):
        raise NasError("--data is for the format int8, which is calibrated on it. Add it to --format, or leave it out.")
    written: list[Path] = []
    if names and "study" in names:
        from nas.export.study import to_study

        names.remove("study")
        written.append(to_study(source, out))
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

        click.echo(int8_summary(report), nl=False)


def _export_network(
    place: Path, names: list[str] | None, out: Path, seed: int, data: str | None
) -> tuple[list[Path], dict[str, Any] | None]:
    """Files written, and the report of int8 where that was asked for."""
    from nas.export.source import find_source
    from nas.export.winner import export as write

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
            skipped=lambda reason: click.echo(f"nas: {reason}", err=True),
        )
    if not quantised:
        return written, None
    from nas.data import load_data
    from nas.export.int8 import to_int8
    from nas.export.winner import Origin
    from nas.profiler.bench import attached

    origin = Origin(config.decisions, config.space, config.metrics, seed, weights, config.weights, config.pictures)
    with ScreenTeller("int8") as teller, attached("cpu") as device:
        pictures = load_data(data or "", config.architecture.height, teller=teller)
        more, report = to_int8(config.architecture, origin, pictures, device, out)
    return written + more, report


@cli.group(cls=_Commands)
def table() -> None:
    """Latency tables: shipped ones and your own."""


@table.command("list")
@json_option
def table_list(as_json: bool) -> None:
    """Every table that --target finds by name."""
    from nas.catalog import table_names
    from nas.screen import table_line
    from nas.tables.table import LatencyTable, load_table

    tables: list[LatencyTable] = []
    for folder in table_names().values():
        try:
            tables.append(load_table(folder))
        except NasError as problem:  # one that is broken hides none of the others
            click.echo(f"nas: {problem}", err=True)
    if as_json:
        print_json(
            [
                {
                    "name": t.name,
                    "device": t.header.device.model,
                    "rows": len(t.keys),
                    "path": str(t.path),
                    "fingerprint": t.fingerprint,
                    "networks_error": t.networks_error,
                }
                for t in tables
            ]
        )
    else:
        for found in tables:
            click.echo(table_line(found))


@table.command("show")
@click.argument("name", metavar="TABLE")
@json_option
def table_show(name: str, as_json: bool) -> None:
    """Device, runtime, provenance, rows and content hash of a table."""
    from nas.screen import table_summary
    from nas.tables.table import load_table

    found = load_table(name)
    if as_json:
        print_json(
            {"header": found.header.model_dump(mode="json"), "rows": len(found.keys), "fingerprint": found.fingerprint}
        )
    else:
        click.echo(table_summary(found), nl=False)


@table.command("check")
@click.argument("name", metavar="TABLE")
@click.option("--space", help="Of own tables: whose networks to draw. Default: the space that was profiled.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of own tables: which networks are drawn.")
@json_option
def table_check(name: str, space: str | None, seed: int, as_json: bool) -> None:
    """Error of a table: published networks estimated anew; of your own, fresh networks measured on its device."""
    from nas.screen import check_summary
    from nas.tables.check import check_table
    from nas.tables.table import load_table

    found = load_table(name)
    result = check_table(found)
    if found.header.target is not None and (space or found.header.space):
        from nas.profiler.bench import attached
        from nas.profiler.check import measured_error
        from nas.space.load import load_space

        drawn = load_space(space or found.header.space or "")
        with ScreenTeller("check") as teller, attached(found.header.target) as device:
            result["networks_error"] = measured_error(found, drawn, device, seed, teller).model_dump()
    if as_json:
        print_json(result)
    else:
        click.echo(check_summary(result), nl=False)


@table.command("add")
@click.argument("path", type=click.Path(path_type=Path), metavar="PATH")
@click.option("--name", help="What to call it here. Default: the name in its header.")
@json_option
def table_add(path: Path, name: str | None, as_json: bool) -> None:
    """Check a table folder, from a colleague for example, and copy it to your own tables."""
    from nas.screen import added_summary
    from nas.tables.store import add_table

    result = add_table(path, name)
    if as_json:
        print_json(result)
    else:
        click.echo(added_summary(result), nl=False)


@table.command("diff")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@json_option
def table_diff(a: str, b: str, as_json: bool) -> None:
    """Rows that two tables share and do not, and how far the shared ones are apart."""
    from nas.screen import diff_summary
    from nas.tables.diff import compare
    from nas.tables.table import load_table

    result = compare(load_table(a), load_table(b))
    if as_json:
        print_json(result)
    else:
        click.echo(diff_summary(result), nl=False)


@table.command("merge")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new or empty folder.")
@json_option
def table_merge(a: str, b: str, out: Path, as_json: bool) -> None:
    """One table of two that were measured on the same device."""
    from nas.screen import merge_summary
    from nas.tables.merge import merge_tables
    from nas.tables.table import load_table

    result = merge_tables(load_table(a), load_table(b), out)
    if as_json:
        print_json(result)
    else:
        click.echo(merge_summary(result), nl=False)


@cli.group(cls=_Commands)
def spaces() -> None:
    """Search spaces that come with nas."""


@spaces.command("list")
@json_option
def spaces_list(as_json: bool) -> None:
    """Every shipped space."""
    from nas.catalog import space_names
    from nas.space.load import load_space

    found = [load_space(name) for name in space_names()]
    if as_json:
        print_json([{"name": s.name, "size": s.size, "decisions": len(s.decisions), "source": s.source} for s in found])
    else:
        for s in found:
            click.echo(f"{s.name:<16} {float(s.size):.1e} architectures, {len(s.decisions)} decisions · {s.source}")


@spaces.command("show")
@click.argument("name", metavar="SPACE")
@json_option
def spaces_show(name: str, as_json: bool) -> None:
    """Decisions, options and reference networks of a space."""
    from nas.screen import space_summary
    from nas.space.load import load_space

    space = load_space(name)
    if as_json:
        print_json(
            {
                "name": space.name,
                "source": space.source,
                "size": space.size,
                "decisions": {decision.name: list(decision.options) for decision in space.decisions},
                "references": {name: dict(choices) for name, choices in space.references.items()},
            }
        )
    else:
        click.echo(space_summary(space), nl=False)


cli.add_command(devices)
cli.add_command(profile)
cli.add_command(verify)
cli.add_command(train)
cli.add_command(report)

"""`nas search`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas.cli.output import (
    ScreenTeller,
    json_option,
    precision_option,
    print_json,
    resolution_option,
    show,
    strides_option,
)
from nas.errors import NasError
from nas.system import ranks
from nas.system.places import ELASTIC, absolute_data, accuracies, is_path, space_names, space_path


@click.command()
@click.option("--space", help="A shipped space's name (see `nas spaces list`) or the path of a YAML file.")
@click.option(
    "--network", metavar="NET", help="In place of --space: search the smaller networks that this one has in it."
)
@click.option(
    "--weights", metavar="FILE", help="Trained ones of --network, in any dialect of `nas import`. Default: its own."
)
@click.option(
    "--target",
    multiple=True,
    help="A table (see `nas table list`), a table folder's path, or a device: cpu, ssh:HOST, … May repeat.",
)
@click.option(
    "--latency",
    multiple=True,
    metavar="75ms|50%",
    help="Upper bound, or a share of that of the space's first reference network; once for each target. Default: 100%.",
)
@click.option(
    "--at-most",
    multiple=True,
    metavar="macs=300M",
    help="Further upper bounds: macs=, params=, flash=1MiB, peak=256KiB.",
)
@click.option(
    "--objective",
    help="bound, front[:macs,peak], mnasnet-soft or mnasnet-hard. Default: front for nsga2, else bound.",
)
@click.option(
    "--controller",
    help="evolution (default), nsga2, surrogate, exact, netadapt, random, optuna:NAME, your own module:Class; "
    "with --data also fbnet, single-path, proxyless, reinforce.",
)
@click.option(
    "--accuracy",
    help="predictor (default where there is one), zero-cost, table:PATH, your own module:Class; with --data "
    "supernet, sensitivity, train, asha, prior, of which one is chosen.",
)
@click.option("--data", metavar="D", help="Pictures: digits, imagefolder:PATH, cifar10:PATH, … (docs/data.md).")
@resolution_option
@strides_option
@precision_option
@click.option("--proxy-resolution", type=int, metavar="PX", help="Of the pictures that a supernet is trained on.")
@click.option("--skip-broken", is_flag=True, default=None, help="Leave broken pictures out.")
@click.option(
    "--budget", metavar="N|5m", help="Evaluations (of policies: training steps), or a time. Default: by the accuracy."
)
@click.option("--batch", type=int, metavar="N", help="Evaluations asked for together. Default: by budget and workers.")
@click.option(
    "--workers", metavar="ray[:ADDRESS]", help="Evaluate on this machine's cores, or a cluster (docs/ray.md)."
)
@click.option(
    "--finalists",
    type=int,
    metavar="K",
    help="With --data: so many race published networks at the end (docs/search.md). Default: 4; 0 for none.",
)
@click.option(
    "--prove/--no-prove",
    default=None,
    help="Prove, or bound, how good any architecture could be. Default: where it takes seconds (docs/search.md).",
)
@click.option("--seed", type=int, help="Default: 0. One seed, one result.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Run folder. Default: runs/SPACE-TARGET-N.")
@click.option(
    "--resume", is_flag=True, help="Go on with the run in --out, or with the newest of this space and target."
)
@json_option
@ranks.told_once()
def search(
    space: str | None,
    network: str | None,
    target: tuple[str, ...],
    latency: tuple[str, ...],
    at_most: tuple[str, ...],
    budget: str | None,
    workers: str | None,
    out: Path | None,
    resume: bool,
    as_json: bool,
    **plain: Any,
) -> None:
    """Find the most accurate architecture of a space within a latency bound on a target, or on each of several."""
    from nas.runs.aim import settled
    from nas.runs.request import Request, parse_at_most, parse_bounds, parse_budget
    from nas.runs.run import Run
    from nas.tables.target import check_target, is_table_path
    from nas.workers import check_workers

    if workers is not None:
        check_workers(workers)
    asked = {name: value for name, value in plain.items() if value is not None}
    if "weights" in asked:
        asked["weights"] = str(Path(asked["weights"]).resolve())
    if space is not None and network is None and space.startswith(ELASTIC):
        network, space = space.removeprefix(ELASTIC), None
    if network is not None:
        if space is not None:
            raise NasError("A search is of a --space or of a --network, not both.")
        from nas.runs.network import elastic

        asked["space"] = elastic(network)  # what is no network is refused before anything is written
    elif space is not None:  # paths are made absolute: resumable from any folder
        asked["space"] = str(Path(space).resolve()) if space not in space_names() and is_path(space) else space
    if target:
        asked |= settled({"target": [str(Path(each).resolve()) if is_table_path(each) else each for each in target]})
    kind, colon, place = asked.get("accuracy", "").partition("table:")
    if colon and not kind and place:
        shipped = accuracies(place.partition("#")[0]) is not None
        asked["accuracy"] = f"table:{place if shipped else Path(place).resolve()}"  # a `#COLUMN` at its end is kept
    if "data" in asked:
        asked["data"] = absolute_data(asked["data"])
    if latency:
        asked |= parse_bounds(latency)
    if at_most:
        asked["at_most"] = {name: bound for text in at_most for name, bound in parse_at_most(text).items()}
    if budget is not None:
        asked |= parse_budget(budget)
    if resume:
        run = Run.resume(out, asked)
    else:
        for name in ("space", "target"):
            if name not in asked:
                raise NasError(f"--{name} is required, for example: nas search --space mobile --target pixel-cpu")
        request = Request(**asked)
        space_path(request.space)  # names that nothing answers to are refused before anything is written
        for aim in request.aims:
            check_target(aim.target, request.precision)
        run = Run.create(out, request)

    with ScreenTeller("search") as teller:
        from nas.report import have_report
        from nas.runs.search import carry_out  # only now: the request is on disk

        carry_out(run, teller.searched, teller, workers, have_report)
    if ranks.rank():
        return
    if as_json:
        print_json(run.to_json())
    else:
        from nas.cli.screen import search_summary

        show(search_summary(run.result, run.path))

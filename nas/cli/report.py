"""`nas report`."""

from __future__ import annotations

from pathlib import Path

import click

from nas.cli.output import ScreenTeller, json_option, print_json
from nas.errors import NasError


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN|TRAINING...")
@click.option("--compare", is_flag=True, help="One report of several runs of the same space and target.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Default: RUN/report.html; compare.html here."
)
@json_option
def report(runs: tuple[Path, ...], compare: bool, out: Path | None, as_json: bool) -> None:
    """Show a run, several side by side, or a training, in one HTML file that needs no network and no script."""
    from nas.report import write_comparison, write_report, write_training_report
    from nas.runs.run import Run
    from nas.runs.training_folder import TrainingFolder

    if not compare and len(runs) > 1:
        raise NasError(f"A report is of one run, got {len(runs)}. To see them side by side, add --compare.")
    with ScreenTeller("report"):
        if compare:
            written = write_comparison([Run.load(path) for path in runs], out or Path("compare.html"))
        elif TrainingFolder.is_at(runs[0]):
            written = write_training_report(TrainingFolder.load(runs[0]), out)
        else:
            written = write_report(Run.load(runs[0]), out)
    if as_json:
        print_json({"written": [str(written)], "bytes": written.stat().st_size})
    else:
        click.echo(written)

"""`nas table list|show|check|add|import|diff|merge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli.output import Commands, ScreenTeller, json_option, print_json, show, show_result, tell
from nas.errors import NasError

if TYPE_CHECKING:
    from nas.tables.table import LatencyTable


@click.group(cls=Commands)
def table() -> None:
    """Latency tables: shipped ones and your own."""


@table.command("list")
@json_option
def table_list(as_json: bool) -> None:
    """Every table that --target finds by name: device, error, licence, and the spaces that it answers."""
    from nas.cli.screen_tables import tables_summary
    from nas.system.places import table_names
    from nas.tables.listing import answered, entry
    from nas.tables.table import load_table

    tables: list[LatencyTable] = []
    for folder in table_names().values():
        try:
            tables.append(load_table(folder))
        except NasError as problem:  # one that is broken hides none of the others
            tell(str(problem))
    entries = [entry(found, names) for found, names in answered(tables)]
    if as_json:
        print_json(entries)
    else:
        show(tables_summary(entries))


@table.command("show")
@click.argument("name", metavar="TABLE")
@json_option
def table_show(name: str, as_json: bool) -> None:
    """Device, runtime, provenance, rows and content hash of a table."""
    from nas.cli.screen_tables import table_summary
    from nas.tables.table import load_table
    from nas.tables.target import named_table

    found = load_table(named_table(name))
    if as_json:
        # what version 0.1 did not know is not said to lack
        later = {name for name in ("sums", "whole", "beside_float") if getattr(found.header, name) is None}
        header = found.header.model_dump(mode="json", exclude=later)
        print_json({"header": header, "rows": len(found.keys), "fingerprint": found.fingerprint})
    else:
        show(table_summary(found))


@table.command("check")
@click.argument("name", metavar="TABLE")
@click.option("--space", help="Of own tables: whose networks to draw. Default: the space that was profiled.")
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="Of own tables: which networks are drawn."
)
@json_option
def table_check(name: str, space: str | None, seed: int, as_json: bool) -> None:
    """Error of a table: published networks estimated anew; of your own, fresh networks measured on its device."""
    from nas.cli.screen_tables import check_summary
    from nas.tables.check import check_table
    from nas.tables.table import load_table
    from nas.tables.target import named_table

    found = load_table(named_table(name))
    result = check_table(found)
    if found.header.target is not None and not (space or found.header.space) and len(found.checked_spaces) > 1:
        raise NasError(f"{name} is of several spaces ({', '.join(found.checked_spaces)}): --space says which to check.")
    if found.header.target is not None and (space or found.header.space):
        from nas.blocks.precision import FLOAT
        from nas.profiler.bench import attached
        from nas.profiler.check import measured_error
        from nas.space.adapt import precise
        from nas.space.load import load_space

        drawn = load_space(space or precise(found.header.space or "", FLOAT), precision=found.precision)
        with ScreenTeller("check") as teller, attached(found.header.target) as device:
            result["networks_error"] = measured_error(found, drawn, device, seed, teller).model_dump()
    show_result(result, check_summary, as_json)


@table.command("add")
@click.argument("path", type=click.Path(path_type=Path), metavar="PATH")
@click.option("--name", help="What to call it here. Default: the name in its header.")
@json_option
def table_add(path: Path, name: str | None, as_json: bool) -> None:
    """Check a table folder, from a colleague for example, and copy it to your own tables."""
    from nas.cli.screen_tables import added_summary
    from nas.tables.store import add_table

    result = add_table(path, name)
    show_result(result, added_summary, as_json)


@table.command("import")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new or empty folder.")
@json_option
def table_import(file: Path, out: Path, as_json: bool) -> None:
    """Make a table of a lookup table of once-for-all or ProxylessNAS, in YAML or JSON."""
    from nas.cli.screen_tables import imported_summary
    from nas.tables.lookup import import_table

    show_result(import_table(file, out), imported_summary, as_json)


@table.command("diff")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@json_option
def table_diff(a: str, b: str, as_json: bool) -> None:
    """Rows that two tables share and do not, and how far the shared ones are apart."""
    from nas.cli.screen_tables import diff_summary
    from nas.tables.diff import compare
    from nas.tables.table import load_table
    from nas.tables.target import named_table

    result = compare(load_table(named_table(a)), load_table(named_table(b)))
    show_result(result, diff_summary, as_json)


@table.command("merge")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new or empty folder.")
@json_option
def table_merge(a: str, b: str, out: Path, as_json: bool) -> None:
    """One table of two that were measured on the same device."""
    from nas.cli.screen_tables import merge_summary
    from nas.tables.merge import merge_tables
    from nas.tables.table import load_table
    from nas.tables.target import named_table

    result = merge_tables(load_table(named_table(a)), load_table(named_table(b)), out)
    show_result(result, merge_summary, as_json)

"""`nas spaces list|show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nas.cli.output import Commands, json_option, print_json, resolution_option, show, strides_option
from nas.errors import NasError

if TYPE_CHECKING:
    from nas.space.adapt import Strides


@click.group(cls=Commands)
def spaces() -> None:
    """Search spaces that come with nas."""


@spaces.command("list")
@json_option
def spaces_list(as_json: bool) -> None:
    """Every shipped space, published networks in it, and the shipped targets that answer for all of its networks."""
    from nas.space.load import load_space
    from nas.system.places import space_names
    from nas.system.text import listed
    from nas.tables.listing import answers, shipped

    tables = shipped()
    found = []
    for space in map(load_space, space_names()):
        targets = [table.name for table in tables if answers(table, space)]
        numbers = {"name": space.name, "size": space.size, "decisions": len(space.decisions), "source": space.source}
        found.append(numbers | {"references": list(space.references), "targets": targets})
        if not as_json:
            told = f"{space.name:<16} {float(space.size):.1e} architectures, {len(space.decisions)} decisions"
            known = listed(targets) or f"none: nas profile --space {space.name} --target cpu"
            click.echo(f"{told} · targets {known} · {space.source} · holds {', '.join(space.references)}")
    if as_json:
        print_json(found)


@spaces.command("show")
@click.argument("name", metavar="[SPACE]", required=False)
@click.option("--network", metavar="NET", help="In place of SPACE: the smaller networks that this one has in it.")
@resolution_option
@strides_option
@json_option
def spaces_show(
    name: str | None, network: str | None, resolution: int | None, strides: Strides | None, as_json: bool
) -> None:
    """Decisions, options and reference networks of a space."""
    from nas.cli.screen import space_summary
    from nas.runs.network import elastic
    from nas.runs.request import check_resolution
    from nas.space.load import load_space

    check_resolution(resolution, strides)
    if (name is None) == (network is None):
        raise NasError("One space is shown: give its name or path, or a --network.")
    name = name or elastic(str(network))
    space = load_space(name, resolution=resolution, strides=strides)
    if as_json:
        print_json(
            {
                "name": space.name,
                "source": space.source,
                "strides": space.strides,
                "size": space.size,
                "decisions": {decision.name: list(decision.options) for decision in space.decisions},
                "references": {name: dict(choices) for name, choices in space.references.items()},
            }
        )
    else:
        show(space_summary(space))

"""`nas spaces list|show`."""

from __future__ import annotations

import click

from nas.cli.output import Commands, json_option, print_json, show


@click.group(cls=Commands)
def spaces() -> None:
    """Search spaces that come with nas."""


@spaces.command("list")
@json_option
def spaces_list(as_json: bool) -> None:
    """Every shipped space, and the shipped targets that answer for all of its networks."""
    from nas.space.load import load_space
    from nas.system.places import shipped_tables, space_names
    from nas.tables.table import load_table

    tables = [load_table(name) for name in shipped_tables()]
    found = []
    for space in map(load_space, space_names()):
        layers = space.layers()
        targets = [table.name for table in tables if table.answers(layers)]
        numbers = {"name": space.name, "size": space.size, "decisions": len(space.decisions), "source": space.source}
        found.append(numbers | {"targets": targets})
        if not as_json:
            told = f"{space.name:<16} {float(space.size):.1e} architectures, {len(space.decisions)} decisions"
            click.echo(f"{told} · targets {', '.join(targets) or 'none'} · {space.source}")
    if as_json:
        print_json(found)


@spaces.command("show")
@click.argument("name", metavar="SPACE")
@json_option
def spaces_show(name: str, as_json: bool) -> None:
    """Decisions, options and reference networks of a space."""
    from nas.cli.screen import space_summary
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
        show(space_summary(space))

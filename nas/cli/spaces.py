"""`nas spaces list|show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nas.cli.output import Commands, json_option, print_json, resolution_option, show, strides_option

if TYPE_CHECKING:
    from nas.space.adapt import Strides


@click.group(cls=Commands)
def spaces() -> None:
    """Search spaces that come with nas."""


@spaces.command("list")
@json_option
def spaces_list(as_json: bool) -> None:
    """Every shipped space."""
    from nas.space.load import load_space
    from nas.system.places import space_names

    found = [load_space(name) for name in space_names()]
    if as_json:
        print_json([{"name": s.name, "size": s.size, "decisions": len(s.decisions), "source": s.source} for s in found])
    else:
        for s in found:
            click.echo(f"{s.name:<16} {float(s.size):.1e} architectures, {len(s.decisions)} decisions · {s.source}")


@spaces.command("show")
@click.argument("name", metavar="SPACE")
@resolution_option
@strides_option
@json_option
def spaces_show(name: str, resolution: int | None, strides: Strides | None, as_json: bool) -> None:
    """Decisions, options and reference networks of a space."""
    from nas.cli.screen import space_summary
    from nas.runs.request import check_resolution
    from nas.space.load import load_space

    check_resolution(resolution, strides)
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

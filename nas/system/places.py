"""Catalog: which search spaces and latency tables a name or a path finds. Imports nothing heavy."""

from __future__ import annotations

import os
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from nas.errors import NasError, SpaceError, TableError
from nas.system.text import MANY, listed
from nas.system.user_folders import NoHome, data_folder


def shipped_folder(name: str) -> Path:
    """The folder `search_spaces` or `latency_tables`: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parents[1]
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise NasError(f"The folder {name!r} is not in this installation of nas. Install it again.")


def own_tables_folder() -> Path:
    """Where a user's own tables live."""
    return data_folder() / "latency_tables"


def space_names() -> list[str]:
    """Names of the shipped spaces."""
    return sorted(path.stem for path in shipped_folder("search_spaces").glob("*.yaml"))


def table_names() -> dict[str, Path]:
    """Every table that a bare name finds, with its folder: the shipped ones, then the user's own."""
    roots = [shipped_folder("latency_tables")]
    with suppress(NoHome):
        roots.insert(0, own_tables_folder())
    return {
        folder.name: folder
        for root in roots
        if root.is_dir()
        for folder in sorted(root.iterdir())
        if (folder / "table.yaml").is_file()
    }


def accuracies(name: str) -> Path | None:
    """The file of shipped accuracies of this name; None where there is none."""
    files = shipped_folder("search_spaces").glob("accuracies/*.csv.gz")
    return next((file for file in files if file.name == f"{name}.csv.gz"), None)


def published() -> dict[str, Path]:
    """Published networks, as arch-def files, by name."""
    return {file.stem: file for file in sorted(shipped_folder("search_spaces").glob("networks/*"))}


def network_names() -> dict[str, Path]:
    """Those that are `published`, and those that shipped tables are checked on, where no other has their name."""
    checked = sorted(shipped_folder("latency_tables").glob("*/networks/*.json"), key=lambda file: file.name)
    return {file.stem: file for file in checked} | published()


def shipped_tables() -> list[str]:
    """Names of the shipped tables."""
    return sorted(file.parent.name for file in shipped_folder("latency_tables").glob("*/table.yaml"))


def is_path(place: str) -> bool:
    """Whether this, which is no name, is a path: with a slash or a suffix, or naming a folder here."""
    return os.sep in place or place.endswith((".yaml", ".yml")) or Path(place).is_dir()


def absolute_data(data: str) -> str:
    """`KIND:PATH` with the path made absolute, so that a run can be resumed from another folder; names stay."""
    kind, colon, place = data.partition(":")
    return f"{kind}:{Path(place).resolve()}" if colon and Path(place).exists() else data


def is_code(data: str | None) -> bool:
    """Whether `--data` names code of one's own."""
    return data is not None and data.partition(":")[0] == "python"


def public_data(data: str) -> str:
    """What `--data` names, without where it lies on this machine: for files that are passed on."""
    kind, colon, argument = data.partition(":")
    return f"{kind}:{Path(argument).name}" if colon else kind


ELASTIC = "elastic:"
"""Before a network, in any form that is a file: the space of the smaller networks that it has in it."""


TEACHER = "teacher"
"""In the folder of a run that began with a trained network: that network, tuned on the run's data."""


def network_file(place: str) -> Path:
    """The file of a network, by its shipped name or its path; names win. Raises `SpaceError` when there is none."""
    path = network_names().get(place) or Path(place)
    if not path.is_file():
        raise SpaceError(f"No network named {place!r}, nor a file. Shipped: {', '.join(network_names())}.")
    return path


def elastic_name(place: str) -> str:
    """What the network of a file is called: by the folder, where the file is a config.json in it."""
    path = Path(place)
    if path.name == "config.json" and path.parent.name:
        return path.parent.name
    return path.name.removesuffix(".json")


def space_path(place: str | Path) -> Path:
    """The file of a space, by its shipped name or its path; names win. Raises `SpaceError` when there is none."""
    if str(place).startswith(ELASTIC):
        return network_file(str(place).removeprefix(ELASTIC))
    if place in space_names():
        return shipped_folder("search_spaces") / f"{place}.yaml"
    if not (isinstance(place, Path) or is_path(place)):
        raise SpaceError(
            f"No search space named {str(place)!r}. Shipped: {', '.join(space_names())}; "
            "or give the path of a .yaml file."
        )
    if not Path(place).is_file():
        raise SpaceError(f"{place}: no such search-space file.")
    return Path(place)


def table_path(place: str | Path) -> Path:
    """The folder of a table, by its name or its path; names win. Raises `TableError` when there is none."""
    tables = table_names()
    if isinstance(place, str) and place in tables:
        return tables[place]
    if not (isinstance(place, Path) or is_path(place)):
        alike = [name for name in tables if len(str(place)) >= MANY and str(place) in name]
        alike = alike or get_close_matches(str(place), tables)
        like = f", of which {', '.join(alike)} {'are' if alike[1:] else 'is'} like it" if alike else ""
        raise TableError(
            f"No target named {str(place)!r}. Tables here: {listed(tables)}{like}; or give the path of a table folder."
        )
    if not (Path(place) / "table.yaml").is_file():
        raise TableError(f"{place}: a latency table is a folder with table.csv and table.yaml; this is none.")
    return Path(place)

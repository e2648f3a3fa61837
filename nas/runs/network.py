"""Network: what a command was given, whatever form it has, with the weights that belong to it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from nas.errors import ArchitectureError, NasError, RunError
from nas.formats.answers import Answers, read_answers
from nas.formats.config import Config
from nas.formats.network_file import read_network
from nas.formats.weights_file import Array, read_weights
from nas.runs.request import MAX_RESOLUTION
from nas.runs.request_folder import FILE
from nas.runs.run import Run
from nas.space.adapt import precise
from nas.system.command import command
from nas.system.folder_lock import is_held
from nas.system.places import ELASTIC, TEACHER, network_names, published


@dataclass(frozen=True)
class Network:
    """The config of a network, and the path of its file."""

    path: Path
    config: Config
    resized: bool = False
    """Whether its pictures have another size than the file says."""

    @property
    def weights(self) -> dict[str, Array] | None:
        """Those beside the config; None where it says that its weights are random. Raises `ArchitectureError`."""
        return None if self.config.weights == "random" else read_weights(self.path, self.config.architecture)

    @property
    def answers(self) -> Answers | None:
        """What a training of it kept of the test pictures, of their size; None without. Raises `ArchitectureError`."""
        trained = self.config.weights == "trained" and not self.resized
        return read_answers(self.path.parent, self.config.architecture.num_classes) if trained else None


def find_network(place: str | Path, resolution: int | None = None, precision: str | None = None) -> Network:
    """What a shipped network's name, a file or a folder stands for.

    A file is a config.json, an arch-def or a network of once-for-all; a folder a run (its winner), a training, or one
    with a config.json in it. With a `resolution`, in pixels, its pictures have that size; where it comes from and what
    was known of it is then left out. With a `precision` all its layers have that. Raises `ArchitectureError` for a file
    that is none of these or broken, and `RunError` for a folder that is none, and for a run or a training that is not
    finished.
    """
    if resolution is not None and not 1 <= resolution <= MAX_RESOLUTION:
        raise NasError(f"`--resolution` is a whole number of 1 to {MAX_RESOLUTION:,} pixels, got {resolution}.")
    path = network_names().get(str(place)) or _file(Path(place))
    config = read_network(path, resolution)
    if precision is not None:
        named = config.space and precise(config.space, precision)
        config = replace(config, architecture=config.architecture.in_precision(precision), space=named)
    if resolution is not None and config.architecture != (resized := config.architecture.resized(resolution)):
        changed = Config(resized, weights=config.weights, pictures=config.pictures)
        return Network(path, changed, resized=True)
    return Network(path, config)


def find_teacher(pupil: Network, asked: str | None) -> Network | None:
    """The network that is `asked` for, None for `none`; where nobody said, that which the winner of a run came from."""
    if asked is not None:
        return None if asked == "none" else find_network(asked)
    own = pupil.path.parent.parent / TEACHER / "config.json"
    return find_network(own) if pupil.path.parent.name == "winner" and own.is_file() else None


def absolute_network(place: str) -> str:
    """The same network from every working folder: a name stays, a path is made absolute."""
    return place if place in network_names() else str(Path(place).resolve())


def elastic(place: str) -> str:
    """The name of the elastic space of a network in any form, by its shipped name or its file."""
    path = find_network(place).path
    return ELASTIC + (place if place in network_names() else str(path.resolve()))


def _file(place: Path) -> Path:
    if not place.is_dir():
        if not os.path.lexists(place) and place.parent == Path() and not place.suffix:
            raise ArchitectureError(
                f"No network named {str(place)!r}, nor a file or folder. Shipped: {', '.join(published())}."
            )
        return place
    own = place / "config.json"
    if own.is_file():
        return own
    if (place / "checkpoint.safetensors").is_file():
        if is_held(place):
            raise RunError(f"{place}: this training is not finished: a process is working on it. Wait for it.")
        go_on = command("train", resume=True, out=place)
        raise RunError(f"{place}: this training is not finished. Go on with it: {go_on}")
    if not (place / FILE).is_file():
        raise RunError(f"{place}: the folder of a network has a config.json, or is that of a run; this one is neither.")
    return Run.load(place).path / "winner" / "config.json"

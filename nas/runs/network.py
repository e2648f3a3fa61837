"""Network: what a command was given, whatever form it has, with the weights that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nas.errors import RunError
from nas.formats.answers import Answers, read_answers
from nas.formats.config import Config, read_config
from nas.formats.weights_file import Array, read_weights
from nas.runs.run import Run
from nas.system.command import command
from nas.system.folder_lock import is_held


@dataclass(frozen=True)
class Network:
    """The config of a network, and the path of its file."""

    path: Path
    config: Config

    @property
    def weights(self) -> dict[str, Array] | None:
        """Those beside the config; None where it says that its weights are random. Raises `ArchitectureError`."""
        return None if self.config.weights == "random" else read_weights(self.path, self.config.architecture)

    @property
    def answers(self) -> Answers | None:
        """What a training of it kept of the test pictures; None without one. Raises `ArchitectureError`."""
        trained = self.config.weights == "trained"
        return read_answers(self.path.parent, self.config.architecture.num_classes) if trained else None


def find_network(place: Path) -> Network:
    """What a config.json, a run's folder (its winner), or a folder with a config.json in it stands for.

    Raises `RunError` for a run or a training that is not finished and `ArchitectureError` for a broken config.
    """
    path = place
    if place.is_dir():
        own = place / "config.json"
        if not own.is_file() and (place / "checkpoint.safetensors").is_file():
            if is_held(place):
                raise RunError(f"{place}: this training is not finished: a process is working on it. Wait for it.")
            go_on = command("train", resume=True, out=place)
            raise RunError(f"{place}: this training is not finished. Go on with it: {go_on}")
        path = own if own.is_file() else Run.load(place).path / "winner" / "config.json"
    return Network(path, read_config(path))

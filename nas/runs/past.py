"""A search of a trained network: which one it is, what has its weights, and how long they are tuned."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import RunError
from nas.formats.network_file import read_network
from nas.runs.request import Request
from nas.space.adapt import in_precision
from nas.space.elastic import check_strides, elastic_of
from nas.space.load import load_space
from nas.space.space import Space
from nas.system.atomic import write_atomic
from nas.system.files import read_json
from nas.system.places import ELASTIC, TEACHER, elastic_name, network_file

if TYPE_CHECKING:
    from nas.blocks.architecture import Architecture
    from nas.data.data import Data
    from nas.runs.importing import Imported
    from nas.supernet.past import Past

EPOCHS, SHARED_EPOCHS = 8, 8
"""Of the whole network, and of the supernet of what is in it, where no time was given."""
WHOLE_SHARE, SHARED_SHARE = 0.35, 0.35
"""Of the time that was given, likewise."""
USUAL_SHARE = 0.4
"""Of the whole network's MACs, where the bound is not a share."""
NARROW = 1.3
"""Time of a narrower network's step by its MACs, where that of the whole one is 1: about."""
FILE = "tuning.json"


def space_of(request: Request, network: Architecture | None = None, classes: int | None = None) -> Space:
    """The space of a request; of a trained `network`, with what its weights say of it."""
    precision = request.numbers
    if network is None:
        adapted: dict[str, Any] = {"resolution": request.resolution, "strides": request.strides, "classes": classes}
        return load_space(request.space, **adapted, precision=precision)
    check_strides(request.strides)
    place = request.space.removeprefix(ELASTIC)
    own = read_network(network_file(place), request.resolution).architecture
    found = elastic_of(network, elastic_name(place), classes, changed=own.height != network.height)
    return in_precision(found, precision)


def tuned_in(folder: Path) -> Architecture | None:
    """The whole network as the run in a folder has tuned it; None where it has none."""
    file = folder / TEACHER / "config.json"
    return read_network(file).architecture if file.is_file() else None


def past_of(request: Request) -> Imported | None:
    """The network of a request with its trained weights; None where it has none. Raises `ArchitectureError` where the
    weights are of another."""
    if not request.space.startswith(ELASTIC):
        return None
    from nas.formats.dialects import Fitted
    from nas.formats.kernels import read_kernels
    from nas.runs.importing import Imported, import_network, usual
    from nas.runs.network import find_network

    place = request.space.removeprefix(ELASTIC)
    if request.weights is not None:
        return import_network(request.weights, network=place, resolution=request.resolution)
    found = find_network(place, request.resolution)
    weights = found.weights
    if weights is None:
        return None
    shown = found.config.pictures
    architecture = found.config.architecture
    mean, std = (shown.mean, shown.std) if shown else usual(architecture)
    fitted = Fitted(architecture, weights, "nas", read_kernels(found.path, architecture))
    return Imported(fitted, mean, std, {}, shown.classes if shown else ())


@dataclass(frozen=True)
class Tuning:
    """How long a network is tuned and its supernet is trained, kept as tuning.json.

    Planned by steps that are timed, and settled for the supernet when the whole network is done, by what that took.
    """

    file: Path | None
    epochs: int
    """Of the whole network."""
    steps: int
    """Of its supernet, as planned."""
    per_epoch: int
    """Steps."""
    seconds: float | None
    """That both may take; None where the steps were not made of a time."""
    work: float
    """Of a step of the supernet, in steps of the whole network."""

    def settle(self, took: float) -> int:
        """The supernet's steps, where the whole network has taken so many seconds: those that fit into the time that is
        left. In a run that is gone on with, those of before."""
        known = self._read()
        if "settled" in known:
            return int(known["settled"])
        steps = self.steps
        if self.seconds is not None and self.epochs and took:
            pace = took / (self.epochs * self.per_epoch)
            steps = max(self.per_epoch, round((self.seconds - took) / (pace * self.work)))
        if self.file is not None:
            plan = {"epochs": self.epochs, "steps": self.steps, "settled": steps, "took": took}
            write_atomic(self.file, json.dumps(plan) + "\n")
        return steps

    def _read(self) -> dict[str, Any]:
        return read_plan(self.file) if self.file is not None and self.file.is_file() else {}


def read_plan(file: Path) -> dict[str, Any]:
    """A tuning.json. Raises `RunError` where it is none."""
    document = read_json(file, RunError)
    try:
        numbers = {name: float(document[name]) for name in ("settled", "took") if name in document}
        return {"epochs": int(document["epochs"]), "steps": int(document["steps"]), **numbers}
    except (KeyError, TypeError, ValueError):
        raise RunError(f"{file}: not how long a network is tuned. Start a new run with another --out.") from None


def late(request: Request, folder: Path, took: float) -> float:
    """Seconds by which tuning and a supernet that took so many took longer than they might; at least 0."""
    file = folder / FILE
    if request.seconds is None or not file.is_file():
        return 0.0
    plan = read_plan(file)
    might = (WHOLE_SHARE * bool(plan["epochs"]) + SHARED_SHARE) * request.seconds
    return max(0.0, float(plan.get("took", 0.0)) + took - might)


def planned_past(request: Request, network: Imported, data: Data, folder: Path | None) -> tuple[Past, Tuning]:
    """The network to tune on the data, and how long: what time allows, by steps that are timed. It is kept in the run's
    folder, so that a run that is gone on with has the same."""
    from nas.data.batches import batches_per_epoch
    from nas.supernet.past import BATCH, Past
    from nas.training.pace import picture_seconds

    share = min(1.0, *(aim.latency_share or USUAL_SHARE for aim in request.aims))
    file = None if folder is None else folder / FILE
    per_epoch, seconds = batches_per_epoch(len(data.train), BATCH), request.seconds
    if file is not None and file.is_file():
        plan = read_plan(file)
        epochs, steps = plan["epochs"], plan["steps"]
    else:
        known = network.classes == data.classes  # it was trained on these already
        epochs, steps = 0 if known else EPOCHS, SHARED_EPOCHS * per_epoch
        if seconds is not None:
            pace = BATCH * picture_seconds(network.architecture.classified(len(data.classes)), data, request.seed)
            epochs = 0 if known else max(1, round(WHOLE_SHARE * seconds / (pace * per_epoch)))
            steps = max(per_epoch, round(SHARED_SHARE * seconds / (pace * _work(share))))
        if file is not None:
            write_atomic(file, json.dumps({"epochs": epochs, "steps": steps}) + "\n")
    past = Past(
        architecture=network.architecture,
        weights=network.fitted.weights,
        mean=network.mean,
        std=network.std,
        classes=network.classes,
        epochs=epochs,
        share=share,
        kernels=network.fitted.kernels,
    )
    both = None if seconds is None else (WHOLE_SHARE * bool(epochs) + SHARED_SHARE) * seconds
    return past, Tuning(file, epochs, steps, per_epoch, both, _work(share))


def _work(share: float) -> float:
    """Of a step of the supernet, in steps of the whole network: the teacher looks, some learn."""
    from nas.supernet.past import LARGEST_EVERY, NETWORKS

    return 1 / 3 + 1 / LARGEST_EVERY + NARROW * NETWORKS * share

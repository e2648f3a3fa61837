"""A search of a trained network: which one it is, what has its weights, and how long they are tuned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import RunError
from nas.formats.network_file import read_network
from nas.runs.request import Request
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
    if network is None:
        return load_space(request.space, resolution=request.resolution, strides=request.strides, classes=classes)
    check_strides(request.strides)
    place = request.space.removeprefix(ELASTIC)
    own = read_network(network_file(place), request.resolution).architecture
    return elastic_of(network, elastic_name(place), classes, changed=own.height != network.height)


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


def planned_past(request: Request, network: Imported, data: Data, folder: Path | None) -> tuple[Past, int]:
    """How long a network is tuned on the data, and the steps of its supernet: what time allows, by steps that are
    timed. It is kept in the run's folder, so that a run that is gone on with has the same."""
    from nas.data.batches import batches_per_epoch
    from nas.supernet.past import BATCH, Past
    from nas.training.pace import picture_seconds

    share = min(1.0, *(aim.latency_share or USUAL_SHARE for aim in request.aims))
    file = None if folder is None else folder / FILE
    per_epoch = batches_per_epoch(len(data.train), BATCH)
    if file is not None and file.is_file():
        document = read_json(file, RunError)
        try:
            epochs, steps = int(document["epochs"]), int(document["steps"])
        except (KeyError, TypeError, ValueError):
            raise RunError(f"{file}: not how long a network is tuned. Start a new run with another --out.") from None
    else:
        known = network.classes == data.classes  # it was trained on these already
        epochs, steps = 0 if known else EPOCHS, SHARED_EPOCHS * per_epoch
        if request.seconds is not None:
            pace = BATCH * picture_seconds(network.architecture.classified(len(data.classes)), data, request.seed)
            epochs = 0 if known else max(1, round(WHOLE_SHARE * request.seconds / (pace * per_epoch)))
            steps = max(per_epoch, round(SHARED_SHARE * request.seconds / (pace * _work(share))))
        if file is not None:
            write_atomic(file, json.dumps({"epochs": epochs, "steps": steps}) + "\n")
    return (
        Past(
            architecture=network.architecture,
            weights=network.fitted.weights,
            mean=network.mean,
            std=network.std,
            classes=network.classes,
            epochs=epochs,
            share=share,
            kernels=network.fitted.kernels,
        ),
        steps,
    )


def _work(share: float) -> float:
    """Of a step of the supernet, in steps of the whole network: the teacher looks, some learn."""
    from nas.supernet.past import LARGEST_EVERY, NETWORKS

    return 1 / 3 + 1 / LARGEST_EVERY + NARROW * NETWORKS * share

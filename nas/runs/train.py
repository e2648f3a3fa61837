"""train(): from a request to a folder with a trained network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nas.data import load_data
from nas.data.data import Data
from nas.errors import ArchitectureError, NasError
from nas.formats.answers import FILE as ANSWERS
from nas.formats.config import Config, Pictures, told_latencies
from nas.formats.merged import merged
from nas.formats.weights_file import Array, plain_weights, read_file
from nas.formats.winner import export
from nas.runs.network import Network, find_network, find_teacher
from nas.runs.teaching import misfit, teacher_for
from nas.runs.training_folder import TrainingFolder
from nas.runs.training_request import TrainingRequest
from nas.system.places import public_data
from nas.system.teller import Silent, Teller
from nas.training.answer import answer
from nas.training.board import board
from nas.training.choices import former_rate, parts
from nas.training.fit import Fitted, fit
from nas.training.history import Epoch, to_rows
from nas.training.memory import peak_memory
from nas.training.network import Start, check, network_of, start
from nas.training.processes import Processes, joined
from nas.training.recipe import Recipe
from nas.training.score import Score, evaluate

DATA_SEED = 0
"""Of the splits, whatever the training's own: inherited weights and a teacher must not have seen the test pictures."""


def carry_out(folder: TrainingFolder, teller: Teller, tensorboard: bool = False) -> TrainingFolder:
    """Train in a folder, from wherever it stands, to its result. Raises what `fit` and `load_data` do.

    Of several processes only the first writes.
    """
    try:
        if folder.finished:
            return folder
        with folder.resumable(), joined() as team:
            try:
                _train(folder, teller if team.first else Silent(), team, tensorboard)
            except NasError:
                if team.first:
                    folder.discard_unless_begun()
                raise
    finally:
        folder.release()
    return folder


def _train(folder: TrainingFolder, teller: Teller, team: Processes, tensorboard: bool) -> None:
    request = folder.request
    watch: Callable[[Epoch], object] = lambda epoch: None  # noqa: E731
    if tensorboard and team.first:
        watch = board(folder.path)
    source = find_network(request.config, request.resolution)
    network = source.config.architecture
    check(network)
    inherited, weights_from = _inherited(request, source)
    teacher, notes = find_teacher(source, request.teacher), []
    if not team.first:
        team.wait()  # what the first one decodes is on the disk then

    def load(size: tuple[int, int]) -> Data:
        return load_data(
            request.data,
            size,
            channels=network.channels,
            seed=DATA_SEED,
            skip_broken=request.skip_broken,
            teller=teller,
        )

    data, larger = load((network.height, network.width)), None
    shown = source.config.pictures if request.weights is None else None
    if shown is not None and inherited is not None:  # the weights are used to these
        data = replace(data, mean=shown.mean, std=shown.std)
    if teacher is not None:
        its = teacher.config.architecture
        if (why := misfit(teacher, data)) is not None:
            if request.teacher is not None:
                raise ArchitectureError(f"{teacher.path}: {why}")
            notes.append(f"The network that it came from does not teach it: {why}")
            teacher = None
        else:
            notes.append(f"Teacher: {teacher.path.parent}, at {its.height} × {its.width} px.")
            if its.height > network.height:
                larger = replace(load((its.height, its.width)), mean=data.mean, std=data.std)
    if team.first:
        team.wait()
    team.wait()
    named = shown.classes or None if shown else None
    begin = start(network, inherited, data.classes, request.seed, named)
    config, begin = _of_this_network(source.config, replace(begin, notes=(*begin.notes, *notes)))
    for note in begin.notes:
        teller.say(note)
    recipe = Recipe(
        epochs=request.epochs,
        batch=request.batch,
        learning_rate=request.lr or former_rate(request.batch, inherited is not None),
        norm=request.norm,
        only=parts(request.only) if request.only else (),
    )
    fitted = fit(
        network_of(begin.trained, begin.weights),
        data,
        recipe,
        seed=request.seed,
        folder=folder.path,
        teller=teller,
        teacher=None if teacher is None else teacher_for(teacher, data),
        larger=larger,
        processes=team,
        watch=watch,
        lines=True,
    )
    peak = peak_memory(team.device)
    test = evaluate(fitted.network, data, data.test, processes=team, teller=teller)
    answers = answer(fitted.network, data, team)
    if team.first:
        folder.write(ANSWERS, answers.model_dump())
        _conclude(folder, config, begin, recipe, fitted, data, test, weights_from, teacher, peak)


def _inherited(request: TrainingRequest, source: Network) -> tuple[dict[str, Array] | None, str]:
    """The weights to begin with, None for random ones, and where they are from. Raises `ArchitectureError`."""
    if request.weights is not None:
        place = Path(request.weights)
        return read_file(place, source.config.architecture), f"inherited from {place.name}"
    if not request.from_scratch and source.config.weights != "random":
        return source.weights, f"inherited, {source.config.weights}"
    if request.only or request.norm == "tune":
        raise NasError(
            "--only and --norm tune keep a part of inherited weights, and these are random. "
            "Leave both out, or name a network with weights."
        )
    return None, "drawn from the seed"


def _of_this_network(config: Config, begin: Start) -> tuple[Config, Start]:
    """A config without the latency of another number of classes, and a start that says so."""
    metrics = {key: value for key, value in (config.metrics or {}).items() if key not in ("latency", "latencies")}
    if begin.architecture == config.architecture or not told_latencies(config.metrics):
        return config, begin
    note = (
        f"The latency in its config is left out: it is that of {config.architecture.num_classes:,} classes. "
        "`nas estimate` looks up the new one."
    )
    return replace(config, metrics=metrics), replace(begin, notes=(*begin.notes, note))


def _conclude(
    folder: TrainingFolder,
    config: Config,
    begin: Start,
    recipe: Recipe,
    fitted: Fitted,
    data: Data,
    test: Score,
    weights_from: str,
    teacher: Network | None,
    peak: int,
) -> None:
    """Write config.json, model.safetensors and, last, result.json."""
    request = folder.request
    name = public_data(request.data)
    written = export(
        begin.architecture,
        folder.path,
        ["config"],
        decisions=config.decisions,
        space=config.space,
        metrics=_metrics(config.metrics, name, data, recipe, request.seed, test, weights_from),
        weights=merged(begin.trained, plain_weights(fitted.network.state_dict())),  # the averaged ones
        weights_from="trained",
        pictures=Pictures(data.mean, data.std, data.classes),
    )
    folder.write(
        "result.json",
        {
            "data": {
                "name": name,
                "fingerprint": data.fingerprint,
                "classes": len(data.classes),
                "resolution": data.resolution,
                "pictures": {split: len(getattr(data, split)) for split in ("train", "validation", "test")},
            },
            "network": {
                "config": request.config,
                "layers": len(begin.architecture.layers),
                "macs": begin.architecture.macs,
                "params": begin.architecture.params,
                "weights": weights_from,
            },
            "recipe": recipe.to_json(),
            "teacher": teacher and (request.teacher or str(teacher.path.parent)),
            "seed": request.seed,
            "steps": fitted.history[-1].step,
            "seconds": fitted.seconds,
            "peak_memory_bytes": peak,
            "pictures_per_second": fitted.history[-1].step * recipe.batch / max(fitted.seconds, 1e-9),
            "last_epoch": to_rows(fitted.history)[-1],
            "test": test.to_json(),
            "notes": [*data.notes, *begin.notes],
            "written": [*(path.name for path in written), ANSWERS, "metrics.csv", "result.json"],
        },
    )


def _metrics(
    before: Mapping[str, Any] | None,
    name: str,
    data: Data,
    recipe: Recipe,
    seed: int,
    test: Score,
    weights_from: str,
) -> dict[str, Any]:
    """What is known of the network: as before, but for the accuracy, which is now measured."""
    known = dict(before or {})
    estimate = known.pop("accuracy", None)
    if isinstance(estimate, dict) and "recipe" not in estimate:
        known["accuracy_estimate"] = estimate  # what a search went by
    known["accuracy"] = {
        "value": test.top1,
        "unit": "%",
        "label": "top-1",
        "sigma": test.standard_error,
        "top5": test.top5,
        "count": test.count,
        "provenance": (
            f"measured on the {test.count:,} test pictures of {name} after {recipe.epochs} epochs of training; "
            f"weights at the start: {weights_from}"
        ),
        "data": name,
        "data_fingerprint": data.fingerprint,
        "recipe": recipe.to_json(),
        "seed": seed,
    }
    return known

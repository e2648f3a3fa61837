"""The race: finalists of a search and published networks, trained alike on the pictures: the best is the winner.

By successive halving (arXiv:1502.07943): in each round all that are left are trained, then the better half goes on for
twice as long with the weights that it has; the learning rate rises and falls in every round (arXiv:1608.03983). A
network whose training diverges, does not fit into memory or takes its worker down is lost; who else is in it goes on.

race/  in the folder of a run until it is finished: who races and for how long (race.json), what each has reached
(rounds.json), and its weights after each of its rounds
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from nas.accuracy.one_thread import one_thread
from nas.accuracy.short_training import GPU
from nas.accuracy.trainings import Curve
from nas.blocks.architecture import Architecture
from nas.errors import GivenUp, Interrupted, NasError, RunError
from nas.formats.config import Pictures
from nas.formats.merged import merged
from nas.formats.weights_file import Array, read_file, write_file
from nas.runs.agreement import agreement
from nas.runs.clock import Clocks
from nas.runs.field import NETWORKS, Entry, entries, networks
from nas.runs.heat import Heat, Lap, reason
from nas.runs.inheriting import Inheriting
from nas.runs.past import late
from nas.runs.problem import Problem
from nas.runs.raced import AccuracyCheck, Lost, Race, Runner
from nas.runs.request import Request
from nas.runs.result import Found
from nas.space.space import Population
from nas.system.atomic import write_atomic
from nas.system.files import read_json
from nas.system.teller import Teller, stage
from nas.training.pace import picture_seconds
from nas.training.score import standard_error
from nas.workers import Workers

if TYPE_CHECKING:
    from nas.data.data import Data

FOLDER, PLAN, ROUNDS = "race", "race.json", "rounds.json"
EPOCHS = 3
"""Of the first round, where no time was given."""
MOST_EPOCHS = 64
"""Of the first round, however much time there is."""
OVER = 0.1
"""By which share the rounds to come may be more than the time that is left; with more they are cut."""
HELD_OUT = 1 / 3
"""Of a step of training a picture's score costs so much."""


@dataclass(frozen=True, eq=False)
class Raced:
    """What a race came to."""

    race: Race
    check: AccuracyCheck
    row: int | None
    """Of the finalist that won; None is a published network."""
    architecture: Architecture
    weights: dict[str, Array]
    pictures: Pictures


@dataclass(frozen=True, eq=False)
class Course:
    """What a race needs beside its networks."""

    request: Request
    problem: Problem
    data: Data
    folder: Path
    """Of the run."""
    workers: Workers
    teller: Teller
    clocks: Clocks

    def run(self, own: Population, found: Sequence[Found]) -> Raced:
        """Train finalists, `uint8[K, D]` with what the search has of them, against published networks, from wherever
        the folder stands. Raises `Interrupted` after a signal, and `NasError` where no network is left."""
        stage(self.teller, "race")
        began, folder = perf_counter(), self.folder / FOLDER
        folder.mkdir(exist_ok=True)
        field, epochs = self._plan(own)
        raced = networks(field, self.problem, own, len(self.data.classes))
        done = self._rounds(field, raced, epochs, own)
        reached: dict[int, tuple[int, float]] = {}
        lost = []
        for at, entry in enumerate(field):
            for number in range(len(epochs)):
                end = done.get(f"{number}-{at}", ())
                if isinstance(end, str):
                    lost.append(Lost(name=entry.name, round=number + 1, reason=end))
                elif end:
                    reached[at] = (number + 1, end[-1])
        order = sorted(reached, key=lambda at: (*(-part for part in reached[at]), field[at].latency_ms))
        best, count = order[0], len(self.data.validation)
        form = self._trained(field[best], raced[best])
        mine = [(entry.row, reached[at]) for at, entry in enumerate(field) if entry.row is not None and at in reached]
        places = sorted({place for _, place in mine})

        def runner(at: int) -> Runner:
            entry, network, (rounds, top1) = field[at], raced[at], reached[at]
            its = None if entry.row is None else found[entry.row]
            return Runner(
                name=entry.name,
                decisions=None if its is None else its.decisions,
                width=entry.width,
                latency_ms=entry.latency_ms,
                measured_ms=entry.measured_ms,
                macs=network.macs,
                params=network.params,
                estimate=None if its is None else its.accuracy,
                estimate_sigma=None if its is None else its.accuracy_sigma,
                inherited=entry.row is not None and self._inherits,
                epochs=sum(epochs[:rounds]),
                top1=top1,
                top1_sigma=standard_error(top1, count),
                **({"latencies": entry.latencies, "measured": entry.measured} if entry.latencies else {}),
            )

        return Raced(
            Race(
                runners=[runner(at) for at in order],
                lost=lost,
                epochs=epochs,
                provenance=f"trained in a race of {len(field)} networks on {self.data.name} at {self.data.seen}, on "
                f"{count:,} pictures held out, by which the winner was chosen",
                seconds=perf_counter() - began,
            ),
            agreement([found[row].accuracy for row, _ in mine], [places.index(place) for _, place in mine]),
            field[best].row,
            raced[best],
            merged(form, read_file(folder / f"{reached[best][0] - 1}-{best}.safetensors", form)),
            Pictures(self.data.mean, self.data.std, self.data.classes),
        )

    def clear(self) -> None:
        """Remove what was kept, when the run is finished."""
        shutil.rmtree(self.folder / FOLDER, ignore_errors=True)

    def _rounds(
        self, field: Sequence[Entry], raced: Sequence[Architecture], epochs: list[int], own: Population
    ) -> dict[str, Curve | str]:
        """The curve of each network in each round, or why it was lost there, by `ROUND-PLACE`."""
        folder = self.folder / FOLDER
        done: dict[str, Any] = read_json(folder / ROUNDS, RunError) if (folder / ROUNDS).is_file() else {}
        local = not self.workers.option
        heat = Heat(self._sizes(raced), self.request.seed, folder if local else None, self.teller)
        left = list(range(len(field)))
        for number, long in enumerate(epochs):  # which may become shorter
            began, whole = perf_counter(), all(f"{number}-{at}" not in done for at in left)
            size = f"{len(left)} network{'s' * (len(left) > 1)}, {long} epoch{'s' * (long > 1)} each"
            self.teller.say(f"race, round {number + 1} of {len(epochs)}: {size}")
            laps = []
            for at in left:
                if f"{number}-{at}" in done:
                    continue
                weights, form = self._start(field[at], own), self._trained(field[at], raced[at])
                inherited = weights is not None
                if number:
                    weights = read_file(folder / f"{number - 1}-{at}.safetensors", form)
                laps.append(Lap(f"{number}-{at}", form, weights, inherited, long, number))
            try:
                self._train(heat, laps, done, field, len(left))
            except Interrupted:
                kept = sum(not isinstance(end, str) for end in done.values())
                raise Interrupted(f"{kept} trainings of the race are kept.") from None
            ends = {at: done[f"{number}-{at}"] for at in left}
            trained = [at for at in left if not isinstance(ends[at], str)]
            if not trained and not number:
                (folder / ROUNDS).unlink()  # that of memory or workers may be otherwise another time
                raise NasError(
                    f"None of the {len(left)} networks of the race could be trained. {field[0].name}: {ends[0]}. Go on "
                    "with --resume where memory or workers were short; else search anew, with another --seed."
                )
            trained.sort(key=lambda at: (-ends[at][-1], field[at].latency_ms))
            took, count = perf_counter() - began, len(left)
            left = trained[: (len(left) + 1) // 2]
            if not left:
                break
            if whole:
                self._settle(epochs, number + 1, took, took / (count * long), len(left))
        return done

    def _settle(self, epochs: list[int], done: int, took: float, epoch: float, count: int) -> None:
        """Cut the epochs of the rounds after those that are done, in place, to what fits into the time that is left,
        where the last round took so long and the epoch of a network so many seconds of it. Recorded before the next one
        begins; one that has begun is not cut any more."""
        file = self.folder / FOLDER / PLAN
        plan = read_json(file, RunError)
        if plan.get("seconds") is None or plan.get("settled", 0) >= done:
            return
        plan["seconds"] -= took
        most = plan["seconds"] / epoch
        if cost(epochs[done:], count) > (1 + OVER) * most:
            epochs[done:] = fitting(count, most) if most >= count else []
            self.teller.say(f"race: {len(epochs) - done} more rounds fit into the time that is left")
        write_atomic(file, json.dumps(plan | {"epochs": epochs, "settled": done}, indent=1) + "\n")

    def _train(self, heat: Heat, laps: Sequence[Lap], done: dict[str, Any], field: Sequence[Entry], count: int) -> None:
        """Train those of a round, of so many, that are not `done`; what each comes to is kept at once."""
        folder = self.folder / FOLDER

        def ended(lap: Lap, end: tuple[Curve, dict[str, Array]] | str) -> None:
            entry = field[int(lap.key.partition("-")[2])]
            if isinstance(end, str):
                done[lap.key] = end
                self.teller.say(f"race: {Lost(name=entry.name, round=lap.round + 1, reason=end).told}")
            else:
                done[lap.key], reached = end
                write_atomic(folder / f"{lap.key}.safetensors", write_file(reached, "trained"))
                self.teller.say(f"race: {entry.name} {done[lap.key][-1]:.1f} % of the held-out pictures")
            write_atomic(folder / ROUNDS, json.dumps(done))
            shutil.rmtree(folder / lap.key, ignore_errors=True)
            self.teller.progress(count - sum(each.key not in done for each in laps), count, "networks")

        while laps := [lap for lap in laps if lap.key not in done]:
            try:
                with closing(self.workers.map(heat, laps, gpu=GPU)) as trained:
                    for index, end in trained:
                        ended(laps[index], end)
            except GivenUp as problem:  # the others begin anew
                ended(laps[problem.index], reason(problem))

    def _plan(self, own: Population) -> tuple[list[Entry], list[int]]:
        """Who races and the epochs of each round, settled once."""
        file = self.folder / FOLDER / PLAN
        if file.is_file():
            document = read_json(file, RunError)
            return [Entry(**entry) for entry in document["entries"]], document["epochs"]
        began, classes = perf_counter(), len(self.data.classes)
        field = entries(self.problem, own, NETWORKS, classes, self.clocks, self.teller)
        seconds, left = self.request.race_seconds, None
        epochs = rounds(len(field), EPOCHS)
        if seconds is not None:
            largest = max(networks(field, self.problem, own, classes), key=lambda network: network.macs)
            size, data = (largest.height, largest.width), self._sizes([largest])
            with one_thread() if self.workers.option and not torch.cuda.is_available() else nullcontext():
                picture = picture_seconds(largest, data[size], self.request.seed)
            epoch = picture * (len(self.data.train) + HELD_OUT * len(self.data.validation))
            at_once = self.workers.at_once(GPU) if self.workers.option else 1
            left = seconds - self._late - (perf_counter() - began)
            epochs = fitting(len(field), left * at_once / epoch)
        plan = {"entries": [e.to_json() for e in field], "epochs": epochs, "seconds": left}
        write_atomic(file, json.dumps(plan, indent=1) + "\n")
        return field, epochs

    @property
    def _late(self) -> float:
        """Seconds that tuning took from the race, as the machine became slower."""
        weights = self.problem.weights
        if weights is None or weights.settle is None:
            return 0.0
        _ = weights.trained  # which knows its time when it is read, too
        return late(self.request.before_race, self.folder, weights.training.stepper.clock.seconds)

    @property
    def _inherits(self) -> bool:
        return isinstance(self.problem.objective.accuracy, Inheriting)

    def _trained(self, entry: Entry, network: Architecture) -> Architecture:
        """What of a network is trained: with its branches, unless it begins with weights that it inherits."""
        return network if entry.row is not None and self._inherits else network.for_training()

    def _start(self, entry: Entry, own: Population) -> dict[str, NDArray[np.float32]] | None:
        """What a network begins with: weights that it inherits, where there are any."""
        accuracy = self.problem.objective.accuracy
        if entry.row is None or not isinstance(accuracy, Inheriting):
            return None
        return accuracy.weights(own[entry.row])

    def _sizes(self, raced: Sequence[Architecture]) -> dict[tuple[int, int], Data]:
        """The pictures of networks, by the size that these are for; smaller in proportion where that was asked for."""
        from nas.data import load_data

        _, *whole = self.problem.space.picture
        found = {}
        for network in raced:
            size = (network.height, network.width)
            if size in found:
                continue
            if list(size) == whole:
                found[size] = self.data
                continue
            high, wide = (
                round(side * mine / largest) for side, mine, largest in zip(self.data.size, size, whole, strict=True)
            )
            request = self.request
            other = load_data(
                request.data or "",
                (high, wide),
                channels=len(self.data.mean),
                skip_broken=request.skip_broken,
                teller=self.teller,
            )
            found[size] = replace(other, mean=self.data.mean, std=self.data.std)
        return found


def rounds(count: int, first: int, double: bool = True) -> list[int]:
    """Epochs of the rounds of so many networks: until one is left, each twice as long as the one before, or as long."""
    epochs = [first]
    while (count := (count + 1) // 2) > 1:
        epochs.append(2 * epochs[-1] if double else first)
    return epochs


def fitting(count: int, most: float) -> list[int]:
    """The rounds that fit into so many epochs of one network, all together: longer ones, else fewer, at least one."""
    choices = [rounds(count, first) for first in range(MOST_EPOCHS, 0, -1)]
    choices += [rounds(count, 1, double=False)[:length] for length in range(len(choices[-1]), 0, -1)]
    return next((epochs for epochs in choices if cost(epochs, count) <= most), choices[-1])


def cost(epochs: Sequence[int], count: int) -> int:
    """Of rounds that begin with so many networks, in epochs of one."""
    total = 0
    for long in epochs:
        total += count * long
        count = (count + 1) // 2
    return total

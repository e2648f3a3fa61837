"""Halving: networks that fall behind are not trained to the end (`--accuracy asha[:EPOCHS]`), by Ray Tune.

Asynchronous successive halving (arXiv:1810.05934, algorithm 2) with s = 0 and η = 3: rungs are at 1, 3, 9, … epochs,
and who reaches one goes on if it is in the best third of those that did so before. What becomes of a network depends
on who was there first, so nothing of this is reproducible. The learning rate falls over all epochs, so a network that
was left off has a lower figure than a training of its own for so few epochs would give.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import defaultdict
from collections.abc import Generator, Sequence
from tempfile import TemporaryDirectory
from typing import Any

os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # which writes to stdout whatever it is told
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # we keep what is reported
os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # and answer signals

from ray import exceptions, tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler

from nas.accuracy.short_training import DIVERGED, GPU, Training, top1_of
from nas.accuracy.trainings import Curve
from nas.blocks.architecture import Architecture
from nas.errors import Interrupted, NasError
from nas.system.interrupt import interruptible
from nas.system.teller import Teller
from nas.training.history import Epoch
from nas.workers import Workers
from nas.workers.on_ray import LOOK_S, TRIES, VERSIONS, OnRay, check_versions

EPOCHS = 9
FACTOR = 3
"""η of the paper: a rung has so many times the epochs of the one below it."""
STOP_S = 60.0
"""Longest that Tune may take to end its trials after a signal."""


class Halving:
    """The method by which a batch of networks is one run of Tune."""

    version = "asha/1"
    label = "ASHA top-1"

    def __init__(self, workers: Workers, teller: Teller) -> None:
        self._workers = workers
        self._teller = teller

    def described(self, epochs: str) -> str:
        return (
            f"each network trained for up to {epochs}, and left off on the way where it was behind in its batch (ASHA; "
            "the figure is that of its last epoch, and not reproducible)"
        )

    def at_once(self) -> int:
        return self._ray.at_once(GPU)

    def trained(self, training: Training, networks: Sequence[Architecture]) -> Generator[tuple[int, Curve], None, None]:
        if not networks:
            return
        self._ray.start()
        resources = self._ray.resources(GPU)
        watcher = _Watcher(self._teller)
        trainable = tune.with_parameters(_train, training=training, networks=tuple(networks), versions=VERSIONS)
        with TemporaryDirectory(prefix="nas-tune-") as folder:
            tuner = tune.Tuner(
                tune.with_resources(trainable, {"cpu": resources["num_cpus"], "gpu": resources["num_gpus"]}),
                param_space={"network": tune.grid_search(list(range(len(networks))))},
                tune_config=tune.TuneConfig(
                    metric="top1",
                    mode="max",
                    reuse_actors=True,  # torch is imported once
                    scheduler=ASHAScheduler(
                        time_attr="epoch", max_t=training.recipe.epochs, grace_period=1, reduction_factor=FACTOR
                    ),
                ),
                run_config=tune.RunConfig(
                    storage_path=folder,
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=TRIES - 1),
                    callbacks=[watcher],
                    stop=watcher.stopper,
                ),
            )
            yield from watcher.ends_of(tuner, len(networks))

    @property
    def _ray(self) -> OnRay:
        """Raises `NasError` where there is no Ray."""
        if not isinstance(self._workers, OnRay):
            raise NasError("The accuracy `asha` is Ray Tune's: add --workers ray, or take --accuracy train.")
        return self._workers


def _train(config: dict[str, Any], training: Training, networks: Sequence[Architecture], versions: Any) -> None:
    """One trial, in a worker process."""

    def report(epoch: Epoch) -> None:
        tune.report({"epoch": epoch.epoch, "top1": top1_of(epoch)})

    try:
        check_versions(versions)
        curve = training(networks[config["network"]], report)
        if curve[-1] == DIVERGED:  # which `report` was not told of
            tune.report({"epoch": len(curve), "top1": DIVERGED})
    except NasError as problem:  # to be tried again is for workers that died
        tune.report({"epoch": training.recipe.epochs, "top1": 0.0, "refused": str(problem)})


class _Stopper(tune.Stopper):
    """Ends all trials when it is told to."""

    def __init__(self) -> None:
        self.told = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self.told

    def stop_all(self) -> bool:
        return self.told


class _Watcher(tune.Callback):
    """Hands over what trials report: Tune's loop has a thread of its own, ours waits for what ends and for signals."""

    def __init__(self, teller: Teller) -> None:
        self.stopper = _Stopper()
        self._teller = teller
        self._curves: dict[int, dict[int, float]] = defaultdict(dict)
        self._ends: queue.Queue[tuple[int, Curve] | BaseException] = queue.Queue()
        self._lost = 0

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        """What Tune writes to the disk of itself, to go on later, is not about us: runs go on by what is recorded."""
        return tune.Callback, ()

    def ends_of(self, tuner: tune.Tuner, networks: int) -> Generator[tuple[int, Curve], None, None]:
        """The curve of each network, with its index, as they end."""
        thread = threading.Thread(target=self._run, args=(tuner,), name="tune", daemon=True)
        thread.start()
        ended = 0
        with interruptible() as interrupted:
            try:
                while ended < networks:
                    if interrupted():
                        raise Interrupted(f"{ended} of {networks} networks were trained.")
                    try:
                        end = self._ends.get(timeout=LOOK_S)
                    except queue.Empty:
                        if not thread.is_alive() and self._ends.empty():
                            raise NasError(f"Ray Tune ended after {ended} of {networks} networks.") from None
                        continue
                    if isinstance(end, BaseException):
                        raise end
                    ended += 1
                    yield end
            finally:
                self.stopper.told = True
                thread.join(STOP_S)

    def _run(self, tuner: tune.Tuner) -> None:
        try:
            tuner.fit()
        except (exceptions.RayError, RuntimeError, OSError, tune.TuneError) as problem:
            self._ends.put(NasError(f"Ray Tune failed: {str(problem)[:200]}"))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if "refused" in result:
            self._ends.put(NasError(result["refused"]))
        else:
            self._curves[trial.config["network"]][result["epoch"]] = result["top1"]

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Also called where the scheduler ended the trial."""
        network = trial.config["network"]
        if not self.stopper.told and self._curves[network]:
            self._ends.put((network, tuple(top1 for _, top1 in sorted(self._curves[network].items()))))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        number = trial.config["network"] + 1
        self._curves.pop(trial.config["network"], None)
        self._teller.say(
            f"a worker or its node was lost; network {number} of the batch is trained again, "
            f"try {trial.num_failures + 1} of {TRIES}"
        )

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        why = str(trial.get_error() or "").strip().splitlines()
        self._ends.put(
            NasError(
                f"Network {trial.config['network'] + 1} of the batch was given up after {trial.num_failures} tries: "
                f"{why[-1][:160] if why else 'its worker was lost'}. What was finished is kept."
            )
        )

"""fit: the training of one network, by its epochs."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.data.batches import batches_per_epoch, train_batch
from nas.data.data import Data
from nas.system.atomic import write_atomic
from nas.system.interrupt import Signals, interruptible
from nas.system.teller import Silent, Teller
from nas.training.average import Average
from nas.training.history import Epoch, History, to_csv, to_rows
from nas.training.processes import Processes, alone
from nas.training.recipe import Recipe
from nas.training.schedule import learning_rate
from nas.training.score import autocast, evaluate
from nas.training.stepper import Stepper, sgd
from nas.training.still import hold_statistics, keep_still, norms
from nas.training.summary import epoch_line
from nas.training.teacher import divergence, scaled

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.csv"
LOOK = {"cpu": 1, "cuda": 16}
"""Steps between two looks at what happened; on CUDA each look waits for the device."""
AHEAD = {"cpu": 0, "cuda": 8}
"""Batches that threads prepare in advance; on a CPU they would take cores from the training itself."""

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Fitted:
    """A finished training."""

    network: nn.Module
    """With the averaged weights, in evaluation mode."""
    history: History

    @property
    def seconds(self) -> float:
        """Of its training steps."""
        return sum(epoch.seconds for epoch in self.history)


def fit(
    network: nn.Module,
    data: Data,
    recipe: Recipe,
    *,
    seed: int,
    folder: Path | None = None,
    teller: Teller | None = None,
    teacher: nn.Module | None = None,
    larger: Data | None = None,
    processes: Processes | None = None,
    watch: Callable[[Epoch], object] = lambda epoch: None,
    lines: bool = False,
) -> Fitted:
    """Train a network, in place, on `data.train`; equal arguments give equal weights on one machine's CPU.

    `network` takes float32[N, 3, S, S] and gives float32[N, classes]; its present weights are where it starts, or the
    checkpoint in `folder`, if there is one. Checkpoints and metrics.csv are written there, by the first of several
    processes, and read by all; `folder` None writes nothing.
    A `teacher` takes the same pictures, or, where they are given, `larger` ones, then scaled down for the network.
    `watch` is called with every epoch that ends; with `lines` the teller has a line of it to say.

    Raises `RunError` for a checkpoint of another training, `NasError` where weights are no numbers any more or memory
    is short, `Interrupted` after SIGINT, SIGTERM or SIGHUP; with a folder all three leave its last checkpoint as it is.
    """
    training = _Training(network, data, recipe, seed, folder, teacher, larger or data, processes or alone(), lines)
    training.stepper.restore(training.take)
    with interruptible() if folder else nullcontext(Signals()) as interrupted, training.stepper.memory_told():
        training.run(teller or Silent(), interrupted, watch)
    return Fitted(training.average.network, tuple(training.history))


@dataclass(eq=False)
class _Training:
    """One training under way."""

    network: nn.Module
    data: Data
    recipe: Recipe
    seed: int
    folder: Path | None
    teacher: nn.Module | None
    shown: Data
    """Where batches come from: the data, or the same pictures larger."""
    team: Processes
    lines: bool

    def __post_init__(self) -> None:
        recipe, team = self.recipe, self.team
        team.check_batch(recipe.batch)
        self.network = _placed(self.network, team.device)
        if self.teacher is not None:
            self.teacher = _placed(self.teacher, team.device).eval().requires_grad_(False)
        self.average = Average(self.network, recipe.average)
        if recipe.only:
            keep_still(self.network, recipe.only)
        self.constant = norms(self.network) if recipe.norm == "tune" else []
        if self.constant:
            hold_statistics(self.network)
        self.drops = any(isinstance(module, nn.Dropout) for module in self.network.modules())
        self.per_epoch = batches_per_epoch(len(self.data.train), recipe.batch)
        self.steps = recipe.epochs * self.per_epoch
        self.history: list[Epoch] = []
        self.totals = torch.zeros(2, dtype=torch.float64, device=team.device)  # this epoch's: loss × pictures, right
        self.stepper = Stepper(
            network=self.network,
            optimiser=sgd(self.network, recipe.momentum, recipe.weight_decay),
            rate=lambda step: learning_rate(recipe, step, self.steps),
            clip=recipe.clip_norm,
            planned=self.steps,
            batch=recipe.batch,
            team=team,
            path=self.folder and self.folder / CHECKPOINT,
            identity=self.identity() if self.folder else {},
            names=("network.", "momentum."),
            diverged=f"Learning rate {recipe.learning_rate:g} is too high for this network: train anew with a lower "
            "--lr and another --out.",
            short="Take a smaller --batch and another --out.",
            look=LOOK[team.device.type],
        )
        self.stepper.modules["average."] = self.average.network

    def identity(self) -> dict[str, str]:
        """What a checkpoint belongs to."""
        shapes = [(name, list(tensor.shape)) for name, tensor in self.network.state_dict().items()]
        teacher: list[Any] = []
        if self.teacher is not None:
            teacher += [float(p.double().sum()) for p in self.teacher.parameters()]
        if self.shown is not self.data:
            teacher.append(self.shown.fingerprint)
        return {
            "recipe": _digest(self.recipe.to_json()),
            "seed": str(self.seed),
            "data": self.data.fingerprint,
            "network": _digest(shapes),
            "teacher": _digest(teacher),
        }

    def run(self, teller: Teller, interrupted: Signals, watch: Callable[[Epoch], object]) -> None:
        """Make the steps that are left."""
        model, batches = self.team.wrapped(self.network), self.batches()
        for step in self.stepper.steps(teller, interrupted, self.state):
            self.update(model, step, *next(batches))
            if (step + 1) % self.per_epoch == 0:
                self.stepper.check()
                self.end_epoch(step, watch, teller)

    def update(self, model: nn.Module, step: int, x: Tensor, y: Tensor) -> None:
        """One step of gradient descent, on this process's part of the batch."""
        model.train()
        for norm in self.constant:
            norm.eval()
        if self.drops:  # what is dropped follows from the step, so that a resumed training drops the same
            torch.manual_seed(int(np.random.SeedSequence([self.seed, step, self.team.rank]).generate_state(1)[0]))
        with autocast(self.team.device):
            logits = model(scaled(x, self.data.size))
        logits = logits.float()
        loss = functional.cross_entropy(logits, y, label_smoothing=self.recipe.label_smoothing)
        if self.teacher is not None:
            with torch.no_grad(), autocast(self.team.device):
                aim = self.teacher(x)
            share = self.recipe.distillation
            loss = (1 - share) * loss + share * divergence(logits, aim.float(), self.recipe.temperature)

        def backward() -> Tensor:
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()

        shown = self.stepper.follow(step, backward)
        self.average.update(step + 1)
        right = logits.detach().argmax(1) == (y if y.ndim == 1 else y.argmax(1))
        self.totals += torch.stack([shown.double() * len(x), right.sum().double()])

    def end_epoch(self, step: int, watch: Callable[[Epoch], object], teller: Teller) -> None:
        """Evaluate, record and report after the last step of an epoch."""
        clock = self.stepper.clock
        clock.lap()
        loss, right = self.team.sums(self.totals.tolist())
        pictures = self.per_epoch * self.recipe.batch
        self.team.share(list(self.average.network.buffers()))
        score = None
        if len(self.data.validation):
            score = evaluate(self.average.network, self.data, self.data.validation, processes=self.team, teller=teller)
        epoch = Epoch(
            epoch=(step + 1) // self.per_epoch,
            step=step + 1,
            train_loss=loss / pictures,
            train_top1=100 * right / pictures,
            validation_top1=None if score is None else score.top1,
            validation_loss=None if score is None else score.loss,
            learning_rate=self.stepper.rate(step),
            seconds=clock.seconds,
            pictures_per_second=pictures / max(clock.seconds, 1e-9),
        )
        self.history.append(epoch)
        self.totals.zero_()
        clock.seconds = 0.0
        if self.team.first:
            self.write_metrics()
            watch(epoch)
            if self.lines:
                teller.say(epoch_line(epoch, self.recipe.epochs, self.stepper.left))
        clock.restart()

    def batches(self) -> Iterator[Batch]:
        """This process's parts of the batches from the present step on, on its device."""
        steps, ahead = range(self.stepper.step, self.steps), AHEAD[self.team.device.type]
        if not ahead:
            yield from map(self.batch, steps)
            return
        with ThreadPoolExecutor(ahead) as pool:
            waiting: deque[Future[Batch]] = deque()
            try:
                for step in steps:
                    waiting.append(pool.submit(self.batch, step))
                    if len(waiting) > ahead:
                        yield self.moved(waiting.popleft().result())
                while waiting:
                    yield self.moved(waiting.popleft().result())
            finally:
                pool.shutdown(cancel_futures=True)

    def batch(self, step: int) -> Batch:
        x, y = self.team.part(*train_batch(self.shown, step, self.recipe.batch, self.seed, self.recipe.augmentation))
        return (x, y) if self.team.device.type == "cpu" else (x.pin_memory(), y.pin_memory())

    def moved(self, batch: Batch) -> Batch:
        x, y = batch
        return x.to(self.team.device, non_blocking=True), y.to(self.team.device, non_blocking=True)

    def write_metrics(self) -> None:
        if self.folder:
            write_atomic(self.folder / METRICS, to_csv(self.history))

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds beside tensors."""
        return {
            "seconds": self.stepper.clock.seconds,
            "totals": self.team.sums(self.totals.tolist()),
            "history": to_rows(self.history),
        }

    def take(self, state: dict[str, Any]) -> None:
        """Continue from what a checkpoint holds beside tensors."""
        self.stepper.clock.seconds = float(state["seconds"])
        self.history = [Epoch(**row) for row in state["history"]]
        if self.team.first:  # the others begin at zero, so that the sum over all is right
            self.totals.copy_(torch.tensor(state["totals"], dtype=torch.float64))
            self.write_metrics()


def _placed(network: nn.Module, device: torch.device) -> nn.Module:
    """On its device, in the memory format in which convolutions are quickest: on a CPU by a factor of about nine."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]

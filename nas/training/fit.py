"""fit: the training loop.

A step's batch is a function of seed and step, so the weights, their average, the momenta and the number of the step are
all that a training is: from a checkpoint it goes on exactly, on a CPU bit by bit.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.data.batches import batches_per_epoch, train_batch
from nas.data.data import Data
from nas.errors import Interrupted, NasError, OutOfMemory, RunError
from nas.system.atomic import write_atomic
from nas.system.checkpoint import read_checkpoint, write_checkpoint
from nas.system.interrupt import Signals, Stopwatch, interruptible
from nas.system.teller import Silent, Teller
from nas.training.average import Average
from nas.training.history import Epoch, History, to_csv, to_rows
from nas.training.processes import Processes, alone
from nas.training.recipe import Recipe
from nas.training.schedule import learning_rate
from nas.training.score import autocast, evaluate

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.csv"
CHECKPOINT_SECONDS = 20.0
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
    processes: Processes | None = None,
    watch: Callable[[Epoch], object] = lambda epoch: None,
) -> Fitted:
    """Train a network, in place, on `data.train`; equal arguments give equal weights on one machine's CPU.

    `network` takes float32[N, 3, S, S] and gives float32[N, classes]; its present weights are where it starts, or the
    checkpoint in `folder`, if there is one. Checkpoints and metrics.csv are written there, by the first of several
    processes, and read by all; `folder` None writes nothing.
    `watch` is called with every epoch that ends.

    Raises `RunError` for a checkpoint of another training, `NasError` where weights are no numbers any more or memory
    is short, `Interrupted` after SIGINT, SIGTERM or SIGHUP; with a folder all three leave its last checkpoint as it is.
    """
    training = _Training(network, data, recipe, seed, folder, teller or Silent(), teacher, processes or alone())
    training.restore()
    with interruptible() if folder else nullcontext(Signals()) as interrupted, training.explained():
        training.run(interrupted, watch)
    return Fitted(training.average.network, tuple(training.history))


class _Training:
    """One training under way."""

    def __init__(
        self,
        network: nn.Module,
        data: Data,
        recipe: Recipe,
        seed: int,
        folder: Path | None,
        teller: Teller,
        teacher: nn.Module | None,
        team: Processes,
    ) -> None:
        team.check_batch(recipe.batch)
        self.data, self.recipe, self.seed, self.folder, self.teller, self.team = (
            data,
            recipe,
            seed,
            folder,
            teller,
            team,
        )
        self.network = _placed(network, team.device)
        self.teacher = None if teacher is None else _placed(teacher, team.device).eval().requires_grad_(False)
        self.average = Average(self.network, recipe.average)
        self.optimizer = _optimizer(self.network, recipe)
        self.per_epoch = batches_per_epoch(len(data.train), recipe.batch)
        self.steps = recipe.epochs * self.per_epoch
        self.step = 0
        self.history: list[Epoch] = []
        self.seconds = 0.0  # of this epoch's steps
        self.totals = torch.zeros(2, dtype=torch.float64, device=team.device)  # this epoch's: loss × pictures, right
        self.finite = torch.ones((), dtype=torch.bool, device=team.device)
        self.saved = monotonic()

    @cached_property
    def identity(self) -> dict[str, str]:
        """What a checkpoint belongs to."""
        shapes = [(name, list(tensor.shape)) for name, tensor in self.network.state_dict().items()]
        teacher = [] if self.teacher is None else [float(p.double().sum()) for p in self.teacher.parameters()]
        return {
            "recipe": _digest(self.recipe.to_json()),
            "seed": str(self.seed),
            "data": self.data.fingerprint,
            "network": _digest(shapes),
            "teacher": _digest(teacher),
        }

    def run(self, interrupted: Signals, watch: Callable[[Epoch], object]) -> None:
        """From the step at which it stands to the last one."""
        model = self.team.wrapped(self.network)
        clock = Stopwatch(interrupted)
        for x, y in self.batches():
            self.update(model, x, y)
            self.step += 1
            if self.team.first:
                self.teller.progress(self.step * self.recipe.batch, self.steps * self.recipe.batch, "img")
            ends = self.step % self.per_epoch == 0
            if ends or self.step % LOOK[self.team.device.type] == 0:
                before = clock.seconds
                clock.lap()
                self.seconds += clock.seconds - before
                self.look(interrupted(), ends, watch)
                clock.restart()

    def update(self, model: nn.Module, x: Tensor, y: Tensor) -> None:
        """One step of gradient descent, on this process's part of the batch."""
        model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step, self.steps)
        with autocast(self.team.device):
            logits = model(x)
        logits = logits.float()
        loss = functional.cross_entropy(logits, y, label_smoothing=self.recipe.label_smoothing)
        if self.teacher is not None:
            with torch.no_grad(), autocast(self.team.device):
                aim = self.teacher(x)
            share = self.recipe.distillation
            loss = (1 - share) * loss + share * divergence(logits, aim.float(), self.recipe.temperature)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.finite &= torch.isfinite(norm) & torch.isfinite(loss.detach())
        if self.team.device.type == "cpu":
            self.check()
        self.optimizer.step()
        self.average.update(self.step + 1)
        right = logits.detach().argmax(1) == (y if y.ndim == 1 else y.argmax(1))
        self.totals += torch.stack([loss.detach().double() * len(x), right.sum().double()])

    def check(self) -> None:
        """Raise `NasError` where a loss or gradient was no finite number: what comes of it would be none either."""
        if not self.finite:
            kept = f" The checkpoint in {self.folder} is kept." if self.folder and self.saved_before else ""
            raise NasError(
                f"The loss is no finite number any more, in epoch {self.step // self.per_epoch + 1}, at or shortly "
                f"before step {self.step + 1:,}: learning rate {self.recipe.learning_rate:g} is too high for this "
                f"network.{kept} Train anew with a lower --lr and another --out."
            )

    @property
    def saved_before(self) -> bool:
        return self.folder is not None and (self.folder / CHECKPOINT).is_file()

    def look(self, interrupted: bool, ends: bool, watch: Callable[[Epoch], object]) -> None:
        """Between two steps: end an epoch, write a checkpoint, stop. Processes decide on it together."""
        self.check()
        if ends:
            self.end_epoch(watch)
        due = self.step == self.steps or monotonic() - self.saved >= CHECKPOINT_SECONDS
        stop, save = self.team.sums([float(interrupted), float(due and self.team.first)])
        if self.folder and (stop or save):
            totals = self.team.sums(self.totals.tolist())
            if self.team.first:
                self.write(totals)
            self.saved = monotonic()
        if stop and self.step < self.steps:
            raise Interrupted(f"{self.step:,} of {self.steps:,} steps are kept.")

    def end_epoch(self, watch: Callable[[Epoch], object]) -> None:
        loss, right = self.team.sums(self.totals.tolist())
        pictures = self.per_epoch * self.recipe.batch
        self.team.share(list(self.average.network.buffers()))
        score = None
        if len(self.data.validation):
            score = evaluate(self.average.network, self.data, self.data.validation, processes=self.team)
        epoch = Epoch(
            epoch=self.step // self.per_epoch,
            step=self.step,
            train_loss=loss / pictures,
            train_top1=100 * right / pictures,
            validation_top1=None if score is None else score.top1,
            learning_rate=learning_rate(self.recipe, self.step - 1, self.steps),
            seconds=self.seconds,
            pictures_per_second=pictures / max(self.seconds, 1e-9),
        )
        self.history.append(epoch)
        self.totals.zero_()
        self.seconds = 0.0
        if self.team.first:
            self.write_metrics()
            watch(epoch)

    def batches(self) -> Iterator[Batch]:
        """This process's parts of the batches from the present step on, on its device."""
        steps, ahead = range(self.step, self.steps), AHEAD[self.team.device.type]
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
        x, y = self.team.part(*train_batch(self.data, step, self.recipe.batch, self.seed, self.recipe.augmentation))
        return (x, y) if self.team.device.type == "cpu" else (x.pin_memory(), y.pin_memory())

    def moved(self, batch: Batch) -> Batch:
        x, y = batch
        return x.to(self.team.device, non_blocking=True), y.to(self.team.device, non_blocking=True)

    def write(self, totals: list[float]) -> None:
        assert self.folder is not None
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.network.state_dict().items()}
        tensors |= {f"momentum.{name}": tensor for name, tensor in self.momenta().items()}
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "totals": totals,
            "history": to_rows(self.history),
            "identity": self.identity,
        }
        write_checkpoint(self.folder / CHECKPOINT, tensors, state)

    def write_metrics(self) -> None:
        if self.folder:
            write_atomic(self.folder / METRICS, to_csv(self.history))

    def momenta(self) -> dict[str, Tensor]:
        """By the parameter's name."""
        found = _momenta(self.optimizer)
        return {name: found[parameter] for name, parameter in self.network.named_parameters() if parameter in found}

    def restore(self) -> None:
        """Stand where the checkpoint does, if there is one. Raises `RunError` where it is of another training."""
        if not self.saved_before:
            return
        assert self.folder is not None
        path = self.folder / CHECKPOINT
        tensors, state = read_checkpoint(path)
        for what, mine in self.identity.items():
            if state.get("identity", {}).get(what) != mine:
                raise RunError(f"{path}: this checkpoint is of another {what}. Start anew with another --out.")
        try:
            self.network.load_state_dict(_part(tensors, "network."))
            self.average.network.load_state_dict(_part(tensors, "average."))
            momenta = _part(tensors, "momentum.")
            for name, parameter in self.network.named_parameters():
                if name in momenta:
                    buffer = torch.empty_like(parameter).copy_(momenta[name])
                    self.optimizer.state[parameter]["momentum_buffer"] = buffer
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
            self.history = [Epoch(**row) for row in state["history"]]
            if self.team.first:  # the others begin at zero, so that the sum over all is right
                self.totals.copy_(torch.tensor(state["totals"], dtype=torch.float64))
        except (RuntimeError, KeyError, TypeError, ValueError) as problem:
            raise RunError(f"{path}: this is no checkpoint of a training ({str(problem)[:120]}).") from None
        if self.team.first:
            self.write_metrics()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """What torch raises when memory is short, in our words."""
        try:
            yield
        except (RuntimeError, MemoryError) as problem:
            if not is_out_of_memory(problem):
                raise
            kept = f" The checkpoint in {self.folder} is kept." if self.saved_before else ""
            raise OutOfMemory(
                f"The {self.team.device.type} has too little memory for batches of {self.recipe.batch} pictures of "
                f"{self.data.resolution} pixels.{kept} Take a smaller --batch and another --out."
            ) from None


def divergence(logits: Tensor, aim: Tensor, temperature: float) -> Tensor:
    """KL divergence from a teacher's softened classes to a student's, times the square of the temperature, so that its
    gradients keep their scale (arXiv:1503.02531, section 2.1); both are scores [N, classes]."""
    student, teacher = (functional.log_softmax(scores / temperature, 1) for scores in (logits, aim))
    return temperature**2 * functional.kl_div(student, teacher, reduction="batchmean", log_target=True)


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether an exception means that memory is short, on CUDA or as the CPU's allocator says it."""
    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(problem, torch.OutOfMemoryError | MemoryError) or any(word in str(problem) for word in words)


def _placed(network: nn.Module, device: torch.device) -> nn.Module:
    """On its device, in the memory format in which convolutions are quickest: on a CPU by a factor of about nine."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    decayed = {id(m.weight) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    parameters = list(network.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if id(p) in decayed], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if id(p) not in decayed], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0)


def _momenta(optimizer: torch.optim.SGD) -> dict[Tensor, Tensor]:
    return {
        parameter: buffer
        for parameter, state in optimizer.state.items()
        if (buffer := state.get("momentum_buffer")) is not None
    }


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]

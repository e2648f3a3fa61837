"""Stepper: the steps of a training, whatever is trained: made, counted, timed, told, kept and gone on with.

Whatever a step uses follows from its number and the seed: its batch, its networks, its learning rate. So weights,
momenta and the number of steps made are all that a training is. From a checkpoint it does what it would have done, on a
CPU bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nas.errors import Diverged, Interrupted, OutOfMemory, RunError
from nas.system.checkpoint import read_checkpoint, write_checkpoint
from nas.system.interrupt import Signals, Stopwatch
from nas.system.pace import Pace
from nas.system.teller import Silent, Teller
from nas.training.processes import Processes

CHECKPOINT_SECONDS = 20.0

Loss = TypeVar("Loss", Tensor, float)


@dataclass(eq=False, kw_only=True)
class Stepper:
    """A training's optimiser, the number of its steps, and its checkpoint."""

    network: nn.Module
    optimiser: torch.optim.SGD
    rate: Callable[[int], float]
    """The learning rate of step 0..planned-1."""
    clip: float
    """Largest Euclidean norm of all gradients together (arXiv:1211.5063)."""
    planned: int
    """Steps."""
    batch: int
    """Pictures of a step, over all processes."""
    team: Processes
    path: Path | None
    """The checkpoint, written by the first of several processes and read by all; None keeps nothing."""
    identity: Mapping[str, str]
    """What a checkpoint belongs to, by what each is called in a message."""
    names: tuple[str, str]
    """What the names of weights and of momenta begin with in it."""
    diverged: str
    """What to do where training diverges."""
    short: str
    """What to do where memory is short."""
    former: Mapping[str, str] = field(default_factory=dict)
    """Names that parameters had in version 0.1, whose checkpoints are read, with those that they have now."""
    look: int = 1
    """Steps between two looks at what happened; on CUDA a look waits for the device."""
    step: int = 0
    """Steps made."""
    clock: Stopwatch = field(default_factory=lambda: Stopwatch(Signals()))
    """Of the steps alone."""

    def __post_init__(self) -> None:
        weights, momenta = self.names
        self.modules = {weights: self.network}
        """Whose state a checkpoint holds, by prefix. An owner may add to them, as to the optimisers."""
        self.optimisers: dict[str, tuple[torch.optim.Optimizer, Mapping[str, nn.Parameter]]] = {
            momenta: (self.optimiser, dict(self.network.named_parameters()))
        }
        """With their parameters by name."""
        self.pace = Pace()
        self.teller: Teller = Silent()
        self._finite = torch.ones((), dtype=torch.bool, device=self.team.device)
        self._saved = monotonic()

    def steps(
        self, teller: Teller, interrupted: Signals, state: Callable[[], Mapping[str, Any]] = dict
    ) -> Iterator[int]:
        """The numbers of the steps that are left, to be made one by one by whoever asks for them.

        `state` is JSON that a checkpoint holds beside tensors; all processes are asked for it together. Raises
        `Interrupted`, with everything kept, where it is asked to stop; `Diverged` where training did.
        """
        self.clock = Stopwatch(interrupted, self.clock.seconds)
        self.teller = teller
        self._tell()
        while self.step < self.planned:
            yield self.step
            self.step += 1
            looks = self.step % self.look == 0 or self.step == self.planned
            if looks:
                self.check()
            self.clock.lap()
            self._tell()
            if looks:
                due = self.step == self.planned or monotonic() - self._saved >= CHECKPOINT_SECONDS
                stop, save = self.team.sums([float(interrupted()), float(due and self.team.first)])
                if stop or save:
                    self.write(state)
                if stop:
                    raise Interrupted(f"{self.step:,} of {self.planned:,} steps are kept.")
                self.clock.restart()

    def _tell(self) -> None:
        self.pace.update(self.step)
        self.teller.progress(self.step * self.batch, self.planned * self.batch, "img")

    @property
    def left(self) -> float | None:
        """Seconds until all steps are made, with whatever is done between them; None while that is not known."""
        return self.pace.left(self.planned)

    def follow(self, step: int, backward: Callable[[], Loss]) -> Loss:
        """One step of the optimiser along the gradient that `backward` computes; returns the loss that it returns."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step)
        self.optimiser.zero_grad()
        loss = backward()
        self.expect_finite(loss, nn.utils.clip_grad_norm_(self.network.parameters(), self.clip))
        self.optimiser.step()
        return loss

    def expect_finite(self, *values: Tensor | float) -> None:
        """Note whether these are finite; checked now where every step is looked at, else at the next look."""
        for value in values:
            self._finite &= torch.as_tensor(value, device=self._finite.device).isfinite()
        if self.look == 1:
            self.check()

    def check(self) -> None:
        """Raise `Diverged` where a loss or gradient was no finite number: what comes of it would be none either."""
        if not self._finite:
            raise Diverged(
                "Training has diverged: the loss or its gradient is no finite number, at or shortly before step "
                f"{self.step + 1:,}.{self._kept} {self.diverged}"
            )

    @contextmanager
    def memory_told(self) -> Iterator[None]:
        """Raise `OutOfMemory`, which says how to need less, for what torch raises when memory is short."""
        try:
            yield
        except (RuntimeError, MemoryError) as problem:
            if not _is_out_of_memory(problem):
                raise
            raise OutOfMemory(
                f"The {self.team.device.type} has too little memory for batches of {self.batch:,} pictures."
                f"{self._kept} {self.short}"
            ) from None

    @property
    def _kept(self) -> str:
        return " The last checkpoint is kept." if self.path and self.path.is_file() else ""

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds, by name: `PREFIX PARAMETER` for a momentum, `PREFIX PARAMETER/WHAT` for what else an
        optimiser knows."""
        found = {prefix + name: t for prefix, module in self.modules.items() for name, t in module.state_dict().items()}
        for prefix, (optimiser, parameters) in self.optimisers.items():
            for name, parameter in parameters.items():
                for what, value in optimiser.state.get(parameter, {}).items():
                    if value is not None:
                        found[prefix + name + ("" if what == "momentum_buffer" else f"/{what}")] = value
        return found

    def write(self, state: Callable[[], Mapping[str, Any]] = dict) -> None:
        """Replace the checkpoint. Raises `OSError` where it cannot be written."""
        if self.path is None:
            return
        document = {"step": self.step, **state(), "identity": dict(self.identity)}
        if self.team.first:
            write_checkpoint(self.path, self.tensors(), document)
        self._saved = monotonic()

    def restore(self, take: Callable[[dict[str, Any]], None] = lambda state: None) -> None:
        """Continue from the checkpoint, if there is one; `take` is called with its JSON.

        Raises `RunError` where it is of another training.
        """
        if self.path is None or not self.path.is_file():
            return
        tensors, state = read_checkpoint(self.path)
        try:
            # a supernet's, as version 0.1 wrote it, has a fingerprint of everything
            theirs = state.get("identity") or dict.fromkeys(self.identity, state.get("fingerprint"))
            for what, mine in self.identity.items():
                if theirs.get(what) != mine:
                    raise RunError(f"{self.path}: this checkpoint is of another {what}. Start anew with another --out.")
            for prefix, module in self.modules.items():
                module.load_state_dict(dict(self._part(tensors, prefix)))
            for prefix, (optimiser, parameters) in self.optimisers.items():
                for name, value in self._part(tensors, prefix):
                    name, _, what = name.partition("/")
                    parameter = parameters[name]
                    own = value if what == "step" else torch.empty_like(parameter).copy_(value)  # in its memory format
                    optimiser.state[parameter][what or "momentum_buffer"] = own
            self.step = int(state["step"])
            take(state)
        except (RuntimeError, AttributeError, KeyError, TypeError, ValueError):
            raise RunError(
                f"{self.path}: this is no checkpoint of this training: its tensors or figures are others. "
                "Start anew with another --out."
            ) from None

    def _part(self, tensors: Mapping[str, Tensor], prefix: str) -> Iterator[tuple[str, Tensor]]:
        for name, value in tensors.items():
            if name.startswith(prefix):
                parameter, slash, what = name.removeprefix(prefix).partition("/")
                yield self.former.get(parameter, parameter) + slash + what, value


def sgd(network: nn.Module, momentum: float, weight_decay: float) -> torch.optim.SGD:
    """Stochastic gradient descent with Nesterov momentum. Weights of convolutions and linear layers decay; biases and
    normalisation, which have one dimension, do not (arXiv:1812.01187, section 3.1). What wants no gradient stays."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=momentum > 0)


def _is_out_of_memory(problem: BaseException) -> bool:
    """Whether an exception means that memory is short, on CUDA or as the CPU's allocator says it."""
    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(problem, torch.OutOfMemoryError | MemoryError) or any(word in str(problem) for word in words)

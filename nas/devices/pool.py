"""Pool: several boards of one kind as one device, each driven by a Ray actor of its own on this machine.

The groups of a plan are spread over the boards; what a board leaves undone when it faults is done by the others.
Samples say which board they are of, and the profiler takes out what one board is slower or faster than the rest
(`nas.profiler.estimate`): every group has the same anchors in it, so boards can be compared.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nas.devices.device import Device, DeviceInfo, Fault, Plan, Remark, Sample
from nas.errors import NasError
from nas.system.teller import Teller
from nas.workers.on_ray import LOOK_S, OnRay

FAULTS_IN_A_ROW = 4
"""Of one board, after which it is left out."""
PAUSE_S = 0.5
"""Of a board after a fault; twice as long after each further one in a row."""
CLOSE_S = 20.0
HANDED_S = 0.25
"""Samples of so long are handed over together."""

Item = Sample | Remark
_DECISIVE = ("model", "architecture", "runtime", "runtime_version", "provider", "threads", "emulated")


@dataclass(eq=False)
class _Board:
    """One board, and how it stands."""

    name: str
    open: Callable[[], Device]
    actor: Any = None
    faults: int = 0
    rests_until: float = 0.0

    @property
    def left_out(self) -> bool:
        return self.faults >= FAULTS_IN_A_ROW


@dataclass
class _Job:
    """Groups of a plan, under way on a board."""

    board: _Board
    groups: list[tuple[int, int]]
    """Index in the plan, and the number that its passes are counted from."""
    passes: int
    missing: list[int] = field(default_factory=list)
    """Samples of each group that have not come."""

    def taken(self, sample: Sample) -> Sample:
        """A sample as one of the whole plan."""
        local, turn = divmod(sample.slice, self.passes)
        self.missing[local] -= 1
        return replace(sample, slice=self.groups[local][1] * self.passes + turn, board=self.board.name)


class Pool:
    """Several boards as one device."""

    def __init__(self, boards: Mapping[str, Callable[[], Device]], workers: OnRay, teller: Teller) -> None:
        """How each board is opened, by its name; the functions are pickled. Nothing is opened yet."""
        self._boards = [_Board(name, make) for name, make in boards.items()]
        self._workers = workers
        self._teller = teller
        self._weights: tuple[Path, Any] | None = None

    @cached_property
    def info(self) -> DeviceInfo:
        """What the boards are, with the least memory of them.

        Raises `Fault` where one does not answer, `NasError` where one is of another kind.
        """
        asked = [(board, self._actor(board).info.remote()) for board in self._boards]
        infos = []
        for board, reference in asked:
            try:
                infos.append(ray.get(reference))
            except exceptions.RayError as problem:
                raise Fault(_told(board, problem)) from None
        first = infos[0]
        for board, info in zip(self._boards, infos, strict=True):
            for name in _DECISIVE:
                if getattr(info, name) != getattr(first, name):
                    raise NasError(
                        f"Boards of a pool are of one kind: {board.name} has {name} {getattr(info, name)!r}, "
                        f"{self._boards[0].name} has {getattr(first, name)!r}. Profile them apart."
                    )
        memory = [info.memory_mb for info in infos if info.memory_mb is not None]
        least = min(memory) if len(memory) == len(infos) else None
        return DeviceInfo(**{**first.to_json(), "memory_mb": least})

    def measure(self, plan: Plan) -> Iterator[Item]:
        """Samples of all boards as they come. A fault of one is told; raises `NasError` where none is left."""
        self._workers.start()
        waiting = deque((index, index) for index in range(len(plan.groups)))
        fresh = len(plan.groups)
        jobs: dict[Any, _Job] = {}  # by the stream of their samples
        try:
            while waiting or jobs:
                for board, groups in self._shares(waiting, [job.board for job in jobs.values()]):
                    job = _Job(board, groups, plan.passes)
                    parts = tuple(plan.groups[index] for index, _ in groups)
                    job.missing = [len(group) * plan.passes for group in parts]
                    jobs[self._started(board, replace(plan, groups=parts))] = job
                if not jobs and all(board.left_out for board in self._boards):
                    raise NasError("Every board was left out. What was measured is kept: the same command goes on.")
                if not jobs:
                    time.sleep(LOOK_S)
                    continue
                ready, _ = ray.wait(list(jobs), num_returns=1, timeout=LOOK_S)
                stream: Any
                for stream in ready:
                    job = jobs[stream]
                    try:
                        for item in ray.get(next(stream)):
                            yield job.taken(item) if isinstance(item, Sample) else item
                        continue
                    except StopIteration:
                        why = "it ended in the middle of its job." if any(job.missing) else None
                    except exceptions.RayError as problem:
                        why = _told(job.board, problem)
                    del jobs[stream]
                    if why is None:
                        job.board.faults = 0
                        continue
                    undone = [index for (index, _), missing in zip(job.groups, job.missing, strict=True) if missing]
                    waiting.extend((index, fresh + number) for number, index in enumerate(undone))
                    fresh += len(undone)  # passes of another board are other passes
                    self._note(job.board, why)
        finally:
            for job in jobs.values():
                self._drop(job.board)

    def close(self) -> None:
        for board in self._boards:
            if board.actor is not None:
                with suppress(exceptions.RayError):
                    ray.get(board.actor.close.remote(), timeout=CLOSE_S)
                self._drop(board)

    def _shares(
        self, waiting: deque[tuple[int, int]], busy: Sequence[_Board]
    ) -> Iterator[tuple[_Board, list[tuple[int, int]]]]:
        """What waits, dealt out evenly to the boards that are free now."""
        now = time.monotonic()
        free = [b for b in self._boards if b not in busy and not b.left_out and b.rests_until <= now]
        free.sort(key=lambda board: board.faults)
        hands: list[list[tuple[int, int]]] = [[] for _ in free]
        for turn in range(len(waiting) if free else 0):
            hands[turn % len(free)].append(waiting.popleft())
        yield from ((board, hand) for board, hand in zip(free, hands, strict=True) if hand)

    def _started(self, board: _Board, plan: Plan) -> Any:
        """A job's stream of samples."""
        if self._weights is None or self._weights[0] != plan.weights:
            self._weights = (plan.weights, ray.put(plan.weights.read_bytes()))
        return self._actor(board).measure.options(num_returns="streaming").remote(plan, self._weights[1])

    def _actor(self, board: _Board) -> Any:
        self._workers.start()
        if board.actor is None:
            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
            board.actor = _Driver.options(scheduling_strategy=here).remote(board.open)  # type: ignore[attr-defined]
        return board.actor

    def _drop(self, board: _Board) -> None:
        """End the actor. A board that nobody listens to any more cleans up by itself."""
        if board.actor is not None:
            ray.kill(board.actor)
        board.actor = None

    def _note(self, board: _Board, why: str) -> None:
        board.faults += 1
        board.rests_until = time.monotonic() + PAUSE_S * 2 ** (board.faults - 1)
        self._drop(board)
        end = "It is left out." if board.left_out else "Its work goes to whoever is free."
        self._teller.say(f"fault {board.faults} of {board.name}: {why} {end}")


@ray.remote(num_cpus=0, max_restarts=0)
class _Driver:
    """In a process of its own: opens a board and measures on it."""

    def __init__(self, open_board: Callable[[], Device]) -> None:
        self._device = open_board()
        self._folder = TemporaryDirectory(prefix="nas-pool-")

    def info(self) -> DeviceInfo:
        return self._device.info

    def measure(self, plan: Plan, weights: bytes) -> Iterator[list[Item]]:
        file = Path(self._folder.name) / "weights.bin"
        if not file.exists():
            file.write_bytes(weights)
        items: list[Item] = []
        handed = time.monotonic()
        try:
            for item in self._device.measure(replace(plan, weights=file)):
                items.append(item)
                if time.monotonic() - handed > HANDED_S:
                    yield items
                    items, handed = [], time.monotonic()
        except Fault:
            if items:
                yield items  # what was given before stands
            self._device.close()
            raise
        yield items

    def close(self) -> None:
        self._device.close()
        self._folder.cleanup()


def _told(board: _Board, problem: exceptions.RayError) -> str:
    """Why a board did not do its job."""
    cause = problem.cause if isinstance(problem, exceptions.RayTaskError) else None
    if isinstance(cause, Fault):
        return str(cause)
    if isinstance(cause, Exception):
        raise cause
    return f"the process that drives {board.name} was lost ({type(problem).__name__})."

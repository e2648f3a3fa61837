"""OnRay: pieces of work as Ray tasks, on this machine or on the nodes of a cluster.

Which piece runs where, and what waits for it, is Ray's affair. Ours is what becomes of a piece whose worker or node
died: it is handed in again, some times, and told. Ray's own retries are off, since they say nothing.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before Ray is imported; nothing is reported to anybody
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# What Ray sees fail it prints to our stdout, even with `log_to_driver=False`. We tell what was lost ourselves.
os.environ |= {"RAY_DEDUP_LOGS": "1", "RAY_DEDUP_LOGS_SKIP_REGEX": "^"}

import ray
from ray import exceptions

import nas
from nas.errors import GivenUp, Interrupted, NasError
from nas.system.interrupt import interruptible
from nas.system.teller import Teller
from nas.workers.workers import Item, Result

TRIES = 4
"""Of one piece of work, before it is given up."""
STARTS = 3
"""Of a Ray of our own: it gives itself half a minute, which is short on a busy machine."""
CONNECT_S = 5.0
ANSWER_S = 20.0
"""Longest that a cluster may take to say that it is one."""
LOOK_S = 0.2
"""Between two looks at signals."""
IDLE_S = 20.0
"""Without a free place in the whole cluster, after which that is told."""


class OnRay:
    """Ray as workers: started here, or connected to, when first used."""

    def __init__(self, address: str | None, teller: Teller) -> None:
        """`address` is `HOST:PORT` of a cluster's head, or `auto` on one of its machines; None starts Ray here."""
        self.address = address
        self.option = " --workers ray" + ("" if address is None else f":{address}")
        self._teller = teller
        self._started = False
        self._sent: tuple[object, ray.ObjectRef[Any]] | None = None

    def at_once(self, gpu: bool) -> int:
        """By the cluster as it is now: as many as it has GPUs where they are asked for and there, else CPUs."""
        self.start()
        return max(1, sum(self._places(gpu)))

    def map(
        self, work: Callable[[Item], Result], items: Sequence[Item], *, gpu: bool = False
    ) -> Generator[tuple[int, Result], None, None]:
        if not items:
            return
        self.start()
        resources = self.resources(gpu)
        task = _carry_out.options(**resources, max_retries=0, scheduling_strategy="SPREAD")
        sent, tries = self._send(work), Counter[int]()
        waiting = {task.remote(sent, VERSIONS, item): index for index, item in enumerate(items)}
        silent = 0.0
        with interruptible() as interrupted:
            try:
                while waiting:
                    finished, _ = ray.wait(list(waiting), num_returns=1, timeout=LOOK_S)
                    silent = 0.0 if finished else silent + LOOK_S
                    if IDLE_S <= silent < IDLE_S + LOOK_S and not sum(self._places(gpu)):
                        self._teller.say("no node of the cluster can take work now; waiting for one")
                    for reference in finished:
                        index = waiting.pop(reference)
                        try:
                            yield index, ray.get(reference)
                        except exceptions.RayTaskError as problem:
                            raise _cause(problem) from None
                        except exceptions.RayError as problem:
                            tries[index] += 1
                            self._note(problem, index, tries[index])
                            waiting[task.remote(sent, VERSIONS, items[index])] = index
                    if interrupted():
                        raise Interrupted(f"{len(items) - len(waiting)} of {len(items)} pieces of work were done.")
            finally:
                for reference in waiting:
                    with suppress(exceptions.RayError, RuntimeError):
                        ray.cancel(reference, force=True)

    def resources(self, gpu: bool) -> dict[str, float]:
        """Of one piece: a CPU; or, where GPUs are asked for and there, one of them and its share of a node's CPUs."""
        nodes = [node for node in _nodes() if node.get("GPU", 0) >= 1] if gpu else []
        if not nodes:
            return {"num_cpus": 1, "num_gpus": 0}
        return {"num_cpus": max(1, min(int(node.get("CPU", 0) // node["GPU"]) for node in nodes)), "num_gpus": 1}

    def start(self) -> None:
        """Start Ray here, or connect. Raises `NasError` where nothing answers at the address."""
        if self._started:
            return
        if self.address not in (None, "auto"):
            _look_for(str(self.address))
        logging.getLogger("ray").setLevel(logging.ERROR)
        place: dict[str, Any] = {"address": "local", "include_dashboard": False} if self.address is None else {}
        tries = STARTS
        while not self._started:
            tries -= 1
            try:
                ray.init(
                    **{"address": self.address} | place,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    namespace="nas",
                )
                self._started = True
            except Exception as problem:  # what Ray raises has often no type of its own
                ray.shutdown()
                what = f"{type(problem).__name__}: {_first_line(problem)}"
                if self.address is None and tries:
                    self._teller.say(f"Ray did not start ({what}) It is started again.")
                    continue
                where = "here" if self.address is None else f"at {self.address}"
                raise NasError(
                    f"Ray cannot be used {where}: {what} Start a cluster with `ray start --head`, or use --workers ray."
                ) from problem

    def close(self) -> None:
        """Stop what was started here; of a cluster, only let go."""
        if self._started:
            ray.shutdown()
        self._started, self._sent = False, None

    def _places(self, gpu: bool) -> list[int]:
        """How many pieces each node takes at once."""
        wanted = self.resources(gpu)
        names = {"CPU": wanted["num_cpus"], "GPU": wanted["num_gpus"]}
        return [min(int(node.get(name, 0) // n) for name, n in names.items() if n) for node in _nodes()]

    def _send(self, work: object) -> ray.ObjectRef[Any]:
        """The work, in the cluster's memory: nodes fetch it once."""
        if self._sent is None or self._sent[0] is not work:
            self._sent = (work, ray.put(work))
        return self._sent[1]

    def _note(self, problem: Exception, index: int, tries: int) -> None:
        """Tell that a worker died. Raises `GivenUp` where it is once too often."""
        what = f"a worker or its node was lost ({type(problem).__name__})."
        if tries >= TRIES:
            raise GivenUp(
                f"Piece of work {index + 1} was given up after {tries} tries: {what} Last: {_first_line(problem)} "
                "What was finished is kept.",
                index,
            )
        self._teller.say(f"{what} Piece of work {index + 1} is handed in again, try {tries + 1} of {TRIES}.")


VERSIONS = {"nas": nas.__version__, "torch": version("torch")}
"""What a worker has to agree in with the process that asks."""


@ray.remote
def _carry_out(work: Callable[[Any], Any], versions: Mapping[str, str], item: Any) -> Any:
    """In a worker process. Ray sets its OMP_NUM_THREADS to the task's CPUs."""
    check_versions(versions)
    return work(item)


def check_versions(theirs: Mapping[str, str]) -> None:
    """Raise `NasError` where this worker has other versions than the process that asks."""
    if theirs != VERSIONS:
        raise NasError(
            f"A worker on {socket.gethostname()} has {VERSIONS}, this process {dict(theirs)}. "
            "Install the same on all nodes."
        )


def _nodes() -> list[dict[str, float]]:
    """Resources of each living node."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _cause(problem: exceptions.RayTaskError) -> BaseException:
    """What a piece of work raised, as it would have been raised here."""
    cause = problem.cause
    if isinstance(cause, NasError):
        return cause
    if isinstance(cause, ImportError) or "No module named" in str(cause):
        return NasError(
            f"A worker cannot import what it needs ({_first_line(cause)}) Install the same nas on all nodes."
        )
    return cause if isinstance(cause, BaseException) else problem


def _first_line(problem: BaseException | None) -> str:
    """Of a message, in one sentence."""
    text = next(iter(str(problem).strip().splitlines()), "") or type(problem).__name__
    return f"{text[:160].rstrip('. ')}."


def _look_for(address: str) -> None:
    """Raise `NasError` soon where no Ray answers: Ray itself tries for minutes, and tells it to the terminal."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise NasError(f"A cluster's address is HOST:PORT, such as 192.168.1.5:6379, or auto, got {address[:60]!r}.")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as problem:
        raise NasError(
            f"Nothing answers at {address} ({problem.strerror or problem}). "
            "Is the cluster's head running there: ray start --head --port 6379?"
        ) from None
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        subprocess.run(command, timeout=ANSWER_S, check=True, capture_output=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        raise NasError(
            f"What answers at {address} is no Ray {ray.__version__}. Its head prints the address when it starts."
        ) from None

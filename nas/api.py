"""search(): what `nas search` does, from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.report import have_report
from nas.runs.loop import Progress
from nas.runs.request import Request
from nas.runs.run import Run
from nas.runs.search import carry_out
from nas.system.teller import Silent, Teller
from nas.workers import check_workers


def search(
    *,
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    teller: Teller | None = None,
    workers: str | None = None,
    **request: Any,
) -> Run:
    """Search, and return the run. Keywords are those of `nas.runs.request.Request`: space, target, latency_ms, seed, …

    The run is written to `out`, by default `runs/SPACE-TARGET-N`, with its report. `workers` is `ray` or `ray:ADDRESS`;
    where something is evaluated is no part of the request. Raises `NasError` for a wrong request,
    `Unattainable` where no architecture meets the bounds, `Interrupted` after SIGINT, SIGTERM or SIGHUP.
    """
    path = Path(out) if out is not None else None
    if workers is not None:
        check_workers(workers)
    run = Run.resume(path, request) if resume else Run.create(path, Request(**request))
    return carry_out(run, progress or (lambda done, total, note: None), teller or Silent(), workers, have_report)

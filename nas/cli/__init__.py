"""The command line. Progress and messages go to stderr, results to stdout; heavy imports wait for their command."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import click

from nas.cli.devices import devices, profile, verify
from nas.cli.estimate import estimate
from nas.cli.export import export
from nas.cli.importing import import_
from nas.cli.output import Commands, tell
from nas.cli.report import report
from nas.cli.scale import scale
from nas.cli.search import search
from nas.cli.spaces import spaces
from nas.cli.tables import table
from nas.cli.train import train
from nas.errors import Interrupted, NasError, Refused
from nas.system.interrupt import raised
from nas.system.streams import open_streams


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nas")
def cli() -> None:
    """Hardware-aware neural architecture search on measured latency tables."""


def main() -> NoReturn:
    """Run a command; whatever it raises becomes one or two lines and an exit code. NAS_DEBUG=1 shows tracebacks."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin on busy cores take them from others
    stdout = open_streams()
    try:
        with raised():
            cli.main(standalone_mode=False)
    except click.exceptions.Exit as problem:
        sys.exit(problem.exit_code)
    except click.ClickException as problem:
        message = " ".join(problem.format_message().split())
        _fail(f"{message} See: nas {' '.join(sys.argv[1:2])} --help".rstrip(), 2, problem)
    except NasError as problem:
        _fail(str(problem), problem.exit_code, problem)
    except Interrupted as problem:
        _fail(f"Interrupted: {problem}", problem.exit_code, None)
    except (KeyboardInterrupt, click.Abort):
        _fail("Interrupted.", 130, None)
    except OSError as problem:
        _fail(str(Refused.of(problem)), Refused.exit_code, problem)
    except Exception as problem:  # a mistake of ours: never taken for a wrong request, and its place is told
        place = traceback.extract_tb(problem.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        _fail(f"A mistake in nas itself, at {where}: {problem!r}. Please report it with NAS_DEBUG=1.", 70, problem)
    if stdout is not None and stdout.problem is not None and not isinstance(stdout.problem, BrokenPipeError):
        _fail(f"what was to be printed could not be written ({stdout.problem.strerror}).", 2, None)
    sys.exit(0)


def _fail(message: str, code: int, problem: BaseException | None) -> NoReturn:
    if problem is not None and os.environ.get("NAS_DEBUG") == "1":
        traceback.print_exception(problem)
    tell(message)
    sys.exit(code)


for command in (search, import_, scale, estimate, export, table, spaces, devices, profile, verify, train, report):
    cli.add_command(command)

"""The command line in forks of one process that has imported it: a hundred inputs do not start a hundred Pythons.

    python forks.py     reads a request a line on stdin, `box.py` says which; answers each with a line on stdout

What a fork does is `nas.cli.main()`, with its own words, folder, environment and limits. Its memory begins with what
was imported, which is the same for harmless inputs and hostile ones.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

from child import limited, waited


def main() -> None:
    import nas.cli
    import nas.cli.screen
    import nas.formats.winner
    import nas.space.load
    import nas.tables.store

    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        begin = time.monotonic()
        child = os.fork()
        if not child:
            limited(request["seconds"], request["bytes"])
            os.chdir(request["cwd"])
            os.environ.clear()
            os.environ.update(request["environment"])
            for number, name in enumerate((os.devnull, request["stdout"], request["stderr"])):
                os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o600), number)
            sys.argv = ["nas", *request["argv"]]
            sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, "w" if n else "r") for n in range(3))
            try:
                nas.cli.main()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
        print(json.dumps(waited(child, request["seconds"], begin)), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()

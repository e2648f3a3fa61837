"""Ssh: a board that is reached by the plain `ssh` program, with whatever the user's own configuration says of it.

One session lives as long as the transport does and owns the work folder there: it made it, and it removes it as soon
as its input ends, be it by `close`, a dead connection or a killed `nas`. It carries the other sessions too
(ControlMaster), which are quick to open then. Each of those watches its input in the same way and takes its program
down with it, so that nothing is left running on a board that nobody listens to.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import cast

from nas.devices.device import Fault
from nas.devices.hosted import WORKER, Hosted, Runner
from nas.devices.runtimes import ONNX_RUNTIME, Runtime
from nas.devices.ssh_address import FORMS, Address
from nas.devices.stream import stream
from nas.system.text import printable

CONNECT_S = 30.0
"""Longest silence until the work folder is there, and of whatever is quick."""
LOOK_S = 60.0
"""Longest silence of a Python there that imports a runtime, from a slow card for example."""
INSTALL_S = 600.0
"""Longest silence of pip, which says nothing while it downloads."""
SLOWEST = 200_000
"""Bytes a second that files are sent with at least."""
OPTIONS = (
    *(
        "-T",
        "-x",
        "-a",
        "-oBatchMode=yes",
        "-oConnectTimeout=10",
        "-oServerAliveInterval=15",
        "-oServerAliveCountMax=3",
    ),
    *("-oRemoteCommand=none", "-oClearAllForwardings=yes", "-oControlPersist=no", "-oLogLevel=ERROR"),
)

# Scripts for any POSIX shell, in one line and without `!`, since the login shell that hands them on may be csh or fish.
BEGIN = "nas-begins"
"""Printed first: what comes before it is chatter of the login shell, in the same line too, such as a window's title."""
CHATTER = 1000
"""Lines of that."""
FREE = "free=$(df -Pk . 2>/dev/null | awk 'NR == 2 {print $4}'); "
KEEP = (
    'umask 077; for base in "${TMPDIR:-/tmp}" "$HOME/.cache/nas"; do mkdir -p "$base"; cd "$base" || continue; '
    f'{FREE}[ "${{free:-0}}" -ge 65536 ] || continue; folder=$(mktemp -d "$PWD/nas-XXXXXX") || continue; '
    'echo "$folder"; cat >/dev/null; cd /; rm -rf "$folder"; exit 0; done 2>/dev/null; '
    'echo "the disk is full: 64 MB are needed in ${TMPDIR:-/tmp} or ~/.cache/nas, and cannot be had" >&2; exit 1'
)
ENTER = 'cd "$1" 2>/dev/null || { echo "the connection was lost, and the work folder with it" >&2; exit 1; }; shift; '
PUT = ENTER + (
    f"said=$(tar xf - 2>&1) && exit 0; {FREE}why='files cannot be written'; "
    '[ "${free:-9999}" -lt 1024 ] && why="the disk is full"; '
    'echo "$why, $free kB are free in $PWD ($(echo "$said" | head -n 1))" >&2; exit 1'
)
RUN = ENTER + (
    "TMPDIR=$PWD; export TMPDIR; exec 3<&0 </dev/null; { cat <&3; kill -9 0; } >/dev/null 2>&1 & exec 3<&-; "
    '"$@"; code=$?; kill $! 2>/dev/null; exit $code'
)
PRIVATE = '"$HOME/.cache/nas/python{suffix}"'
"""Where `install` puts a Python's packages on the board: a folder for each runtime."""
ASK = 'command -v {python} >/dev/null && {python} -c "$1" 2>&1; exit 0'
READY = "nas-ready"
FACTS = (
    "import platform, struct, sys; "
    "print('nas-python', platform.machine() or '?', 8 * struct.calcsize('P'), '%d.%d' % sys.version_info[:2]); "
    "sys.stdout.flush(); import numpy, {module}; "
    "print('nas-ready' if sys.version_info >= (3, 8) and struct.calcsize('P') == 8 else 'nas-unfit')"
)
INSTALL = (
    "python3 -c 'import ensurepip, venv' 2>/dev/null || "
    '{{ echo "python3 there has no venv: sudo apt install python3-venv, then again." >&2; exit 1; }}; '
    "pip={private}/bin/python; python3 -m venv --clear {private} && "
    "for wanted in '--upgrade pip' '--only-binary :all: numpy {package}'; do "
    '"$pip" -m pip install --disable-pip-version-check --progress-bar off $wanted || exit 1; done'
)

TROUBLE = {
    "IDENTIFICATION HAS CHANGED": "its host key is not the one that is known here: it was installed anew, or another "
    "machine answers. Connect once by hand, `ssh {host}`, and find out which.",
    "Host key verification failed": "its host key is not known here. Connect once by hand, `ssh {host}`, and compare "
    "the fingerprint with the board's.",
    "Permission denied|Too many authentication": "it takes none of your keys. Send yours: ssh-copy-id {host}",
    "Could not resolve hostname": "no host of this name is known. Look at its spelling and at `Host` in ~/.ssh/config.",
    "Connection refused": "nothing answers at its ssh port. Is sshd running there, and is it the right port?",
    "timed out|[Tt]imeout|No route to host|unreachable": "it does not answer. Is it on, and in this network?",
}
"""What ssh says, as a regular expression, and what to do then."""
ASKS = " Its login shell did not come to our command: does `ssh {host} true` end by itself?"


class Ssh:
    """A work folder on a board, as a transport."""

    def __init__(
        self, host: str, *, config: Path | None = None, show: Callable[[str], None] = lambda line: None
    ) -> None:
        """Connect. `host` is what `ssh` takes, an alias too; `config` stands for ~/.ssh/config; `show` gets a line
        where something is waited for. Raises `Fault`."""
        address = Address.read(host)
        if address is None:
            shown = host if host.isprintable() else repr(host)
            raise Fault(f"an ssh host is {FORMS}, got {shown[:60]}.")
        if shutil.which("ssh") is None:
            raise Fault("the program ssh is missing here: install it, for example apt install openssh-client.")
        self.host = host
        port = () if address.port is None else ("-p", str(address.port))
        self._where = (*port, "--", address.destination)
        self._show, self._shown = show, set[str]()
        self._config = () if config is None else ("-F", str(config))
        self._local = Path(tempfile.mkdtemp(prefix="nas-", dir="/tmp"))  # a socket's path has at most 104 bytes
        os.mkfifo(self._local / "hold")
        self._hold = os.open(self._local / "hold", os.O_RDWR)  # an input that ends when it is closed, or we die
        self._keeper = self._ssh(KEEP, (), CONNECT_S, "it lets us in", master=True)
        try:
            self.folder = next(self._keeper, "")
            if not (self.folder.startswith("/") and self.folder.isprintable() and len(self.folder) < 1000):
                raise Fault(f"{host}: there is no POSIX shell to talk to, it answered {self.folder[:60]!r}.")
        except BaseException:
            self.close()
            raise

    def put(self, files: Mapping[str, bytes | Path]) -> None:
        """One tar archive, unpacked there."""
        with tempfile.NamedTemporaryFile(prefix="nas-", suffix=".tar") as archive:
            try:
                with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                    for name, content in files.items():
                        entry = tarfile.TarInfo(name)
                        with BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                            entry.size = file.seek(0, os.SEEK_END)
                            file.seek(0)
                            tar.addfile(entry, file)
                archive.flush()
            except OSError as problem:
                raise Fault(f"{problem.filename or archive.name}: {problem.strerror}.") from None
            limit_s = CONNECT_S + archive.tell() / SLOWEST
            next(self._ssh(PUT, (self.folder,), limit_s, "files are there", stdin=Path(archive.name)), None)

    def run(
        self, argv: Sequence[str], silence_s: float, until: str = "the program there says something"
    ) -> Iterator[str]:
        """The program there is killed when the generator ends, or this process, or the connection."""
        return self._ssh(RUN, (self.folder, *argv), silence_s, until)

    def close(self) -> None:
        """Where the connection is dead, the board finds out and does it by itself."""
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1
            with suppress(Fault):
                next(self._keeper, "")  # it ends, and says nothing more
            self._keeper.close()
            shutil.rmtree(self._local, ignore_errors=True)

    def _ssh(
        self,
        script: str,
        words: Sequence[str],
        silence_s: float,
        until: str,
        *,
        stdin: Path | None = None,
        master: bool = False,
    ) -> Generator[str, None, None]:
        """Lines that a script prints there. Its input is a file, or else stays open until we let go.

        Where it is silent, the user is told once that we wait `until` something.
        """

        def waits() -> None:
            if until not in self._shown:
                self._shown.add(until)
                self._show(f"{self.host}: waiting until {until}, {silence_s:.0f} s at most")

        log = self._local / "log"  # what ssh itself says, apart from what is said there
        remote = shlex.join(("exec", "sh", "-c", f"echo {BEGIN}; {script}", "sh", *words))
        shared = (f"-oControlMaster={'yes' if master else 'no'}", f"-oControlPath={self._local}/mux", f"-E{log}")
        redirect = ("sh", "-c", 'exec "$@" <"$0"', str(stdin or self._local / "hold"))
        argv = (*redirect, "ssh", *self._config, *OPTIONS, *shared, *self._where, remote)
        begun = False
        try:
            with closing(cast(Generator[str, None, None], stream(argv, silence_s, waits=waits))) as lines:
                chatter = ""
                for line in islice(lines, CHATTER):
                    if begun := line.endswith(BEGIN):
                        break
                    chatter = line
                if not begun and next(lines, None) is not None:
                    raise Fault(f"its login shell prints {CHATTER:,} lines. Have it silent where it has no terminal.")
                if not begun:
                    raise Fault(f"there is no POSIX shell to talk to, it answered {chatter[:60]!r}.")
                yield from lines
        except Fault as problem:
            own = log.read_text(errors="replace").strip() if log.is_file() else ""
            raise Fault(self._explain(str(problem).removeprefix("sh "), own, begun)) from None

    def _explain(self, said: str, own: str, begun: bool) -> str:
        """One line on what went wrong, by what was said there, what ssh itself said, and whether it got through."""
        reason = said
        if said.startswith("ended with code 255"):
            lost = ["the connection was lost."] if begun else []
            reason = " ".join((*lost, *own.splitlines()[-1:])) or said
        if not begun:
            reason = next((hint for sign, hint in TROUBLE.items() if re.search(sign, own + said)), reason)
            reason += ASKS if said.startswith("said nothing") else ""
        by_hand = " ".join(word for word in self._where if word != "--")
        return printable(f"{self.host}: {reason.replace('{host}', by_hand)}", 400)


def ssh_device(
    host: str,
    *,
    threads: int = 1,
    runtime: Runtime = ONNX_RUNTIME,
    python: str = "",
    install: bool = False,
    config: Path | None = None,
    show: Callable[[str], None] = lambda line: None,
) -> Hosted:
    """The device behind an ssh host; it is connected to, and looked at, when it is first used.

    It needs a 64-bit system with Python 3.8, numpy and the runtime, the last two from `python`, a name or a path there,
    or else from python3 or a private folder, into which `install` puts them by pip. `Fault` says what is missing and
    what to do. `config` and `show` are for `Ssh`.
    """
    if python and install:
        raise Fault(
            f"{host}: `--install` makes a Python with {runtime.package} in a folder of its own, and {python} is named "
            "as the one that has it. Leave out one of them."
        )

    def connect() -> Ssh:
        board = Ssh(host, config=config, show=show)
        try:
            word = _find_python(board, runtime, python, install)
            board.put({"python": f'exec {word} "$@"\n'.encode()})
        except BaseException:
            board.close()
            raise
        return board

    runner = Runner(("sh", "python", "worker.py"), {"worker.py": WORKER})
    return Hosted(connect, runner, threads=threads, runtime=runtime)


def _find_python(board: Ssh, runtime: Runtime, named: str, install: bool) -> str:
    """A Python there that has all that is needed, as a word of the shell. Raises `Fault`."""
    folder = PRIVATE.format(suffix=runtime.word and f"-{runtime.word}")
    private, package, shown = f"{folder}/bin/python", runtime.package, folder.strip('"').replace("$HOME", "~")
    home, _, rest = named.partition("/")
    own = f'"$HOME"/{shlex.quote(rest)}' if home == "~" else shlex.quote(named)
    name = named or "python3"
    said: list[str] = []
    for python in (own,) if named else (private, "python3"):
        said = _ask(board, python, runtime.module)
        if any(line.endswith(READY) for line in said):
            return python
    if not said:
        todo = "look at `--python` and devices.yaml" if named else "sudo apt install python3"
        raise Fault(f"{board.host}: {name} is missing there: {todo}")
    facts = next(filter(None, (re.search(r"nas-python (\S+) (\d+) (\d+)\.(\d+)$", line) for line in said)), None)
    if facts is None:
        raise Fault(f"{board.host}: {name} does not work there: {said[-1][:200]}")
    machine, bits, version = facts[1], int(facts[2]), (int(facts[3]), int(facts[4]))
    if bits < 64:
        raise Fault(
            f"{board.host}: its Python is a {bits}-bit one ({machine}), for which {package} has no wheels. "
            "Install the 64-bit edition of the board's system."
        )
    if version < (3, 8):
        raise Fault(f"{board.host}: Python 3.8 or newer is needed, {name} there is {facts[3]}.{facts[4]}.")
    if not install:
        todo = f"Install them for {name}" if named else f"`--install` puts them into a private folder, {shown}"
        raise Fault(
            f"{board.host}: numpy and {package} are needed there, and cannot be imported ({said[-1][:120]}). {todo}."
        )
    script = INSTALL.format(private=folder, package=package)
    for _ in board.run(("sh", "-c", script), INSTALL_S, f"pip has downloaded numpy and {package}"):
        pass
    said = _ask(board, private, runtime.module)
    if not any(line.endswith(READY) for line in said):
        raise Fault(f"{board.host}: pip installed {package}, but it does not work: {''.join(said[-1:])[:200]}")
    return private


def _ask(board: Ssh, python: str, module: str) -> list[str]:
    """Lines that a Python there prints of itself, one of them `READY` where all is well; none where it is missing."""
    words = ("sh", "-c", ASK.format(python=python), "sh", FACTS.format(module=module))
    asked = board.run(words, LOOK_S, f"its Python has imported {module}")
    return list(islice(asked, CHATTER))

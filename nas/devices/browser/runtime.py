"""The runtime: onnxruntime-web's files, installed once from npm or from a tarball into the user's data folder."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from nas.devices.device import Fault
from nas.errors import NasError
from nas.system.user_folders import data_folder

VERSION = "1.30.0"
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of npm's tarball of this version, in base64, as the registry states it."""
FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
MAX_TARBALL, MAX_FILE = 128 << 20, 64 << 20  # bytes; the tarball has 33 MB, its largest file that is used 27 MB
NPM_S = 600
_LICENCE = "LICENSE"


def runtime_folder() -> Path:
    """Where the runtime's files are: `$XDG_DATA_HOME/nas/onnxruntime-web/VERSION`. Raises `Fault` when they are not."""
    folder = _home()
    if not all((folder / name).is_file() for name in FILES):
        raise Fault(f"onnxruntime-web {VERSION} is not installed: run `nas devices --install browser`.")
    return folder


def install_runtime(source: Path | None = None) -> Path:
    """Install the pinned onnxruntime-web by npm, or from its tarball; the folder. Raises `NasError`.

    Only a tarball of the pinned hash is opened, only the files that a page needs are taken out of it, and the MIT
    licence is laid beside them. None of the package's scripts runs.
    """
    data = _read(source) if source else _packed_by_npm()
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != INTEGRITY:
        raise NasError(
            f"{source or 'npm'}: this is not onnxruntime-web-{VERSION}.tgz as npm publishes it: another SHA-512. "
            f"Make the file with `npm pack onnxruntime-web@{VERSION}`."
        )
    folder = _home()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-") as temporary:
            fresh, old = Path(temporary) / "new", Path(temporary) / "old"
            fresh.mkdir()
            for name, content in _unpacked(data).items():
                (fresh / name).write_bytes(content)
            shutil.copyfile(Path(__file__).with_name("onnxruntime-web.LICENSE"), fresh / _LICENCE)
            if folder.exists():
                os.replace(folder, old)
            os.replace(fresh, folder)
    except OSError as problem:
        raise NasError(f"{problem.filename or folder}: {problem.strerror}.") from None
    return folder


def _home() -> Path:
    return data_folder() / "onnxruntime-web" / VERSION


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TARBALL + 1)
    except OSError as problem:
        raise NasError(f"{path}: cannot be read ({problem.strerror}).") from None
    if len(data) > MAX_TARBALL:
        raise NasError(f"{path}: at most {MAX_TARBALL:,} bytes are read, this file has more.")
    return data


def _packed_by_npm() -> bytes:
    package = f"onnxruntime-web@{VERSION}"
    hint = f"Elsewhere `npm pack {package}` makes the file for `nas devices --install browser --from TARBALL`."
    npm = shutil.which("npm")
    if npm is None:
        raise NasError(f"npm, which fetches {package}, is not installed here. {hint}")
    with tempfile.TemporaryDirectory(prefix="nas-npm-") as folder:
        command = [npm, "pack", package, "--ignore-scripts", "--silent", "--pack-destination", folder]
        try:
            done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=NPM_S)
        except (OSError, subprocess.TimeoutExpired):
            raise NasError(f"npm did not fetch {package} within {NPM_S} s. {hint}") from None
        found = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(found) != 1:
            said = " ".join(done.stderr.decode("utf-8", "replace").split())[:200] or f"code {done.returncode}"
            raise NasError(f"npm could not fetch {package}: {said}. {hint}")
        return _read(found[0])


def _unpacked(data: bytes) -> dict[str, bytes]:
    """The files that a page needs. Names come from `FILES`, never from the archive."""
    wanted = {f"package/dist/{name}": name for name in FILES}
    content: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for member in archive:
                if member.name not in wanted or not member.isreg():
                    continue
                if member.size > MAX_FILE:
                    raise NasError(
                        f"{member.name} of the tarball has {member.size:,} bytes, at most {MAX_FILE:,} are read."
                    )
                file = archive.extractfile(member)
                assert file is not None
                content[wanted[member.name]] = file.read()
    except (tarfile.TarError, OSError, EOFError) as problem:
        raise NasError(f"the tarball cannot be read: {problem}.") from None
    if missing := [name for name in FILES if name not in content]:
        raise NasError(f"the tarball lacks dist/{missing[0]}; is it onnxruntime-web {VERSION}?")
    return content

"""The runner compiled for this machine, with this machine's libraries under the names that a phone's bundle has."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import onnxruntime
import pytest

from nas.devices.runner.build import LIBRARIES, RUNTIME, compile_runner


def native_bundle(folder: Path) -> Path:
    """Make it, or skip the test with the reason."""
    machine = platform.machine()
    places = [
        Path(f"/lib/{machine}-linux-gnu"),
        Path("/lib64"),
        Path("/usr/lib"),
        Path(f"/usr/lib/{machine}-linux-gnu"),
    ]
    libraries = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if shutil.which("cc") is None or not libraries:
        pytest.skip("needs a C compiler and the libonnxruntime.so of a Linux wheel")
    shutil.copyfile(libraries[0], folder / RUNTIME)
    for name in LIBRARIES:
        own = {"x86_64": "ld-linux-x86-64.so.2"}.get(machine, name) if name.startswith("ld-") else name
        found = [place / own for place in places if (place / own).is_file()]
        if not found:
            pytest.skip(f"needs {own} in one of {', '.join(map(str, places))}")
        shutil.copyfile(found[0], folder / name)
    (folder / LIBRARIES[0]).chmod(0o755)
    compile_runner(folder, ["cc", "-Wall", "-Wextra", "-Werror", "-Wl,-rpath,$ORIGIN"])
    return folder

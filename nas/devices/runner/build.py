"""Builds the runner for 64-bit Arm phones: `runner.c`, ONNX Runtime from its Linux wheel, and the loader and C library
that this wheel wants, for Android's own cannot load it. Nothing of it is shipped with nas: each part is fetched from
where its authors publish it, once, into the user's cache folder.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from nas.devices.device import Fault
from nas.devices.hosted import Runner
from nas.devices.stream import stream
from nas.system import user_folders

LIBRARIES = (
    "ld-linux-aarch64.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
)
"""What ONNX Runtime's Linux library is linked against: GNU's, version 2.28 or newer."""
PACKAGES = ("libc6-arm64-cross", "libstdc++6-arm64-cross", "libgcc-s1-arm64-cross")
"""The packages of Debian and Ubuntu that hold them, for any architecture of the machine that builds."""
RUNTIME = "libonnxruntime.so.1"
_INSTALLED = Path("/usr/aarch64-linux-gnu/lib")
_TAGS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
_SILENCE_S = 600.0
_SCRIPT = b"""\
export NAS_MODEL="$(getprop ro.product.model)" NAS_SOC="$(getprop ro.soc.model)"
export NAS_SYSTEM="Android $(getprop ro.build.version.release)"
exec ./ld-linux-aarch64.so.1 --library-path . ./runner "$@"
"""


def android_runner(bundle: Path) -> Runner:
    """The runner in a bundle that `build_runner` made, for a phone: a script asks Android for the device's names."""
    names = ("runner", RUNTIME, *LIBRARIES)
    return Runner(("sh", "runner.sh"), {name: bundle / name for name in names} | {"runner.sh": _SCRIPT})


def cached_runner() -> Path:
    """The bundle for the installed version of ONNX Runtime, built where it is not in the cache. Raises `Fault`."""
    folder = cache_folder()
    if not folder.is_dir():
        build_runner(folder)
    return folder


def cache_folder() -> Path:
    """Where that bundle lies, or will."""
    sources = b"".join(Path(__file__).with_name(name).read_bytes() for name in ("runner.c", "ort.h"))
    name = f"{version('onnxruntime')}-{hashlib.sha256(sources).hexdigest()[:8]}"
    return user_folders.cache_folder() / "android" / name


def build_runner(folder: Path, *, runtime: Path | None = None, libraries: Path | None = None) -> None:
    """Make a bundle: runner, ONNX Runtime, loader and C library, all or nothing. Raises `Fault`.

    `runtime` is a `libonnxruntime.so` for aarch64 Linux, by default that of the wheel of the installed version;
    `libraries` is a folder with the files of `LIBRARIES`, by default what the machine has, or its packages.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as place:
            work = Path(place)
            bundle = work / "bundle"
            bundle.mkdir()
            shutil.copyfile(runtime or _runtime(work), bundle / RUNTIME)
            source = libraries or _libraries(work)
            if missing := [name for name in LIBRARIES if not (source / name).is_file()]:
                raise Fault(f"{source} has no {missing[0]}; a phone's runner needs {', '.join(LIBRARIES)}.")
            for name in LIBRARIES:
                shutil.copyfile(source / name, bundle / name)
            (bundle / LIBRARIES[0]).chmod(0o755)  # the loader is started as a program
            compile_runner(bundle, _zig())
            try:
                bundle.rename(folder)
            except OSError:
                if not folder.is_dir():  # another process was faster
                    raise
    except OSError as problem:
        raise Fault(f"{problem.filename or folder}: {problem.strerror}.") from None


def compile_runner(bundle: Path, compiler: Sequence[str]) -> None:
    """Compile `runner` in a folder that has the ONNX Runtime library of its machine. Raises `Fault`."""
    source = Path(__file__).with_name("runner.c")
    words = [*compiler, "-std=c11", "-O2", "-fPIE", "-pie", "-o", str(bundle / "runner"), str(source)]
    _do([*words, str(bundle / RUNTIME), "-lm"], bundle, "runner.c cannot be compiled")


def _zig() -> list[str]:
    if find_spec("ziglang") is None:
        raise Fault("the runner for phones is compiled by the package ziglang: pip install 'nas[android]'.")
    return [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-gnu.2.28"]


def _runtime(work: Path) -> Path:
    """ONNX Runtime's library out of its wheel for 64-bit Arm Linux."""
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    words += ["--dest", str(work), *(f"--platform={tag}" for tag in _TAGS)]
    _do([*words, f"onnxruntime=={version('onnxruntime')}"], work, "the Arm wheel of onnxruntime cannot be fetched")
    with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
        names = [name for name in wheel.namelist() if name.startswith("onnxruntime/capi/libonnxruntime.so")]
        if not names:
            raise Fault("the wheel of onnxruntime has no libonnxruntime.so; install a newer version.")
        (work / RUNTIME).write_bytes(wheel.read(names[0]))
    return work / RUNTIME


def _libraries(work: Path) -> Path:
    """The folder of loader and C library: that of an installed cross compiler, or unpacked from its packages."""
    if all((_INSTALLED / name).is_file() for name in LIBRARIES):
        return _INSTALLED
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Fault(
            f"the runner for phones needs GNU's C library for aarch64, of which {_INSTALLED} has none; "
            "get it as docs/android.md says."
        )
    _do(["apt-get", "download", *PACKAGES], work, "the Arm C library cannot be fetched")
    for package in sorted(work.glob("*.deb")):
        _do(["dpkg-deb", "--extract", str(package), str(work / "root")], work, f"{package.name} cannot be unpacked")
    return work / "root" / _INSTALLED.relative_to("/")


def _do(words: Sequence[str], folder: Path, problem: str) -> None:
    try:
        for _ in stream(words, _SILENCE_S, cwd=folder):
            pass
    except Fault as fault:
        raise Fault(f"{problem}: {fault}") from None

"""What every test may count on: one thread, and a timm that can be imported whatever torchvision is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads on a shared core make small networks 20 times slower

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""Those that torchvision registers stand-ins for without looking whether its compiled part was loaded."""


class _Torchvision(MetaPathFinder):
    """Declares torchvision's operators just before its first import, where it was made for CUDA and torch was not.

    Its compiled part then fails to load, and it ends with "operator torchvision::nms does not exist"; timm
    imports torchvision and needs none of its operators.
    """

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            spec = PathFinder.find_spec(name)
            if spec and spec.origin and _made_for_cuda(Path(spec.origin).parent):
                _declare()
        return None


def _made_for_cuda(package: Path) -> bool:
    version = package / "version.py"
    return version.is_file() and "+cu" in version.read_text()  # __version__ = '0.28.0+cu130'


def _declare() -> None:
    import torch

    if torch.version.cuda is None:
        library = torch.library.Library("torchvision", "DEF")
        for operator in OPERATORS:
            library.define(operator)
        _LIBRARIES.append(library)


_LIBRARIES: list[object] = []
"""The operators are declared for as long as their library lives."""

sys.meta_path.insert(0, _Torchvision())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Where `NAS_NO_SKIPS` is set, as in CI, a test that would be skipped for want of something fails instead."""
    report = yield
    if os.environ.get("NAS_NO_SKIPS") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def measured() -> Path:
    """The folder of measured data, which is not part of the repository (docs/results.md names its sources).

    Tests that hold our figures against it are skipped on machines that do not have it. Where `NAS_MEASURED` names it,
    or it lies beside the repository as it does in CI, whatever it lacks is a failure.
    """
    named = os.environ.get("NAS_MEASURED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data" / "measured"
    if not named and not folder.is_dir():
        pytest.skip("the measured data is not beside the repository; NAS_MEASURED may name its folder")
    return folder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words of a search that takes a fraction of a second, but for `--out`."""
    from small_run import write_small

    return write_small(tmp_path_factory.mktemp("small"))

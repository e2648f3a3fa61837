"""Tables as `nas` measures them, made in a folder, and the command line as it is typed."""

import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nas.blocks import KEY_COLUMNS, Layer
from nas.cli import main
from nas.devices.device import DeviceInfo
from nas.space.load import load_space
from nas.tables.header import DeviceHeader, RuntimeHeader, TableHeader
from nas.tables.table import LatencyTable, Row
from nas.tables.write import write_table

BOARD = DeviceInfo(
    model="Cortex-A72",
    architecture="aarch64",
    cores=4,
    runtime="ONNX Runtime",
    runtime_version="1.20.1",
    provider="CPUExecutionProvider",
    threads=1,
    memory_mb=3_794,
    governor="performance",
)
NETWORKS = {
    "count": 20,
    "mape_pct": 1.25,
    "worst_pct": 4.5,
    "within_5_pct": 100.0,
    "within_10_pct": 100.0,
    "kendall_tau": 0.9789,
    "floor_pct": 0.75,
}


class Answer(NamedTuple):
    """What a command ended with and printed."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def layers() -> tuple[Layer, ...]:
    return load_space("mobile").layers()


@pytest.fixture(scope="session")
def header() -> Callable[..., TableHeader]:
    """A header of a board's table; keywords change it, those of a DeviceInfo change the device."""

    def make(**changes: Any) -> TableHeader:
        told = {name: changes.pop(name) for name in list(changes) if name in DeviceInfo.__dataclass_fields__}
        info = DeviceInfo(**BOARD.to_json() | told)
        error = {"band_pct": {"measured": 2.0, "derived": 5.0, "simulated": 5.0, "interpolated": 9.0}}
        return TableHeader(
            **{
                "format": "nas-latency-table/1",
                "name": "board",
                "target": "ssh:pi@board",
                "space": "mobile",
                "device": DeviceHeader(
                    model=info.model,
                    cores=info.cores,
                    architecture=info.architecture,
                    provider=info.provider,
                    memory_mb=info.memory_mb,
                    governor=info.governor,
                    fingerprint=info.fingerprint,
                ),
                "runtime": RuntimeHeader(name=info.runtime, version=info.runtime_version),
                "threads": info.threads,
                "precision": "float32",
                "batch": 1,
                "date": date(2025, 3, 1),
                "resolution": 224,
                "estimator": "median of sessions",
                "source": "measured on the board",
                "key_columns": list(KEY_COLUMNS),
                "calibration": "none",
                "error": error | {"networks": NETWORKS},
            }
            | changes
        )

    return make


@pytest.fixture
def board(tmp_path: Path, header: Callable[..., TableHeader], layers: tuple[Layer, ...]) -> Callable[..., LatencyTable]:
    """A table in `tmp_path / folder` with rows (latency, spread, samples[, provenance]) for layers by their number."""

    def make(folder: str, rows: dict[int, tuple[Any, ...]], **changes: Any) -> LatencyTable:
        written = [Row(layers[number], *row[:3], (*row, "measured")[3]) for number, row in rows.items()]
        return write_table(tmp_path / folder, header(**changes), written)

    return make


@pytest.fixture
def nas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """The command line, in `tmp_path`, with the user's own tables under `data`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def call(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        answer = Answer(ended.value.code, *capsys.readouterr())
        if answer.code:
            assert answer.out == ""
            assert len(answer.err.splitlines()) <= 2
            assert len(answer.err) < 1_000
            assert answer.err.replace("\n", "").isprintable()
        return answer

    return call

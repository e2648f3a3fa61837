"""The files of an export."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from nas.blocks import Architecture, Layer
from nas.errors import ArchitectureError, NasError
from nas.formats.archdef import read_archdef
from nas.formats.config import read_config
from nas.formats.winner import EXPORTS, PLAIN, export
from nas.space.load import load_space
from nas.system.places import network_names


@pytest.fixture(scope="module")
def winner() -> Architecture:
    space = load_space("mobile")
    return space.decode(space.sample(1, np.random.default_rng(1))[0])


@pytest.fixture
def inexpressible() -> Architecture:
    return Architecture(3, 7, 7, (Layer(kind="conv", in_channels=3, out_channels=5, height=7, width=7),))


def test_every_file_is_written_and_read_back(winner: Architecture, tmp_path: Path) -> None:
    said: list[str] = []
    decisions = {"stage1.depth": 2}
    written = export(
        winner, tmp_path / "new" / "folder", decisions=decisions, space="mobile", seed=7, skipped=said.append
    )
    config, archdef, model, _ = written
    assert [path.name for path in written] == [
        file.name for form in PLAIN for file in EXPORTS[form] if "int8" not in file.name
    ]
    assert sorted(path.name for path in config.parent.iterdir()) == sorted(path.name for path in written)
    assert said == []
    assert read_config(config).architecture == winner
    assert read_config(config).decisions == decisions
    assert read_archdef(archdef) == winner
    loaded = onnx.load(model)
    onnx.checker.check_model(loaded, full_check=True)
    metadata = {entry.key: entry.value for entry in loaded.metadata_props}
    assert metadata["weights"] == "random (untrained)"
    assert metadata["space"] == "mobile"
    assert json.loads(metadata["decisions"]) == decisions
    assert sum(np.prod(t.dims) for t in loaded.graph.initializer if "running" not in t.name) == winner.params


def test_the_seed_decides_the_weights(winner: Architecture, tmp_path: Path) -> None:
    contents = [export(winner, tmp_path, ["onnx"], seed=seed)[0].read_bytes() for seed in (1, 1, 2)]
    assert contents[0] == contents[1] != contents[2]


def test_arch_txt_is_left_out_where_timm_has_no_words(inexpressible: Architecture, tmp_path: Path) -> None:
    said: list[str] = []
    written = export(inexpressible, tmp_path, skipped=said.append)
    assert [path.name for path in written] == ["config.json", "model.onnx", "model.py"]
    (reason,) = said
    assert reason.startswith("arch.txt is not written: timm cannot express this network: ")


def test_it_is_an_error_where_it_was_asked_for(inexpressible: Architecture, tmp_path: Path) -> None:
    with pytest.raises(ArchitectureError, match=r"^arch\.txt: timm cannot .* Leave the format 'timm' out\.$"):
        export(inexpressible, tmp_path / "new", ["config", "timm"])
    assert not (tmp_path / "new").exists()


def test_unknown_formats_and_unwritable_folders(winner: Architecture, tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"^No export format named 'tflite'; there are config, timm, onnx, torch, hf\.$"):
        export(winner, tmp_path, ["tflite"])
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file/folder"):
        export(winner, tmp_path / "file" / "folder", ["config"])


def test_exporting_imports_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from nas.formats.archdef import read_archdef;"
        "from nas.formats.winner import export;"
        f"export(read_archdef(Path({str(network_names()['fbnet-c'])!r})), Path('out'));"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert len(list((tmp_path / "out").iterdir())) == 4

"""model.py: the same network as ours, in plain torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from networks import architectures, picture, randomize

from nas.blocks import Architecture, Layer
from nas.blocks.build import build
from nas.formats.archdef import read_archdef
from nas.formats.plain import to_python
from nas.space.load import load_space

LARGE = Path(__file__).parents[2] / "search_spaces" / "networks" / "mobilenetv3-large-1.0.json"


def executed(text: str) -> dict[str, Any]:
    """The namespace of a model.py; nas is out of its reach."""
    namespace: dict[str, Any] = {"__name__": "model"}
    exec(compile(text, "model.py", "exec"), namespace)  # the file under test
    return namespace


@given(architectures())
@settings(max_examples=40, deadline=None)
def test_it_is_our_network(architecture: Architecture) -> None:
    text = to_python(architecture)
    assert "nas." not in text.split('"""', 2)[2]
    ours, theirs = randomize(build(architecture), seed=2), executed(text)["model"]().eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x = picture(architecture)
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(x))


def test_it_runs_where_nas_is_not_installed(tmp_path: Path) -> None:
    architecture = read_archdef(LARGE)
    ours = randomize(build(architecture), seed=2)
    (tmp_path / "model.py").write_text(to_python(architecture))
    torch.save(ours.state_dict(), tmp_path / "weights.pt")
    x = picture(architecture, batch=1)
    np.save(tmp_path / "x.npy", x.numpy())
    program = """
import runpy, sys
sys.modules["nas"] = None  # importing it fails
import numpy as np, torch
runpy.run_path("model.py", run_name="__main__")
network = runpy.run_path("model.py")["model"]().eval()
network.load_state_dict(torch.load("weights.pt", weights_only=True))
with torch.inference_mode():
    np.save("y.npy", network(torch.from_numpy(np.load("x.npy"))).numpy())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "5,483,032 parameters, input (1, 3, 224, 224), output (1, 1000)\n"
    with torch.inference_mode():
        expected = ours(x).numpy()
    assert np.abs(np.load(tmp_path / "y.npy") - expected).max() <= 1e-5 * np.abs(expected).max()


def test_it_is_formatted(tmp_path: Path) -> None:
    space = load_space("mobile")
    (genotype,) = space.sample(1, np.random.default_rng(0))
    text = to_python(space.decode(genotype), decisions=space.choices(genotype), space="mobile")
    (tmp_path / "model.py").write_text(text)
    try:
        for arguments in (["format", "--check"], ["check"]):
            command = [sys.executable, "-m", "ruff", *arguments, "--isolated", "--line-length", "120", "model.py"]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        (tmp_path / "model.py").unlink()


@pytest.mark.parametrize(
    "wild", ['"""\nraise SystemExit\n"""', "\\", '\\"""', "\N{SNOWMAN}\n\r\x00", '"', "'''", "\\N{nothing}"]
)
def test_text_from_a_config_stays_text(wild: str) -> None:
    layer = Layer(kind="conv", in_channels=3, out_channels=5, height=7, width=7)
    text = to_python(Architecture(3, 7, 7, (layer,)), decisions={wild: wild}, space=wild)
    assert "model" in executed(text)

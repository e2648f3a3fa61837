"""Networks of timm with attention: the same function, parameters and MACs, and what does not fit is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from fvcore.nn import FlopCountAnalysis
from networks import randomize

from nas.blocks.build import build
from nas.cli import cli
from nas.cost.recount import COUNTED
from nas.errors import ArchitectureError, NasError
from nas.formats.dialects import fit
from nas.formats.timm_network import from_timm, timm_tensors

timm = pytest.importorskip("timm")


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [("efficientformer_l1", 12_289_928, 1_291_284_736), ("shvit_s1", 6_330_808, 241_320_768)],
)
def test_outputs_parameters_and_macs_are_those_of_timm(name: str, params: int, macs: int) -> None:
    theirs = randomize(timm.create_model(name), 1).eval()
    architecture = from_timm(theirs)
    fitted = fit(architecture, timm_tensors(theirs))
    ours = build(fitted.architecture).eval()
    ours.load_state_dict({name: torch.from_numpy(value) for name, value in fitted.weights.items()}, strict=False)
    assert fitted.weights.keys() == {n for n in ours.state_dict() if not n.endswith("num_batches_tracked")}
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, got = theirs(x), ours(x)
        analysis = FlopCountAnalysis(theirs, x).tracer_warnings("none").unsupported_ops_warnings(False)
        counted = analysis.uncalled_modules_warnings(False).by_operator()
    assert float((expected - got).abs().max()) <= 1e-5 * float(expected.abs().max())
    assert architecture.params == sum(parameter.numel() for parameter in theirs.parameters()) == params
    assert architecture.macs == sum(counted[operator] for operator in COUNTED) == macs


@pytest.fixture(scope="module")
def small() -> torch.nn.Module:
    """An EfficientFormer that is small in all but the size of its last map."""
    made: torch.nn.Module = timm.models.EfficientFormer(
        depths=(1, 1, 1, 2), embed_dims=(8, 8, 16, 16), num_vit=1, num_classes=5
    )
    return made


def test_weights_of_another_network_are_refused(small: torch.nn.Module) -> None:
    architecture = from_timm(small, 224)
    tensors = timm_tensors(small)
    wider = {n: t if not n.endswith("attention_biases") else t[:4] for n, t in tensors.items()}
    with pytest.raises(
        ArchitectureError, match=r"`attend` takes attention_biases 8×7×7, but .* has attention_biases 4×49"
    ):
        fit(architecture, wider)
    fewer = {n: t for n, t in tensors.items() if not n.endswith("stages.3.blocks.2.ls2.gamma")}
    with pytest.raises(ArchitectureError, match="Names of weights are those of"):
        fit(architecture, fewer)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["timm:efficientformer_l1", "--resolution", "192"], "learned positions of 49 pixels, and attends to 36 of a"),
        (["timm:efficientformerv2_s0"], "EfficientFormer, .*are read, this is of EfficientFormerV2"),
        (["timm:maxvit_rmlp_pico_rw_256"], "this is of MaxxVit"),
    ],
)
def test_wrong_requests(words: list[str], rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"0.weight": torch.ones(2)}, "mine.pth")
    with pytest.raises(NasError, match=rule):
        CliRunner().invoke(
            cli,
            ["import", *words, "--weights", "mine.pth", "--out", "out"],
            catch_exceptions=False,
            standalone_mode=False,
        )


def test_the_command_brings_a_network_in(
    small: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nas.formats.timm_network.timm_model", lambda name, pretrained: small)
    torch.save(small.state_dict(), "mine.pth")  # with its table of which position is of which pixels
    run = CliRunner().invoke(cli, ["import", "timm:small", "--weights", "mine.pth", "--out", "mine"])
    assert run.exit_code == 0, run.output
    exported = CliRunner().invoke(cli, ["export", "mine", "--format", "onnx,torch", "--out", "out"])
    assert exported.exit_code == 0, exported.output
    assert {path.name for path in Path("out").iterdir()} >= {"model.onnx", "model.py"}
    refused = CliRunner().invoke(cli, ["export", "mine", "--format", "timm", "--out", "out"])
    assert "it ends in a head, got norm_head" in str(refused.exception)

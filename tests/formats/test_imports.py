"""Weights from elsewhere: their own code and ours give equal outputs, and what does not fit is named."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from networks import randomize
from torch import nn

from nas.blocks.architecture import Architecture
from nas.blocks.build import build
from nas.cli import cli
from nas.errors import ArchitectureError, NasError
from nas.formats.archdef import parse_archdef, to_archdef
from nas.formats.dialects import fit
from nas.formats.state_dict import read_state_dict
from nas.formats.timm_network import from_timm, timm_tensors

timm = pytest.importorskip("timm")
sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

from timm_definitions import compared, definitions  # noqa: E402

SMALL = {
    "resolution": 33,
    "stem": 8,
    "head": 24,
    "activation": "relu6",
    "num_classes": 5,
    "blocks": [["ds_r1_k3_s1_e1_c8"], ["ir_r2_k3_s2_e6_c16_se0.25"], ["ir_r1_k5_s2_e3_c24"]],
}
Tensors = dict[str, torch.Tensor]


def tensors_of(network: nn.Module) -> Tensors:
    return {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def imported(architecture: Architecture, tensors: Mapping[str, Any]) -> nn.Module:
    """Our network with their weights."""
    fitted = fit(architecture, {name: np.asarray(value) for name, value in tensors.items()})
    network = build(fitted.architecture).eval()
    missing, unexpected = network.load_state_dict(
        {n: torch.from_numpy(v) for n, v in fitted.weights.items()}, strict=False
    )
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return network


def assert_equal(theirs: nn.Module, ours: nn.Module, channels: int = 3, bound: float = 1e-4) -> None:
    x = torch.randn(2, channels, 65, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, got = theirs(x), ours(x)
    assert float((expected - got).abs().max()) <= bound * float(expected.abs().max())


@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv2_035",
        "mobilenetv3_small_050",
        "tf_mobilenetv3_small_minimal_100",
        "tf_efficientnet_lite0",
        "semnasnet_050",
        "fbnetc_100",
        "spnasnet_100",
        "tinynet_e",
        "efficientnet_es",
        "lcnet_035",
        "mobilenetv1_100",
        "mobilenetv4_conv_small_035",
        "mobilenetv4_hybrid_medium_075",
        "mobilenet_edgetpu_v2_xs",
        "tf_mixnet_s",
        "efficientnet_blur_b0",
    ],
)
def test_networks_of_timm(name: str) -> None:
    theirs = randomize(timm.create_model(name, num_classes=7), 1).eval()
    architecture = from_timm(theirs, 64)
    assert_equal(theirs, imported(architecture, timm_tensors(theirs)))
    assert architecture.params == sum(parameter.numel() for parameter in theirs.parameters())


@pytest.mark.parametrize(
    ("name", "params", "trained"), [("mobileone_s0", 2_078_504, 5_293_272), ("repvgg_a0", 8_309_384, 9_108_968)]
)
def test_networks_whose_branches_merge(name: str, params: int, trained: int) -> None:
    theirs = randomize(timm.create_model(name), 1).eval()
    architecture = from_timm(theirs, 64)
    ours = imported(architecture, timm_tensors(theirs))
    assert_equal(theirs, ours, bound=1e-5)
    counts = [sum(p.numel() for p in m.parameters()) for m in (ours, timm.utils.reparameterize_model(theirs), theirs)]
    assert counts == [params, params, trained]
    assert (architecture.params, architecture.for_training().params) == (params, trained)


@pytest.mark.parametrize("kind", ["one", "rep"])
def test_they_have_attention_and_groups_and_may_come_merged(kind: str) -> None:
    byobnet = timm.models.byobnet
    more = {"block_kwargs": {"num_conv_branches": 3}} if kind == "one" else {}
    blocks = [byobnet.ByoBlockCfg(type=kind, d=2, c=16, s=2, gs=gs, **more) for gs in (0, 1, 4)]
    layers = {"attn_layer": "se", "attn_kwargs": {"rd_ratio": 0.25}, "act_layer": "silu"}
    config = byobnet.ByoModelCfg(blocks=tuple(blocks), stem_type=kind, stem_chs=8, **layers)
    theirs = randomize(byobnet.ByobNet(config, num_classes=7), 1).eval()
    architecture = from_timm(theirs, 64)
    assert {(layer.groups, layer.se_channels) for layer in architecture.layers[1:-1]} >= {(1, 8), (16, 8), (4, 8)}
    assert_equal(theirs, imported(architecture, timm_tensors(theirs)))
    deployed = timm.utils.reparameterize_model(theirs)
    assert_equal(theirs, imported(from_timm(deployed, 64), timm_tensors(deployed)))
    wrong = timm_tensors(theirs)
    del wrong["stages.0.1.identity.weight"]
    with pytest.raises(
        ArchitectureError, match=r"layer 2 \(rep\), `conv_\d` norm takes .*, but 'stages.0.1.identity' has"
    ):
        fit(architecture, wrong)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("gernet_s", "stem of this timm network: no block of nas is a ConvNormAct of ByobNet"),
        ("efficientnet_cc_b0_4e", r"blocks\.4\.0 .* no block of nas is a CondConvResidual"),
        ("test_efficientnet_gn", r"conv_stem .* no normalisation of nas is a GroupNormAct"),
        ("test_efficientnet_ln", r"no normalisation of nas is a LayerNormAct2d"),
        ("test_efficientnet_evos", r"no normalisation of nas is a EvoNorm2dS0"),
        ("gc_efficientnetv2_rw_t", r"blocks\.3\.0 .* attention of another kind"),
        ("resnet18", "ResNet"),
    ],
)
def test_networks_of_timm_that_no_block_stands_for(name: str, part: str) -> None:
    with pytest.raises(ArchitectureError, match=part):
        from_timm(timm.create_model(name))


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [("mobilenetv4_conv_small", 3_774_024, 186_005_568), ("lcnet_100", 2_953_800, 155_700_480)],
)
def test_published_sizes_of_networks_of_timm(name: str, params: int, macs: int) -> None:
    with torch.device("meta"):
        network = from_timm(timm.create_model(name), 224)
    assert (network.params, network.macs) == (params, macs)
    assert parse_archdef(to_archdef(network)) == network


@pytest.mark.slow
def test_all_mobile_definitions_of_timm() -> None:
    """Two minutes on a quiet core, and 4 GiB."""
    outcomes = {name: compared(name).outcome for name in definitions()}
    assert len(outcomes) == 154
    assert set(outcomes.values()) == {"equal", "refused"}
    assert sum(outcome == "equal" for outcome in outcomes.values()) >= 137


def test_networks_of_torchvision() -> None:
    torchvision = pytest.importorskip("torchvision")
    theirs = torchvision.models.MobileNetV2(
        num_classes=5, inverted_residual_setting=[[1, 8, 1, 1], [6, 16, 2, 2], [3, 24, 1, 2]]
    )
    document = {
        **SMALL,
        "stem": 32,
        "head": 1280,
        "blocks": [["ds_r1_k3_s1_e1_c8"], ["ir_r2_k3_s2_e6_c16"], ["ir_r1_k3_s2_e3_c24"]],
    }
    randomize(theirs, 2).eval()
    assert_equal(theirs, imported(parse_archdef(document), tensors_of(theirs)))

    theirs = randomize(torchvision.models.mobilenet_v3_small(num_classes=5), 3).eval()
    published = json.loads(
        (Path(__file__).parents[2] / "search_spaces" / "networks" / "mobilenetv3-small-1.0.json").read_text()
    )
    ours = imported(parse_archdef(published), tensors_of(theirs))
    assert ours[0][0].norm.eps == 0.001
    assert_equal(theirs, ours)


def named(architecture: Architecture, names: Mapping[str, Mapping[str, str]], blocks: str) -> Tensors:
    """Random weights of a network of SMALL's kind by the names of another library."""
    network = randomize(build(architecture), 4).eval()
    tensors = tensors_of(network)
    found = {}
    for name, value in tensors.items():
        index, position, rest = name.split(".", 2)
        layer = architecture.layers[int(index)]
        node = layer.graph.nodes[int(position)].name
        module, _, tensor = rest.rpartition(".")
        place = "" if layer.kind in ("head", "conv") else blocks.format(int(index) - 1)
        found[f"{place}{names[layer.kind][f'{node}.{module}']}.{tensor}"] = value
    return found


EFFICIENTNET = {
    "conv": {"conv.conv": "_conv_stem", "conv.norm": "_bn0"},
    "head": {"conv.conv": "_conv_head", "conv.norm": "_bn1", "classifier.linear": "_fc"},
    "sepconv": {
        "depthwise.conv": "_depthwise_conv",
        "depthwise.norm": "_bn1",
        "project.conv": "_project_conv",
        "project.norm": "_bn2",
    },
}
EFFICIENTNET["mbconv"] = {
    **EFFICIENTNET["sepconv"],
    "expand.conv": "_expand_conv",
    "expand.norm": "_bn0",
    "excite.squeeze": "_se_reduce",
    "excite.excite": "_se_expand",
}
ONCE_FOR_ALL = {
    "conv": {"conv.conv": "first_conv.conv", "conv.norm": "first_conv.bn"},
    "head": {
        "conv.conv": "feature_mix_layer.conv",
        "conv.norm": "feature_mix_layer.bn",
        "classifier.linear": "classifier.linear",
    },
    "sepconv": {
        "depthwise.conv": "depth_conv.conv",
        "depthwise.norm": "depth_conv.bn",
        "project.conv": "point_linear.conv",
        "project.norm": "point_linear.bn",
    },
}
ONCE_FOR_ALL["mbconv"] = {
    **ONCE_FOR_ALL["sepconv"],
    "expand.conv": "inverted_bottleneck.conv",
    "expand.norm": "inverted_bottleneck.bn",
    "excite.squeeze": "depth_conv.se.fc.reduce",
    "excite.excite": "depth_conv.se.fc.expand",
}


@pytest.mark.parametrize(
    ("dialect", "names", "blocks", "conventions"),
    [
        ("efficientnet-pytorch", EFFICIENTNET, "_blocks.{}.", {"norm_eps": 1e-3, "padding": "same"}),
        ("once-for-all", ONCE_FOR_ALL, "blocks.{}.mobile_inverted_conv.", {}),
        ("once-for-all", ONCE_FOR_ALL, "blocks.{}.conv.", {}),
    ],
)
def test_names_of_other_libraries(
    dialect: str, names: Mapping[str, Mapping[str, str]], blocks: str, conventions: dict[str, Any]
) -> None:
    architecture = parse_archdef(SMALL)
    theirs = {name: np.asarray(value) for name, value in named(architecture, names, blocks).items()}
    shuffled = dict(sorted(theirs.items(), key=lambda item: item[0][::-1]))
    fitted = fit(architecture, shuffled)
    assert fitted.dialect == dialect
    assert {tuple(layer.conventions.items()) for layer in fitted.architecture.layers} == {tuple(conventions.items())}
    expected = tensors_of(randomize(build(architecture), 4))
    assert fitted.weights.keys() == expected.keys()
    assert all(np.array_equal(fitted.weights[name], expected[name]) for name in expected)


def small_tensors() -> tuple[Architecture, dict[str, np.ndarray]]:
    architecture = parse_archdef(SMALL)
    theirs = named(architecture, ONCE_FOR_ALL, "blocks.{}.mobile_inverted_conv.")
    return architecture, {name: np.asarray(value) for name, value in theirs.items()}


def test_weights_of_another_number_of_classes_bring_it() -> None:
    architecture, tensors = small_tensors()
    tensors["classifier.linear.weight"] = np.zeros((9, 24), np.float32)
    tensors["classifier.linear.bias"] = np.zeros(9, np.float32)
    assert fit(architecture, tensors).architecture.num_classes == 9


def test_what_does_not_fit_is_named() -> None:
    architecture, tensors = small_tensors()
    block = "blocks.1.mobile_inverted_conv."

    def told(changed: Mapping[str, Any]) -> str:
        with pytest.raises(ArchitectureError) as caught:
            fit(architecture, changed)
        return str(caught.value)

    wider = tensors | {f"{block}point_linear.conv.weight": np.zeros((24, 48, 1, 1), np.float32)}
    assert "layer 2 (mbconv), `project` conv takes weight 16×48×1×1" in told(wider)
    fewer = {name: value for name, value in tensors.items() if ".se." not in name}
    assert "layer 2 (mbconv), `excite` squeeze takes weight 2×48×1×1 and bias 2, but" in told(fewer)
    shorter = {name: value for name, value in tensors.items() if not name.startswith("classifier")}
    assert "missing" in told(shorter)
    again = {f"blocks.9{name.removeprefix('blocks.2')}": tensors[name] for name in tensors if "blocks.2" in name}
    assert "the weights are of another network" in told(tensors | again)
    assert "Names of weights are those of torchvision, timm" in told({"encoder.0.weight": np.zeros(3, np.float32)})
    lost = {name: value for name, value in tensors.items() if "1.mobile_inverted_conv.depth_conv.bn" not in name}
    assert "Names of weights are those of" in told(lost)


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch evil",)


def test_files_of_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = {"0.weight": torch.ones(2, 3, dtype=torch.float16), "1.num_batches_tracked": torch.tensor(7)}
    for name, content in {
        "plain.pth": state,
        "wrapped.pt": {"state_dict": state, "epoch": 3, "optimizer": {}},
        "parallel.bin": {f"module.{name}": value for name, value in state.items()},
    }.items():
        torch.save(content, name)
        found = read_state_dict(Path(name))
        assert list(found) == ["0.weight"]
        assert found["0.weight"].dtype == np.float32
    refused = {
        "evil.pth": ({"state_dict": state, "hook": Evil()}, "more than tensors"),
        "two.pth": ({"a": state, "b": state}, "one state dict"),
        "none.pth": ({"epoch": 3}, "one state dict"),
        "whole.pth": ({"0.weight": torch.ones(2, dtype=torch.int64)}, "floating-point"),
        "nan.pth": ({"0.weight": torch.full((2,), float("nan"))}, "not finite"),
    }
    for name, (content, rule) in refused.items():
        torch.save(content, name)
        with pytest.raises(ArchitectureError, match=rule):
            read_state_dict(Path(name))
    assert not Path("evil").exists()
    for name, content in {"broken.pth": b"PK\x03\x04", "text.safetensors": b"hello world", "empty.pth": b""}.items():
        Path(name).write_bytes(content)
        with pytest.raises(ArchitectureError, match="this is no"):
            read_state_dict(Path(name))


def test_the_command_writes_a_network_that_others_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    architecture, tensors = small_tensors()
    Path("net.json").write_text(json.dumps(SMALL))
    torch.save({name: torch.from_numpy(value) for name, value in tensors.items()}, "mine.pth")
    run = CliRunner().invoke(cli, ["import", "mine.pth", "--network", "net.json", "--out", "mine", "--json"])
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert told["params"] == architecture.params
    assert told["dialect"] == "once-for-all"
    config = json.loads(Path("mine/config.json").read_text())
    assert config["weights"] == "trained"
    assert config["pictures"] == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "classes": []}
    assert CliRunner().invoke(cli, ["export", "mine", "--format", "onnx,torch,hf", "--out", "out"]).exit_code == 0


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["mine.pth"], "--network says which network"),
        (["timm:resnet18", "--network", "net.json"], "leave --network out"),
        (["mine.pth", "--network", "net.json", "--weights", "mine.pth"], "--weights goes with timm:NAME"),
        (["timm:mobilenetv9", "--weights", "mine.pth"], "has no model"),
        (["lost.pth", "--network", "net.json"], "cannot be read"),
        (["hub"], "a folder with weights has"),
        (["mine.pth", "--network", "net.json", "--out", "hub"], "there are files in this folder"),
    ],
)
def test_wrong_requests(words: list[str], rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.json").write_text(json.dumps(SMALL))
    Path("hub").mkdir()
    Path("hub/config.json").write_text("{}")
    torch.save({"0.weight": torch.ones(2)}, "mine.pth")
    out = () if "--out" in words else ("--out", "out")
    with pytest.raises(NasError, match=rule):
        CliRunner().invoke(cli, ["import", *words, *out], catch_exceptions=False, standalone_mode=False)
    assert not Path("out").exists()

"""Networks with weights from elsewhere give the outputs of their own code.

Four files of weights trained on ImageNet (`--weights` names their folder; they are no part of the project) are imported
and held against independent code: torchvision's own MobileNetV2, and the others computed here with torch's functions
straight from the tensors, by the names that their authors gave. Then models of timm with random weights, biases and
statistics, by their own state dicts, branches merged. Outputs agree to 1e-4 of the largest, MACs with fvcore's count,
parameters with those of the network as it is trained.

    python experiments/imports.py --weights ../shared/data/weights
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from nas.blocks.build import build
from nas.cost.recount import COUNTED
from nas.formats.timm_network import timm_model
from nas.runs.importing import import_network

BOUND = 1e-4
TIMM = (
    *("mobilenetv2_100", "mobilenetv2_140", "mnasnet_100", "semnasnet_100", "fbnetc_100", "spnasnet_100", "tinynet_a"),
    *("mobilenetv3_large_100", "mobilenetv3_small_075", "mobilenetv3_rw", "tf_mobilenetv3_large_minimal_100"),
    *("tf_efficientnet_lite0", "efficientnet_b0", "tf_efficientnet_b0", "efficientnet_es", "tf_efficientnetv2_b0"),
    *("hardcorenas_a", "mobileone_s0", "mobileone_s4", "repvgg_a0", "repvgg_b1g4", "ghostnet_100", "ghostnetv2_100"),
    *("fasternet_t0", "efficientformer_l1", "shvit_s1"),
)
Network = Callable[[Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True, help="The folder of the four files.")
    parser.add_argument("--timm", nargs="*", default=TIMM, help="Models of timm; none leaves them out.")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    print(f"{'network':40} {'largest difference':>18} {'parameters':>11} {'MACs':>14}  equal")
    failed = False
    for name, network, theirs, params in trained(arguments.weights):
        ours = import_network(str(arguments.weights / f"{name}.safetensors"), network=network)
        failed |= not compared(name, ours.architecture, ours.fitted.weights, theirs, params)
    for name in arguments.timm:
        model = randomized(timm_model(name, pretrained=False))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "weights.pth")
            torch.save(model.state_dict(), file)
            ours = import_network(f"timm:{name}", weights=file)
        params = sum(parameter.numel() for parameter in model.parameters())
        failed |= not compared(f"timm:{name}", ours.architecture, ours.fitted.weights, model, params)
    sys.exit(int(failed))


def compared(name: str, architecture: Any, weights: Any, theirs: Network, params: int) -> bool:
    """Prints one line; whether all of it agrees."""
    network = build(architecture).eval()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()}, strict=False)
    shape = (architecture.channels, architecture.height, architecture.width)
    x = torch.randn(4, *shape)
    with torch.inference_mode():
        expected, got = theirs(x), network(x)
    difference = float((expected - got).abs().max() / expected.abs().max())
    counter = FlopCountAnalysis(network, x[:1]).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counted = sum(counter.by_operator()[kind] for kind in COUNTED)
    equal = difference <= BOUND and architecture.for_training().params == params and architecture.macs == counted
    told = f"{architecture.params:>11,} {architecture.macs:>14,}"
    print(f"{name:40} {difference:18.1e} {told}  {'yes' if equal else 'NO'}", flush=True)
    return equal


def trained(folder: Path) -> list[tuple[str, str, Network, int]]:
    """Name of the file, network, what its own code computes, and its parameters."""
    timm_model("mobilenetv2_100", pretrained=False)  # makes torchvision importable, whatever it was built for
    import torchvision

    mobilenet = torchvision.models.mobilenet_v2()
    mobilenet.load_state_dict(load_file(folder / "mobilenet_v2-imagenet.safetensors"), strict=False)
    lite = load_file(folder / "efficientnet_lite0-imagenet.safetensors")
    found: list[tuple[str, str, Network, int]] = [
        ("mobilenet_v2-imagenet", "mobilenetv2-1.0", mobilenet.eval(), 3_504_872),
        ("efficientnet_lite0-imagenet", "efficientnet-lite0", lambda x: efficientnet_lite(lite, x), 4_652_008),
    ]
    for name, params in (("proxyless-w0.25-r112_imagenet", 569_600), ("proxyless-w0.3-r176_imagenet", 754_280)):
        tensors = load_file(folder / f"{name}.safetensors")
        document = json.loads((folder / f"{name}.json").read_text())
        found.append((name, str(folder / f"{name}.json"), _proxyless(tensors, document), params))
    return found


def efficientnet_lite(tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    """EfficientNet-Lite0 as efficientnet-pytorch computes it: ReLU6, TensorFlow's padding, epsilon 0.001."""

    def conv(x: Tensor, module: str, norm: str, stride: int, activate: bool) -> Tensor:
        weight = tensors[f"{module}.weight"]
        _, per_group, kernel, _ = weight.shape
        missing = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in (x.shape[3], x.shape[2])]
        x = F.pad(x, [side for total in missing for side in (total // 2, total - total // 2)])
        x = F.conv2d(x, weight, None, stride, groups=x.shape[1] // per_group)
        x = normalised(tensors, norm, x, 1e-3)
        return F.relu6(x) if activate else x

    x = conv(x, "_conv_stem", "_bn0", 2, True)
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    for place, stride in enumerate(strides):
        block, y = f"_blocks.{place}", x
        if f"{block}._expand_conv.weight" in tensors:
            y = conv(y, f"{block}._expand_conv", f"{block}._bn0", 1, True)
        y = conv(y, f"{block}._depthwise_conv", f"{block}._bn1", stride, True)
        y = conv(y, f"{block}._project_conv", f"{block}._bn2", 1, False)
        x = x + y if stride == 1 and x.shape == y.shape else y
    x = conv(x, "_conv_head", "_bn1", 1, True).mean((2, 3))
    return F.linear(x, tensors["_fc.weight"], tensors["_fc.bias"])


def _proxyless(tensors: dict[str, Tensor], document: dict[str, Any]) -> Network:
    """A network as ProxylessNAS computes it, by its own file."""
    eps = document["bn"]["eps"]

    def conv(x: Tensor, module: str, stride: int, activate: bool) -> Tensor:
        weight = tensors[f"{module}.conv.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = F.conv2d(x, weight, None, stride, weight.shape[2] // 2, groups=groups)
        x = normalised(tensors, f"{module}.bn", x, eps)
        return F.relu6(x) if activate else x

    def network(x: Tensor) -> Tensor:
        x = conv(x, "first_conv", document["first_conv"]["stride"], True)
        for place, block in enumerate(document["blocks"]):
            settings = block["mobile_inverted_conv"]
            if settings["name"] == "ZeroLayer":
                continue
            name, y = f"blocks.{place}.mobile_inverted_conv", x
            if f"{name}.inverted_bottleneck.conv.weight" in tensors:
                y = conv(y, f"{name}.inverted_bottleneck", 1, True)
            y = conv(y, f"{name}.depth_conv", settings["stride"], True)
            y = conv(y, f"{name}.point_linear", 1, False)
            x = y if block["shortcut"] is None else x + y
        if document["feature_mix_layer"] is not None:
            x = conv(x, "feature_mix_layer", 1, True)
        x = x.mean((2, 3))
        return F.linear(x, tensors["classifier.linear.weight"], tensors["classifier.linear.bias"])

    return network


def normalised(tensors: dict[str, Tensor], name: str, x: Tensor, eps: float) -> Tensor:
    """Batch normalisation with the statistics of a file."""
    mean, variance, weight, bias = (
        tensors[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)


def randomized(model: nn.Module) -> nn.Module:
    """Weights, biases and statistics that are all different."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point():
                tensor.normal_(0, tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.5)
    return model.eval()


if __name__ == "__main__":
    main()

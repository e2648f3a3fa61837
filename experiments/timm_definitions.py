"""Every mobile definition of timm is read as the network that timm builds, or refused by name.

Of all models in timm's `efficientnet.py`, `mobilenetv3.py` and `hardcorenas.py`: parameters against timm's, MACs
against fvcore's count of timm's own modules, and outputs for random weights, biases and statistics, which agree to 1e-5
of the largest. Pictures are small, so that all of them take a few minutes: it is the same network at any size.

    python experiments/timm_definitions.py
    python experiments/timm_definitions.py mobilenetv4_conv_small lcnet_100 --resolution 224
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from nas.blocks.build import build
from nas.cost.recount import COUNTED
from nas.errors import ArchitectureError
from nas.formats.dialects import fit
from nas.formats.timm_network import from_timm, timm_model, timm_tensors

MODULES = ("efficientnet", "mobilenetv3", "hardcorenas")
BOUND = 1e-5
RESOLUTION = 64


@dataclass(frozen=True)
class Compared:
    """One definition of timm's and what is read of it."""

    outcome: str
    """`equal`, `refused`, or what is not equal."""
    params: int = 0
    macs: int = 0
    difference: float = 0.0
    """Of outputs, the largest, relative to the largest output."""
    reason: str = ""
    """Of a refusal."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="Models of timm; by default all of the three files.")
    parser.add_argument("--resolution", type=int, default=RESOLUTION, help="Of the pictures, in pixels.")
    arguments = parser.parse_args()
    print(f"{'definition':38} {'parameters':>11} {'MACs':>14} {'difference':>10}  outcome", flush=True)
    outcomes = Counter[str]()
    for name in arguments.names or definitions():
        found = compared(name, arguments.resolution)
        outcomes[found.outcome] += 1
        numbers = f"{found.params:>11,} {found.macs:>14,} {found.difference:10.1e}"
        print(f"{name:38} {numbers}  {found.outcome} {found.reason}".rstrip(), flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()))
    sys.exit(int(bool(outcomes.keys() - {"equal", "refused"})))


def definitions() -> list[str]:
    """Names of all models of the three files."""
    timm_model("lcnet_035", pretrained=False)  # makes timm importable, whatever torchvision was built for
    import timm

    return [name for module in MODULES for name in timm.list_models(module=module)]


def compared(name: str, resolution: int = RESOLUTION) -> Compared:
    """One definition, held against timm's own modules with pictures of this size."""
    theirs = randomized(timm_model(name, pretrained=False))
    try:
        architecture = from_timm(theirs, resolution)
    except ArchitectureError as problem:
        return Compared("refused", reason=f"({problem})")
    fitted = fit(architecture, timm_tensors(theirs))
    ours = build(fitted.architecture).eval()
    ours.load_state_dict({key: torch.from_numpy(value) for key, value in fitted.weights.items()}, strict=False)
    x = torch.randn(2, architecture.channels, resolution, resolution, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = theirs(x)
        difference = float((ours(x) - expected).abs().max() / expected.abs().max())
    wrong = [
        what
        for what, right in (
            ("parameters", architecture.params == sum(parameter.numel() for parameter in theirs.parameters())),
            ("MACs", architecture.macs == counted(theirs, x[:1])),
            ("outputs", difference <= BOUND),
        )
        if not right
    ]
    outcome = f"other {' and '.join(wrong)}" if wrong else "equal"
    return Compared(outcome, architecture.params, architecture.macs, difference)


def counted(network: nn.Module, x: torch.Tensor) -> int:
    """Its MACs by fvcore, those of products in attention among them."""
    for module in network.modules():
        if hasattr(module, "fused_attn"):  # one operator, which fvcore does not know
            module.fused_attn = False  # type: ignore[assignment]
    counter = FlopCountAnalysis(network, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return sum(counter.tracer_warnings("none").by_operator()[kind] for kind in COUNTED)


def randomized(model: nn.Module) -> nn.Module:
    """Weights, biases and statistics that are all different, and keep the size of values."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.is_floating_point():
                tensor.normal_(0, tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.5, generator=generator)
    return model.eval()


if __name__ == "__main__":
    main()

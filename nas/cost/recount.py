"""Recount: MACs and parameters of a network by fvcore, from its torch module, instead of by arithmetic on layers."""

from __future__ import annotations

from nas.blocks.architecture import Architecture

COUNTED = ("conv", "linear", "addmm", "matmul", "bmm", "einsum")
"""Operators whose multiply-accumulates are counted here, too; fvcore also counts normalisation and pooling."""
MOST_MACS = 10_000_000_000
"""The module is run on a picture, which takes half a minute for so many."""


def differences(architecture: Architecture) -> list[str]:
    """Where fvcore counts the torch module otherwise than we do: a line each for MACs and parameters."""
    import torch
    from fvcore.nn import FlopCountAnalysis

    from nas.blocks.build import build

    if architecture.macs > MOST_MACS:
        return [f"fvcore runs a network to count it; for {architecture.macs:,} MACs that takes long, and is left out."]
    network = build(architecture).eval()
    picture = torch.zeros(1, architecture.channels, architecture.height, architecture.width)
    with torch.no_grad():
        analysis = FlopCountAnalysis(network, picture).tracer_warnings("none")
        counted = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).by_module_and_operator()
    macs = [sum(counted[str(index)][name] for name in COUNTED) for index in range(len(architecture.layers))]
    params = [sum(parameter.numel() for parameter in layer.parameters()) for layer in network]
    told = []
    for what, ours, theirs in (
        ("MACs", [layer.macs for layer in architecture.layers], macs),
        ("parameters", [layer.params for layer in architecture.layers], params),
    ):
        other = [index for index, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
        if other:
            first = other[0]
            told.append(
                f"fvcore counts {sum(theirs):,} {what} in the torch module, nas {sum(ours):,}. {len(other)} layer(s) "
                f"differ, first layer {first} ({architecture.layers[first].kind}): {theirs[first]:,}, not "
                f"{ours[first]:,}. A kind of layer counts otherwise than it computes: see nas/blocks/."
            )
    return told

"""A kind of layer of one's own, and the program `nas` with it: `python bottleneck.py search --space …`."""

from nas.blocks.kinds import KINDS, Kind
from nas.blocks.ops import Conv


def bottleneck(layer):
    """Narrow to a quarter, convolve, widen (arXiv:1512.03385), without an activation after the sum."""
    inner = layer.out_channels // 4
    return (
        Conv(layer.in_channels, inner, activation=layer.activation),
        Conv(inner, inner, layer.kernel, layer.stride, activation=layer.activation),
        Conv(inner, layer.out_channels),
    )


KINDS["bottleneck"] = Kind(bottleneck, frozenset({"kernel", "stride", "activation", "residual"}))

if __name__ == "__main__":
    from nas.cli import main

    main()

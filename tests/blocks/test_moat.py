"""MOAT's block, in the networks of its paper."""

from __future__ import annotations

import pytest

from nas.blocks import Architecture, Layer

DEPTHS = (2, 3, 7, 2)


def tiny_moat(width: int) -> Architecture:
    """A tiny-MOAT, whose stages are 1, 2, 4 and 8 times as wide as its stem (arXiv:2210.01820, section 3; deeplab2's
    `moat.py`): heads of 32 channels, squeeze-and-excitation where there are none, positions by offset."""
    first = Layer(kind="conv", in_channels=3, out_channels=width, kernel=3, stride=2, height=224, width=224)
    layers = [first, Layer(kind="conv", in_channels=width, out_channels=width, kernel=3, height=112, width=112)]
    for stage, depth in enumerate(DEPTHS):
        out = width * 2**stage
        heads = {"heads": out // 32, "key_channels": 32, "value_channels": 32, "positions": "offset"}
        for place in range(depth):
            channels, *size = layers[-1].output
            layers.append(
                Layer(
                    kind="moat",
                    in_channels=channels,
                    out_channels=out,
                    mid_channels=4 * out,
                    kernel=3,
                    stride=1 if place else 2,
                    activation="gelu",
                    height=size[0],
                    width=size[1],
                    **(heads if stage > 1 else {"se_channels": out // 4}),
                )
            )
    channels, *size = layers[-1].output
    layers.append(Layer(kind="norm_head", in_channels=channels, out_channels=1000, height=size[0], width=size[1]))
    return Architecture(3, 224, 224, tuple(layers))


@pytest.mark.parametrize(
    ("width", "params"), [(32, 3_355_348), (40, 5_122_895), (56, 9_772_741), (80, 19_534_390)], ids="0123"
)
def test_tiny_moats_have_the_parameters_of_the_authors_code(width: int, params: int) -> None:
    """3.4, 5.1, 9.8 and 19.5 M in the paper."""
    assert tiny_moat(width).params == params

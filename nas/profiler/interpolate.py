"""A block model of a measured table: answers for layers without a row, with its leave-one-out error as the band."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nas.blocks.block import is_head
from nas.blocks.convolution import Conv
from nas.blocks.layer import Layer
from nas.tables.model import BANDS, FEATURES, BlockModel, Range, features, fit_coefficients, work

T = TypeVar("T", int, str)

FOLDS = 40
"""At most this many fits without a part of the rows; with fewer rows each is left out alone."""
MARGIN = 1.5
"""Widths outside the measured ones by up to this factor are answered."""
OUTSIDE_PCT = 20.0
"""What is added to the band, as squares, outside the measured widths. A guess, and told as part of the band."""
BAND_SHARE = 0.9
"""Of the rows, when left out, that lie within the band."""


def interpolator(
    layers: Sequence[Layer], ms: NDArray[np.float64], resolutions: Iterable[int]
) -> tuple[BlockModel, float]:
    """The model of measured layers, of networks of these resolutions, and its mean error in percent on those left
    out."""
    asked_for = (name for layer in layers for name in work(layer) if name != "heads")  # the few heads say it themselves
    names = tuple(dict.fromkeys((*FEATURES, *asked_for)))
    asked = features(layers, names)
    errors = _left_out(asked, ms, names)
    parts = dict.fromkeys(BANDS, 0.0) | {"block": float(np.quantile(errors, BAND_SHARE)), "width": OUTSIDE_PCT}
    coefficients = fit_coefficients(asked, ms, {}, names)
    model = BlockModel(coefficients=coefficients, range=_range(layers, resolutions), band_pct=parts)
    return model, float(errors.mean())


def _left_out(asked: NDArray[np.float64], ms: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.float64]:
    """Percent, float64[N]: how far off each row is by a model that was fitted without it."""
    folds = np.random.default_rng(0).permutation(len(ms)) % min(FOLDS, len(ms))
    errors = np.zeros(len(ms))
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        if out.all():
            return np.full(len(ms), 100.0)
        coefficients = fit_coefficients(asked[~out], ms[~out], {}, names)
        errors[out] = 100 * np.abs(asked[out] @ [coefficients[name] for name in names] / ms[out] - 1)
    return errors


def _range(layers: Sequence[Layer], resolutions: Iterable[int]) -> Range:
    blocks = [layer for layer in layers if layer.kind in {"mbconv", "sepconv"}]
    heads = [layer for layer in layers if is_head(layer.kind)]
    plain = [layer for layer in layers if layer not in set(blocks) | set(heads)]
    bodies = [layer for layer in layers if layer not in set(heads)] or list(layers)
    widths = [w for layer in bodies for w in (layer.in_channels, layer.out_channels) if w != 3] or [3]
    mids = [layer.mid_channels for layer in layers if layer.mid_channels and layer.kind != "sepconv"] or [1]
    classes = [layer.out_channels for layer in heads] or [1]
    dense = {op.kernel for layer in plain for op in (layer, *layer.graph.ops()) if isinstance(op, Conv | Layer)}
    return Range(
        kinds=_sorted(layer.kind for layer in layers),
        resolutions=_sorted(resolutions),
        depthwise_kernels=_sorted(layer.kernel for layer in blocks) or (3,),
        dense_kernels=_sorted({1} | dense),
        strides=_sorted(layer.stride for layer in layers),
        groups=_sorted(layer.groups for layer in layers),
        activations=_sorted(layer.activation for layer in layers),
        channels=_widened(widths),
        mid_channels=_widened(mids),
        classes=_widened(classes),
        fitted_channels=(min(widths), max(widths)),
        fitted_mid_channels=(min(mids), max(mids)),
        precisions=_sorted(layer.precision for layer in layers),
    )


def _sorted(values: Iterable[T]) -> tuple[T, ...]:
    return tuple(sorted(set(values)))


def _widened(values: Sequence[int]) -> tuple[int, int]:
    return max(1, int(min(values) / MARGIN)), int(max(values) * MARGIN)

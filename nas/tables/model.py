"""Block model: the latency of a layer as a non-negative sum over the work it does.

A layer is a graph of ops (`nas.blocks`); each adds to a few features, in millions:

    dense           MACs of pointwise and other full convolutions
    depthwise3/5/7  MACs of depthwise convolutions by kernel; taps on padding are not counted, runtimes skip them
    traffic         values read and written by convolutions and pooling; a k×k convolution reads its k×k patches
    weights         weights of convolutions, read (and packed) once a picture
    linear          weights of fully connected layers, also of the two inside squeeze-and-excitation; MACs of an eca
    gated           values that squeeze-and-excitation pools and multiplies
and, as plain counts,
    gates           squeeze-and-excitations
    operators       operations that a runtime is called for, without those of squeeze-and-excitation
A model may have another:
    grouped         values read and written by full convolutions in groups, in millions
    activated       values that convolutions give to an activation other than ReLU and ReLU6, in millions
    matmul          MACs of attention, between pixels, in millions
    softmax         scores of attention, in millions
    heads           heads: what a network takes beyond its layers, where it was fitted on whole networks

`BlockModel` holds a coefficient for each and the range in which it answers. It is data in the header of a latency
table, fitted by `fit_coefficients` from the measured rows of a device.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from math import hypot, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.blocks.block import absent, is_head, timed_columns
from nas.blocks.layer import KEY_COLUMNS
from nas.blocks.precision import PRECISIONS
from nas.errors import LatencyMissing, TableError

if TYPE_CHECKING:
    from nas.blocks.layer import Layer

FEATURES = (
    "dense",
    "depthwise3",
    "depthwise5",
    "depthwise7",
    "traffic",
    "weights",
    "linear",
    "gated",
    "gates",
    "operators",
)
"""Columns of `features`, and keys of a model's coefficients: ms per million, or ms each for the last two."""

BANDS = ("block", "expansion1", "kernel7", "gate", "width", "plain")
"""Parts of the error band, % of a layer's latency: see `BlockModel.band_pct`."""

_COUNTS = frozenset({"gates", "operators", "heads"})
_COVERED = frozenset(
    {
        *(*KEY_COLUMNS, "projection", "head_bias", "classifier_bias"),
        *("heads", "key_channels", "value_channels", "window", "positions", "part_channels", "layer_scale"),
        *("anti_alias", "start_kernel", "key_dim", "key_stride", "kernels", "project_groups", "excitation"),
        *("head_norm", "norm_kind", "pool_first", "classifiers", "dfc", "n_div", "pooling", "rank_channels"),
    }
)
"""Columns that a range bounds, or whose work is in the features."""
_OPTIONAL = frozenset({"grouped", "activated", "heads"})
"""Features that a model may lack: those before 2 had none of them."""


def features(layers: Iterable[Layer], names: Sequence[str] = FEATURES) -> NDArray[np.float64]:
    """float64[N, F]: what each layer asks of a device, a column for each name.

    Raises `LatencyMissing` for a layer that asks for what is not among them.
    """
    rows = [work(layer) for layer in layers]
    for row in rows:
        if reason := _foreign(row, names):
            raise LatencyMissing(reason)
    table = np.array([[row.get(name, 0) for name in names] for row in rows], dtype=np.float64)
    return table.reshape(-1, len(names)) * [1.0 if name in _COUNTS else 1e-6 for name in names]


def work(layer: Layer) -> dict[str, int]:
    """What a layer asks of a device, by feature: the sum over its ops."""
    total: dict[str, int] = {"heads": 1} if is_head(layer.kind) else {}
    for node in layer.graph.nodes:
        for name, amount in node.op.work(*node.shapes).items():
            total[name] = total.get(name, 0) + amount
    return total


def _foreign(row: Mapping[str, int], names: Sequence[str]) -> str | None:
    """None where a model of these features has all that a layer asks for, else what is not among them."""
    other = next((name for name, amount in row.items() if amount and name not in {*names, *_OPTIONAL}), None)
    if other is None:
        return None
    if other.startswith("depthwise"):
        known = [name.removeprefix("depthwise") for name in names if name.startswith("depthwise")]
        kernels = f"{', '.join(known[:-1])} and {known[-1]}" if len(known) > 1 else "".join(known) or "none"
        return f"A block model knows depthwise kernels {kernels}, got {other.removeprefix('depthwise')}."
    return f"This block model knows {', '.join(names)}, got {other}."


def fit_coefficients(
    work: NDArray[np.float64],
    measured_ms: NDArray[np.float64],
    given: Mapping[str, float],
    names: Sequence[str] = FEATURES,
) -> dict[str, float]:
    """Non-negative coefficients for rows of `features` of these names, least squares of the relative error.

    `given` coefficients are held; features that no row has stay at 0 unless they are given.
    """
    from scipy.optimize import nnls

    free = [index for index, name in enumerate(names) if name not in given]
    held = np.array([given.get(name, 0.0) for name in names])
    solution, _ = nnls(work[:, free] / measured_ms[:, None], 1 - work @ held / measured_ms)
    held[free] = solution
    return dict(zip(names, held.tolist(), strict=True))


@dataclass(frozen=True, kw_only=True)
class Range:
    """Where a model answers. Widths have two intervals: the fitted one, and, with its margin, the answered one."""

    kinds: tuple[str, ...]
    resolutions: tuple[int, ...]
    """Sizes of the input picture, in pixels; layers see them halved up to five times."""
    depthwise_kernels: tuple[int, ...]
    dense_kernels: tuple[int, ...]
    """Kernels of plain convolutions."""
    strides: tuple[int, ...]
    groups: tuple[int, ...]
    activations: tuple[str, ...]
    channels: tuple[int, int]
    """Least and most input and output channels."""
    mid_channels: tuple[int, int]
    """Least and most expanded channels, and features of a head."""
    classes: tuple[int, int]
    """Least and most outputs of a head."""
    fitted_channels: tuple[int, int]
    fitted_mid_channels: tuple[int, int]
    precisions: tuple[str, ...] = PRECISIONS[:1]
    """Of the layers that are answered. A device that runs networks in 8 bits also answers for float32 ones, as they are
    quantised for it."""

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Heights and widths of a layer's input, in pixels."""
        return tuple(
            sorted({-(-size // 2**halvings) for size in self.resolutions for halvings in range(6)}, reverse=True)
        )

    def refusal(self, layer: Layer, whole: bool = False) -> str | None:
        """None inside the range, else one line that names the limit and what came; of `whole` networks' pictures, too,
        which are not halved."""
        head = is_head(layer.kind)
        depthwise = layer.kind in {"mbconv", "sepconv"}
        sizes = self.resolutions
        pixels = " or ".join(map(str, sizes)) if len(sizes) < 4 else f"{min(sizes)} to {max(sizes)}"
        where = f"{layer.kind} layer in a {pixels} px network"
        seen = sizes if whole and layer.in_channels == 3 else self.sizes
        allowed: list[tuple[str, object, tuple[object, ...]]] = [
            ("kind", layer.kind, self.kinds),
            ("height", layer.height, seen),
            ("width", layer.width, seen),
            ("kernel", layer.kernel, self.depthwise_kernels if depthwise else self.dense_kernels),
            ("stride", layer.stride, self.strides),
            ("groups", layer.groups, self.groups),
            ("activation", layer.activation, self.activations),
            ("precision", layer.precision, self.precisions),
        ]
        for name, value, options in allowed:
            if value not in options:
                words = [*map(str, options)]
                words = words if len(words) < 13 else [*words[:3], f"… {words[-1]}"]
                return f"`{name}` of a {where} is one of {', '.join(words)}, got {value}."
        for name in timed_columns(type(layer.block)).keys() - _COVERED:
            if getattr(layer, name) != absent(name):
                return f"`{name}` of a {where} stays {absent(name)!r} for a block model, got {getattr(layer, name)!r}."
        limits = [("out_channels", layer.out_channels, self.classes if head else self.channels)]
        if layer.in_channels != 3:  # a picture
            limits.append(("in_channels", layer.in_channels, self.channels))
        if layer.mid_channels and layer.kind != "sepconv":
            limits.append(("mid_channels", layer.mid_channels, self.mid_channels))
        if layer.kind == "tucker":
            limits.append(("rank_channels", layer.rank_channels, self.mid_channels))
        for name, value, (least, most) in limits:
            if not least <= value <= most:
                return f"`{name}` of a {where} lies in {least}..{most}, got {value}."
        return None

    def fitted(self, layer: Layer) -> bool:
        """Whether the layer's widths are among those that blocks were fitted on."""
        least, most = self.fitted_channels
        head = is_head(layer.kind)
        inside = all(
            least <= width <= most or width == 3 for width in (layer.in_channels, least if head else layer.out_channels)
        )
        least, most = self.fitted_mid_channels
        return inside and (layer.kind != "mbconv" or least <= layer.mid_channels <= most)


@dataclass(frozen=True, kw_only=True)
class BlockModel:
    """A fitted latency for layers that no row answers, inside a range."""

    coefficients: Mapping[str, float]
    """ms per million of each feature (ms each for `gates` and `operators`), none negative."""
    range: Range
    band_pct: Mapping[str, float]
    """Error band by its parts, %: `block` always; `expansion1`, `kernel7`, `gate`, `width` (outside the fitted widths)
    and `plain` (stems, heads, plain convolutions) where they apply. Parts of one layer add as squares."""

    def predict(self, layers: Sequence[Layer]) -> NDArray[np.float64]:
        """float64[N], ms. The range is not checked: ask `covers` first."""
        latency: NDArray[np.float64] = features(layers, tuple(self.coefficients)) @ list(self.coefficients.values())
        return latency

    def covers(self, layer: Layer) -> str | None:
        """None where the model answers, else one line that names the limit and what came."""
        whole = "heads" in self.coefficients
        return self.range.refusal(layer, whole) or _foreign(work(layer), tuple(self.coefficients))

    def band(self, layers: Iterable[Layer]) -> NDArray[np.float64]:
        """float64[N]: half-width of the error band, % of each layer's latency."""
        return np.array([hypot(*(self.band_pct[part] for part in self._parts(layer))) for layer in layers])

    def _parts(self, layer: Layer) -> list[str]:
        applies = {
            "block": True,
            "expansion1": layer.kind == "sepconv",
            "kernel7": layer.kernel == 7,
            "gate": layer.gated,
            "width": not self.range.fitted(layer),
            "plain": layer.kind not in {"mbconv", "sepconv"} or layer.projection,
        }
        return [part for part in BANDS if applies[part]]

    def to_header(self) -> dict[str, Any]:
        """The `model` entry of a table's header; `from_header` is the inverse."""
        limits = {name: list(value) for name, value in asdict(self.range).items()}
        if self.range.precisions == Range.precisions:
            del limits["precisions"]  # older headers stay what they are
        return {"coefficients": dict(self.coefficients), "range": limits, "band_pct": dict(self.band_pct)}

    @classmethod
    def from_header(cls, entry: Any, where: str = "header") -> BlockModel:
        """The model in a table's header. Raises `TableError`, with `where` in front, for what breaks a rule."""
        parts = _keys(entry, ("coefficients", "range", "band_pct"), f"{where}: model")
        return cls(
            coefficients=_coefficients(parts["coefficients"], f"{where}: model.coefficients"),
            range=_range(parts["range"], f"{where}: model.range"),
            band_pct=_amounts(parts["band_pct"], BANDS, f"{where}: model.band_pct"),
        )


_INTERVALS = ("channels", "mid_channels", "classes", "fitted_channels", "fitted_mid_channels")
_WORDS = ("kinds", "activations", "precisions")


def _range(entry: Any, where: str) -> Range:
    if isinstance(entry, dict):
        entry = {"precisions": list(Range.precisions), **entry}
    limits = _keys(entry, tuple(field.name for field in fields(Range)), where)
    for name, values in limits.items():
        of, what = (str, "words") if name in _WORDS else (int, "whole numbers")
        if not isinstance(values, list) or not values or any(type(value) is not of for value in values):
            raise TableError(f"{where}.{name} is a list of {what}, got {repr(values)[:80]}.")
        if name in _INTERVALS and (len(values) != 2 or values[0] > values[1]):
            raise TableError(f"{where}.{name} is a least and a most, got {values!r}.")
    return Range(**{name: tuple(values) for name, values in limits.items()})


def _coefficients(entry: Any, where: str) -> dict[str, float]:
    """Of any features: those that `nas` did not know when the header was written are of ops that it did not know."""
    names = tuple(map(str, entry)) if isinstance(entry, dict) else FEATURES
    if not names or not all(re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) for name in names):
        raise TableError(f"{where} has a number for each feature, named in small letters, got {repr(names)[:200]}.")
    ordered = (*(name for name in FEATURES if name in names), *(name for name in names if name not in FEATURES))
    return _amounts(entry, ordered, where)


def _amounts(entry: Any, names: tuple[str, ...], where: str) -> dict[str, float]:
    amounts = _keys(entry, names, where)
    for name, value in amounts.items():
        if type(value) not in (int, float) or not isfinite(value) or value < 0:
            raise TableError(f"{where}.{name} is a finite number of at least 0, got {value!r}.")
    return {name: float(amounts[name]) for name in names}


def _keys(entry: Any, names: tuple[str, ...], where: str) -> dict[str, Any]:
    if not isinstance(entry, dict) or entry.keys() != set(names):
        got = repr(sorted(map(str, entry)) if isinstance(entry, dict) else entry)[:200]
        raise TableError(f"{where} has exactly {', '.join(names)}, got {got}.")
    return entry

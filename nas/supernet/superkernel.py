"""Superkernel: one weight a layer, of which kernels, expansions and widths are slices (arXiv:1904.02877, section 3).

A smaller kernel is the centre of the largest, fewer channels are the first ones; an expansion of 1 passes the expansion
convolution by, a skipped layer the whole block; squeeze-and-excitation can be left out. Candidates whose operations
differ in more than that (grouped pointwise convolutions, another activation, a plain convolution beside a bottleneck)
are forms of their own, which share what has the same shape and place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, linear

from nas.blocks.kinds import KINDS, ops
from nas.blocks.layer import Layer
from nas.blocks.modules import ACTIVATIONS, GATES
from nas.blocks.ops import Conv, Linear, Op, Pool, SqueezeExcite
from nas.space.space import Space
from nas.supernet.supernet import Genotype, Supernet, fitted, scale_of, widened

_ACT = {name: module(inplace=True) for name, module in ACTIVATIONS.items()} | {"none": nn.Identity()}
_GATE = {name: module() for name, module in GATES.items()}


class Superkernel(Supernet):
    """A supernet of superkernels."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        sizes: dict[str, Op] = {}
        self._chains: list[list[list[list[tuple[str, Op]]]]] = []  # slot, candidate, layer, operation
        for slot, choice in enumerate(self.choices):
            chains = []
            for candidate in choice.candidates:
                chains.append([_named(slot, place, layer) for place, layer in enumerate(candidate)])
                for name, op in (pair for chain in chains[-1] for pair in chain):
                    sizes[name] = _larger(sizes[name], op) if name in sizes else op
            self._chains.append(chains)
        self.banks = nn.ModuleDict({name: _bank(op) for name, op in sizes.items() if not isinstance(op, Pool)})
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(self, slot: int, candidate: int, x: torch.Tensor) -> torch.Tensor:
        """See `Supernet`: every operation uses a slice of its superkernel."""
        for layer, chain in zip(self.choices[slot].candidates[candidate], self._chains[slot][candidate], strict=True):
            before = x
            for name, op in chain:
                x = self._operate(name, op, x)
            if layer.residual:
                x = before + x
        return x

    def weights_of(self, slot: int, candidate: int) -> Iterator[dict[str, torch.Tensor]]:
        """See `Supernet`."""
        for chain in self._chains[slot][candidate]:
            yield {
                f"{place}.{name}": value
                for place, (bank, op) in enumerate(chain)
                if not isinstance(op, Pool)
                for name, value in _slices(self.banks[bank], op).items()
            }

    def gated(
        self, x: torch.Tensor, genotype: Genotype, shares: Sequence[torch.Tensor], least: float = 0.0
    ) -> torch.Tensor:
        """The network of one genotype, differentiable in the shares of the candidates of every slot.

        Forward it equals `forward(x, genotype)`: all superkernels run whole, times indicators of what the genotype has
        of them. Backward an indicator counts as the share (float[candidates], summing to 1) of the candidates for which
        it is 1: the straight-through relaxation of arXiv:1904.02877, section 3.2. A form that the genotype does not
        have is left out where its share is below `least`. Logits float32[N, classes].
        """
        x = self._sized(x, self.choices[0].candidate(genotype))
        for slot, choice in enumerate(self.choices):
            x = self._gated_slot(slot, choice.candidate(genotype), shares[slot], x, least)
        return x

    def norm_banks(self, slot: int, candidate: int) -> list[tuple[nn.Module, Op]]:
        """The superkernels of a candidate with what it uses of them, pooling left out."""
        chains = self._chains[slot][candidate]
        return [(self.banks[name], op) for chain in chains for name, op in chain if not isinstance(op, Pool)]

    def _operate(self, name: str, op: Op, x: torch.Tensor) -> torch.Tensor:
        if isinstance(op, Pool):
            return x.mean((2, 3))
        w = _slices(self.banks[name], op)
        match op:
            case Conv():
                x = conv2d(x, w["conv.weight"], None, op.stride, op.kernel // 2, groups=op.groups)
                x = batch_norm(x, None, None, w["norm.weight"], w["norm.bias"], training=True)
                return _ACT[op.activation](x)  # type: ignore[no-any-return]
            case SqueezeExcite():
                return x * _excited(x, w, op)
            case Linear():
                return _ACT[op.activation](linear(x, w["linear.weight"], w["linear.bias"]))  # type: ignore[no-any-return]

    @cached_property
    def _forms(self) -> list[list[_Form]]:
        """Of every slot."""
        return [_forms_of(slot, choice.candidates) for slot, choice in enumerate(self.choices)]

    def _gated_slot(self, slot: int, chosen: int, shares: torch.Tensor, x: torch.Tensor, least: float) -> torch.Tensor:
        candidates = self.choices[slot].candidates
        if len(candidates) == 1:
            return self.run(slot, chosen, self.fitted(x, slot, chosen))
        forms = self._forms[slot]
        adds = [not layers or (len(layers) == 1 and layers[0].residual) for layers in candidates]
        passes = torch.tensor(adds, dtype=shares.dtype, device=x.device)
        parts = []
        for form in forms:
            share = shares[form.members].sum()
            picked = chosen in form.members
            if not picked and share.item() <= least:
                continue
            within = shares[form.members] / share.clamp_min(1e-12)
            place = form.members.index(chosen) if picked else int(within.argmax())
            gate = None if len(form.members) == len(candidates) else _through(float(picked), share)
            taken = fitted(x, form.in_channels)
            if len(candidates[form.members[0]]) > 1:  # a chain of layers is a form of its own
                parts.append(self.run(slot, form.members[0], taken) * (1 if gate is None else gate))
            else:
                parts.append(self._gated_form(form, _hot(place, within), gate, taken))
        if all(adds):
            parts.append(x)
        elif any(adds):
            parts.append(x * _through(float(adds[chosen]), (shares * passes).sum()))
        width = max(part.shape[1] for part in parts)
        total = widened(parts[0], width)
        for part in parts[1:]:
            total = total + widened(part, width)
        return total

    def _gated_form(self, form: _Form, hot: torch.Tensor, gate: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        """The largest of a form, masked to the members that `hot` (float[members], one 1) selects, times the gate."""
        last = len(form.chain) - 1
        for place, (step, masks) in enumerate(zip(form.chain, form.masks, strict=True)):
            name, op = step
            if isinstance(op, Pool):
                x = x.mean((2, 3))
                continue
            w = _slices(self.banks[name], op)
            wide = masks.channels(hot)
            match op:
                case Conv():
                    kernel = masks.kernel(hot)
                    weight = w["conv.weight"] if kernel is None else w["conv.weight"] * kernel
                    scale = gate if place == last and op.activation == "none" else None
                    norm = [_product(w[part], wide, scale) for part in ("norm.weight", "norm.bias")]
                    x = conv2d(x, weight, None, op.stride, op.kernel // 2, groups=op.groups)
                    x = _ACT[op.activation](batch_norm(x, None, None, norm[0], norm[1], training=True))
                    if place == last and gate is not None and scale is None:
                        x = x * gate
                case SqueezeExcite():
                    share = masks.share(hot)
                    if wide is not None:  # of several inner widths
                        w["excite.weight"] = w["excite.weight"] * wide[None, :, None, None]
                    excited = _excited(x, w, op)
                    x = x * (excited if share is None else 1 + share * (excited - 1))
                case Linear():
                    weight, bias = w["linear.weight"], w["linear.bias"]
                    if wide is not None:
                        weight, bias = weight * wide[:, None], bias * wide
                    x = _ACT[op.activation](linear(x, weight, bias))
                    if place == last and gate is not None:
                        x = x * gate
        return x


class _ConvBank(nn.Module):
    """The largest convolution of a place, and its normalisation."""

    def __init__(self, op: Conv) -> None:
        super().__init__()
        shape = (op.out_channels, op.in_channels // op.groups, op.kernel, op.kernel)
        scale = scale_of(shape[1] * op.kernel**2, op.activation != "none")
        self.weight = nn.Parameter(torch.randn(shape) * scale)
        self.scale = nn.Parameter(torch.ones(op.out_channels))
        self.shift = nn.Parameter(torch.zeros(op.out_channels))


class _SqueezeExciteBank(nn.Module):
    """The largest squeeze-and-excitation of a place."""

    def __init__(self, op: SqueezeExcite) -> None:
        super().__init__()
        self.squeeze = nn.Parameter(torch.randn(op.squeezed, op.channels, 1, 1) * scale_of(op.channels, True))
        self.squeeze_bias = nn.Parameter(torch.zeros(op.squeezed))
        self.excite = nn.Parameter(torch.randn(op.channels, op.squeezed, 1, 1) * scale_of(op.squeezed, False))
        self.excite_bias = nn.Parameter(torch.zeros(op.channels))


class _LinearBank(nn.Module):
    """The largest fully connected layer of a place."""

    def __init__(self, op: Linear) -> None:
        super().__init__()
        scale = scale_of(op.in_features, op.activation != "none")
        self.weight = nn.Parameter(torch.randn(op.out_features, op.in_features) * scale)
        self.bias = nn.Parameter(torch.zeros(op.out_features))


def _bank(op: Op) -> nn.Module:
    match op:
        case Conv():
            return _ConvBank(op)
        case SqueezeExcite():
            return _SqueezeExciteBank(op)
        case Linear():
            return _LinearBank(op)
    raise AssertionError(op)


def _slices(bank: nn.Module, op: Op) -> dict[str, torch.Tensor]:
    """What an operation uses of its superkernel, under the names of its own module's parameters."""
    match bank, op:
        case _ConvBank(), Conv():
            wide, ring = op.in_channels // op.groups, (bank.weight.shape[2] - op.kernel) // 2
            inner = slice(ring, ring + op.kernel)
            return {
                "conv.weight": bank.weight[: op.out_channels, :wide, inner, inner],
                "norm.weight": bank.scale[: op.out_channels],
                "norm.bias": bank.shift[: op.out_channels],
            }
        case _SqueezeExciteBank(), SqueezeExcite():
            return {
                "squeeze.weight": bank.squeeze[: op.squeezed, : op.channels],
                "squeeze.bias": bank.squeeze_bias[: op.squeezed],
                "excite.weight": bank.excite[: op.channels, : op.squeezed],
                "excite.bias": bank.excite_bias[: op.channels],
            }
        case _LinearBank(), Linear():
            return {
                "linear.weight": bank.weight[: op.out_features, : op.in_features],
                "linear.bias": bank.bias[: op.out_features],
            }
    raise AssertionError(op)


def _excited(x: torch.Tensor, w: dict[str, torch.Tensor], op: SqueezeExcite) -> torch.Tensor:
    """The factor of each channel, float[N,C,1,1]."""
    pooled = x.mean((2, 3), keepdim=True)
    inner = torch.relu(conv2d(pooled, w["squeeze.weight"], w["squeeze.bias"]))
    return _GATE[op.gate](conv2d(inner, w["excite.weight"], w["excite.bias"]))  # type: ignore[no-any-return]


def _named(slot: int, place: int, layer: Layer) -> list[tuple[str, Op]]:
    """The operations of a layer with the names of the superkernels that they are slices of.

    Operations of one type are counted from the last one, so that a bottleneck without an expansion convolution shares
    the others'.
    """
    family = KINDS[layer.kind].family or layer.kind
    chain, named = ops(layer), []
    seen: dict[type[Op], int] = {}
    for op in reversed(chain):
        seen[type(op)] = seen.get(type(op), 0) + 1
        part = f"{type(op).__name__}{seen[type(op)]}"
        if isinstance(op, Conv) and op.groups > 1:
            part += "_depthwise" if op.groups == op.in_channels == op.out_channels else f"_groups{op.groups}"
        named.append((f"slot{slot}_{place}_{family.replace(' ', '_')}_{part}", op))
    return named[::-1]


def _larger(one: Op, other: Op) -> Op:
    """An operation that both are slices of."""
    match one, other:
        case Conv(), Conv():
            depthwise = one.groups > 1 and one.groups == one.in_channels == one.out_channels
            wide = max(one.out_channels, other.out_channels)
            return replace(
                one,
                in_channels=wide if depthwise else max(one.in_channels, other.in_channels),
                out_channels=wide,
                groups=wide if depthwise else one.groups,
                kernel=max(one.kernel, other.kernel),
                activation=max(one.activation, other.activation),
            )
        case SqueezeExcite(), SqueezeExcite():
            return replace(one, channels=max(one.channels, other.channels), squeezed=max(one.squeezed, other.squeezed))
        case Linear(), Linear():
            return replace(
                one,
                in_features=max(one.in_features, other.in_features),
                out_features=max(one.out_features, other.out_features),
            )
    return one


@dataclass(frozen=True, eq=False)
class _Masks:
    """What the members of a form use of one operation of its largest: indicators as products with `hot`."""

    channel_members: torch.Tensor | None
    """float[members, levels]: whether a member has the channels of a level; None where all have all."""
    channel_levels: torch.Tensor | None
    """int[channels]: the level of each channel."""
    kernel_members: torch.Tensor | None
    kernel_levels: torch.Tensor | None
    """int[K * K]: the ring of each place of the kernel."""
    has: torch.Tensor | None
    """float[members]: whether a member has the operation at all."""

    def channels(self, hot: torch.Tensor) -> torch.Tensor | None:
        """float[channels]."""
        if self.channel_members is None or self.channel_levels is None:
            return None
        return (hot @ self.channel_members.to(hot))[self.channel_levels.to(hot.device)]

    def kernel(self, hot: torch.Tensor) -> torch.Tensor | None:
        """float[K, K]."""
        if self.kernel_members is None or self.kernel_levels is None:
            return None
        flat = (hot @ self.kernel_members.to(hot))[self.kernel_levels.to(hot.device)]
        side = round(len(flat) ** 0.5)
        return flat.view(side, side)

    def share(self, hot: torch.Tensor) -> torch.Tensor | None:
        """Of the members that have the operation; a scalar."""
        return None if self.has is None else hot @ self.has.to(hot)


@dataclass(frozen=True, eq=False)
class _Form:
    """Candidates of a slot that are slices of one largest layer."""

    members: list[int]
    in_channels: int
    """Of that layer."""
    chain: list[tuple[str, Op]]
    """The operations of that layer with their superkernels."""
    masks: list[_Masks]


def _forms_of(slot: int, candidates: tuple[tuple[Layer, ...], ...]) -> list[_Form]:
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, candidate in enumerate(candidates):
        if candidate:
            groups.setdefault(_shape_of(candidate, index), []).append(index)
    return [_form_of(slot, members, [candidates[index] for index in members]) for members in groups.values()]


def _shape_of(candidate: tuple[Layer, ...], index: int) -> tuple[object, ...]:
    """Equal for candidates of one form."""
    layer = candidate[0]
    if len(candidate) > 1 or layer.kind == "identity":
        return (index,)
    widths = (layer.in_channels, layer.mid_channels, layer.out_channels) if layer.groups > 1 else ()
    return layer.kind, layer.stride, layer.groups, widths, layer.activation, layer.se_gate, layer.height, layer.width


def _form_of(slot: int, members: list[int], candidates: list[tuple[Layer, ...]]) -> _Form:
    if len(members) == 1:
        chain = [step for place, layer in enumerate(candidates[0]) for step in _named(slot, place, layer)]
        return _Form(members, candidates[0][0].in_channels, chain, [_Masks(None, None, None, None, None)] * len(chain))
    layers = [candidate[0] for candidate in candidates]
    largest = replace(
        layers[0],
        residual=False,
        **{
            field: max(getattr(layer, field) for layer in layers)
            for field in ("in_channels", "out_channels", "mid_channels", "kernel", "se_channels")
        },
    )
    chain = _named(slot, 0, largest)
    own = [dict(_named(slot, 0, layer)) for layer in layers]
    followed = [isinstance(after, Conv) and after.groups > 1 for _, after in chain[1:]] + [False]
    masks = [
        _masks(op, [mine.get(name) for mine in own], skip_channels=before_depthwise)
        for (name, op), before_depthwise in zip(chain, followed, strict=True)
    ]
    return _Form(members, largest.in_channels, chain, masks)


def _masks(largest: Op, own: list[Op | None], skip_channels: bool) -> _Masks:
    """Channels before a depthwise convolution need no mask: it does not mix them, and has its own."""
    has = None if all(own) else torch.tensor([float(op is not None) for op in own])
    present = [op or largest for op in own]
    widths = [_width(op) for op in present]
    channel_members, channel_levels = (None, None) if skip_channels else _levels(widths, torch.arange(_width(largest)))
    kernel_members = kernel_levels = None
    if isinstance(largest, Conv):
        reach = (torch.arange(largest.kernel) - largest.kernel // 2).abs()
        rings = torch.maximum(reach[:, None], reach[None, :]).reshape(-1)
        halves = [op.kernel // 2 + 1 for op in present if isinstance(op, Conv)]
        kernel_members, kernel_levels = _levels(halves, rings)
    return _Masks(channel_members, channel_levels, kernel_members, kernel_levels, has)


def _levels(sizes: list[int], places: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Members × levels, and the level of each place: place p is there for members of a size above p."""
    steps = sorted(set(sizes))
    if len(steps) == 1:
        return None, None
    members = torch.tensor([[float(size >= step) for step in steps] for size in sizes])
    return members, torch.bucketize(places, torch.tensor(steps), right=True)


def _width(op: Op) -> int:
    match op:
        case Conv():
            return op.out_channels
        case SqueezeExcite():
            return op.squeezed
        case Linear():
            return op.out_features
    return 0


def _through(value: float, share: torch.Tensor) -> torch.Tensor:
    """The value forward, the gradient of the share backward."""
    return share + (value - share.detach())


def _hot(place: int, shares: torch.Tensor) -> torch.Tensor:
    """One 1 forward, the gradient of the shares backward."""
    one = torch.zeros_like(shares)
    one[place] = 1
    return shares + (one - shares.detach())


def _product(*factors: torch.Tensor | None) -> torch.Tensor:
    present = [factor for factor in factors if factor is not None]
    result = present[0]
    for factor in present[1:]:
        result = result * factor
    return result

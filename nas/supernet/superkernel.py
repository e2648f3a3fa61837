"""Superkernel: one weight a layer, of which kernels, expansions and widths are slices (arXiv:1904.02877, section 3).

A smaller kernel is the centre of the largest, fewer channels are the first ones; an expansion of 1 passes the expansion
convolution by, a skipped layer the whole block; squeeze-and-excitation can be left out. Candidates whose operations
differ in more than that (grouped pointwise convolutions, another activation, a plain convolution beside a bottleneck)
are forms of their own, which share what has the same shape and place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, linear

from nas.blocks.modules import ACTIVATIONS, GATES
from nas.blocks.ops import Conv, Linear, Op, Pool, SqueezeExcite
from nas.space.space import Space
from nas.supernet.banks import bank_of, larger, named_ops, slices
from nas.supernet.forms import Form, forms_of
from nas.supernet.supernet import Genotype, Supernet, fitted, widened

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
                chains.append([named_ops(slot, place, layer) for place, layer in enumerate(candidate)])
                for name, op in (pair for chain in chains[-1] for pair in chain):
                    sizes[name] = larger(sizes[name], op) if name in sizes else op
            self._chains.append(chains)
        self.banks = nn.ModuleDict({name: bank_of(op) for name, op in sizes.items() if not isinstance(op, Pool)})
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
                for name, value in slices(self.banks[bank], op).items()
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
        w = slices(self.banks[name], op)
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
    def _forms(self) -> list[list[Form]]:
        """Of every slot."""
        return [forms_of(slot, choice.candidates) for slot, choice in enumerate(self.choices)]

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

    def _gated_form(self, form: Form, hot: torch.Tensor, gate: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        """The largest of a form, masked to the members that `hot` (float[members], one 1) selects, times the gate."""
        last = len(form.chain) - 1
        for place, (step, masks) in enumerate(zip(form.chain, form.masks, strict=True)):
            name, op = step
            if isinstance(op, Pool):
                x = x.mean((2, 3))
                continue
            w = slices(self.banks[name], op)
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


def _excited(x: torch.Tensor, w: dict[str, torch.Tensor], op: SqueezeExcite) -> torch.Tensor:
    """The factor of each channel, float[N,C,1,1]."""
    pooled = x.mean((2, 3), keepdim=True)
    inner = torch.relu(conv2d(pooled, w["squeeze.weight"], w["squeeze.bias"]))
    return _GATE[op.gate](conv2d(inner, w["excite.weight"], w["excite.bias"]))  # type: ignore[no-any-return]


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

"""Superkernel: one weight a layer, of which kernels, expansions and widths are slices (arXiv:1904.02877, section 3).

A smaller kernel is the centre of the largest, or what kernel transforms make of it (arXiv:1908.09791); fewer channels
are the first ones; an expansion of 1 passes the expansion convolution by, a skipped layer the whole block;
squeeze-and-excitation can be left out. Candidates whose operations differ in more than that (grouped pointwise
convolutions, another activation, a plain convolution beside a bottleneck) are forms of their own, which share what has
the same shape and place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import cast

import torch
from torch import nn

from nas.blocks.block import family_of
from nas.blocks.graph import Node
from nas.blocks.layer import Layer
from nas.blocks.op import Op
from nas.space.space import Space
from nas.supernet.banks import Bank, Shells, place_of
from nas.supernet.former import former_names
from nas.supernet.forms import Form, forms_of, masked_axes
from nas.supernet.supernet import Genotype, Supernet, fitted, widened


class Superkernel(Supernet):
    """A supernet of superkernels."""

    def __init__(self, space: Space, *, inherits: bool = False) -> None:
        super().__init__(space, inherits=inherits)
        sharing: dict[str, dict[Op, None]] = {}
        self._known: dict[tuple[int, int, Layer], list[str]] = {}
        for slot, choice in enumerate(self.choices):
            for place in range(max(map(len, choice.chains))):
                layers = dict.fromkeys(chain[place] for chain in choice.chains if place < len(chain))
                for layer, node in _different(tuple(layers)):
                    sharing.setdefault(place_of(slot, place, layer, node.name, node.op), {})[node.op] = None
        self.banks = nn.ModuleDict({name: Bank(ops) for name, ops in sharing.items()})
        self._shells = Shells()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(self, slot: int, candidate: int, x: torch.Tensor) -> torch.Tensor:
        """Every op uses a slice of its superkernel."""
        for layer, names in self._named(slot, candidate):
            values = {-1: x}
            for place, (name, node) in enumerate(zip(names, layer.graph.nodes, strict=True)):
                taken = (values[source] for source in node.takes)
                values[place] = self._shells.module(node.op, self._slices(name, node.op))(*taken)
            x = values[len(names) - 1]
        return x

    def weights_of(self, slot: int, candidate: int) -> Iterator[dict[str, torch.Tensor]]:
        for layer, names in self._named(slot, candidate):
            yield {
                f"{place}.{name}": value
                for place, (bank, op) in enumerate(zip(names, layer.graph.ops(), strict=True))
                for name, value in self._slices(bank, op).items()
            }

    def former_names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for slot, choice in enumerate(self.choices):
            for candidate in range(len(choice.chains)):
                for place, (layer, banks) in enumerate(self._named(slot, candidate)):
                    for bank, former in zip(banks, former_names(slot, place, layer), strict=True):
                        names |= {old: f"banks.{bank}.{name.replace('.', '_')}" for name, old in former.items()}
        return names

    def _named(self, slot: int, candidate: int) -> Iterator[tuple[Layer, list[str]]]:
        """The layers of a candidate, with the names of their ops' banks."""
        for place, layer in enumerate(self.choices[slot].chains[candidate]):
            yield layer, self._places(slot, place, layer)

    def _places(self, slot: int, place: int, layer: Layer) -> list[str]:
        """Names of the banks of a layer's ops."""
        key = slot, place, layer
        if key not in self._known:
            self._known[key] = [place_of(slot, place, layer, node.name, node.op) for node in layer.graph.nodes]
        return self._known[key]

    def _slices(self, bank: str, op: Op) -> dict[str, torch.Tensor]:
        return self.banks[bank].slices(op) if bank in self.banks else {}  # type: ignore[operator]

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

    def bank(self, slot: int, candidate: int, layer: int, op: int) -> Bank:
        """The superkernel of an op of a candidate's layer."""
        return cast(Bank, self.banks[self._places(slot, layer, self.choices[slot].chains[candidate][layer])[op]])

    def banks_of(self, slot: int, candidate: int) -> list[tuple[Bank, Op]]:
        """The superkernels of a candidate with what it uses of them."""
        layers = self._named(slot, candidate)
        pairs = [pair for layer, names in layers for pair in zip(names, layer.graph.ops(), strict=True)]
        return [(cast(Bank, self.banks[name]), op) for name, op in pairs if op.params]

    @cached_property
    def _forms(self) -> list[list[Form]]:
        """Of every slot."""
        return [forms_of(slot, choice.chains) for slot, choice in enumerate(self.choices)]

    @cached_property
    def _adds(self) -> list[list[bool]]:
        """Of every slot, whether each candidate adds what it takes to what it gives."""
        return [
            [not layers or (len(layers) == 1 and layers[0].graph.residual) for layers in choice.chains]
            for choice in self.choices
        ]

    def _shares_of_forms(self, slot: int, shares: torch.Tensor) -> list[float]:
        """Shares of a slot's forms, added up for all at once: of cells there are thousands."""
        forms, given = self._forms[slot], shares.tolist()
        return [sum(given[member] for member in form.members) for form in forms]

    def _gated_slot(self, slot: int, chosen: int, shares: torch.Tensor, x: torch.Tensor, least: float) -> torch.Tensor:
        candidates = self.choices[slot].chains
        if len(candidates) == 1:
            return self.run(slot, chosen, self.fitted(x, slot, chosen))
        forms, adds = self._forms[slot], self._adds[slot]
        there = self._shares_of_forms(slot, shares)
        passes = torch.tensor(adds, dtype=shares.dtype, device=x.device)
        parts = []
        for form, has in zip(forms, there, strict=True):
            picked = chosen in form.members
            if not picked and has <= least:
                continue
            share = shares[form.members].sum()
            within = shares[form.members] / share.clamp_min(1e-12)
            place = form.members.index(chosen) if picked else int(within.argmax())
            gate = None if len(form.members) == len(candidates) else _through(float(picked), share)
            taken = fitted(x, form.in_channels)
            if not form.chain:
                own = self.run(slot, form.members[0], taken)
                own = own - taken if adds[form.members[0]] else own
                parts.append(own if gate is None else own * gate)
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
            weights = masks.masked(op, self._slices(name, op), hot)
            if place == last and gate is not None and getattr(op, "activation", None) == "none":
                scaled = {key: weights[key] * gate for key, letter, _ in masked_axes(op) if letter == "o"}
                weights |= scaled
                gate = None if scaled else gate
            module, share = self._shells.module(op, weights), masks.share(hot)
            factor = getattr(module, "factor", None)
            if share is None:
                x = module(x)
            elif factor is not None:  # by channel: the product is taken once
                x = x * (1 + share * (factor(x) - 1))
            else:
                x = x + share * (module(x) - x)
        return x if gate is None else x * gate


@lru_cache(maxsize=8)
def _different(layers: tuple[Layer, ...]) -> list[tuple[Layer, Node]]:
    """Ops with parameters, of equal ones of one name in layers of one family only one: cells have thousands of forms,
    and a few ops."""
    nodes = ((layer, node) for layer in layers for node in layer.graph.nodes)
    found = {(family_of(layer.kind), node.name, node.op): (layer, node) for layer, node in nodes}
    return [(layer, node) for layer, node in found.values() if node.op.params]


def _through(value: float, share: torch.Tensor) -> torch.Tensor:
    """The value forward, the gradient of the share backward."""
    return share + (value - share.detach())


def _hot(place: int, shares: torch.Tensor) -> torch.Tensor:
    """One 1 forward, the gradient of the shares backward."""
    one = torch.zeros_like(shares)
    one[place] = 1
    return shares + (one - shares.detach())

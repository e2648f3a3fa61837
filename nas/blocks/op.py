"""Op: one operation of a block. Whatever there is to know of an operation stands in its own class.

Shapes, MACs, parameters, first weights, names in a weight file, the torch module, the ONNX nodes, the features of the
block model and what a superkernel slices all follow from an op's methods, so that a new operation is one class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import prod
from typing import Any, ClassVar, Protocol, Self

Shape = tuple[int, ...]
"""Channels, height and width of what an op takes or gives for one picture; (features,) once it is pooled."""


@dataclass(frozen=True)
class Weight:
    """One tensor of an op: its shape, what its axes are, and its first values."""

    shape: tuple[int, ...]
    axes: str
    """A letter a dimension. Of a larger weight a smaller one has the centre along `k`, the first ones along any other
    letter, and all along `.`, where sizes agree. `o` is of output channels, `i` of input channels, others an op's
    own."""
    gain: float = 0.0
    """First values are normal with variance gain / fan-in: 2 before an activation, else 1 (arXiv:1502.01852, section
    2.2). 0: all are `start`."""
    start: float = 0.0
    trained: bool = True
    """False for statistics."""
    masked: str = ""
    """Letters along which zeros in this tensor stand for a smaller op."""

    @property
    def fan_in(self) -> int:
        """Values that one output is a sum over."""
        return prod(self.shape[1:])


class OnnxGraph(Protocol):
    """An ONNX graph under construction: see `nas.formats.onnx_graph`. Every method returns the name of a value."""

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """A node of the default operator set."""

    def weight(self, name: str, *shape: int) -> str:
        """One of the network's weights."""

    def scalar(self, name: str, value: float) -> str:
        """A constant, one of each name."""

    def integers(self, name: str, values: Sequence[int]) -> str:
        """A constant of whole numbers, such as a shape (0: as it comes in)."""

    def activation(self, kind: str, value: str) -> str:
        """The nodes of an activation by its name in `nas.blocks.modules`."""

    def normalised(
        self, name: str, value: str, channels: int, fan_in: int, activated: bool, norm_eps: float = 1e-5
    ) -> str:
        """Batch normalisation of a convolution over `fan_in` values, 0 where there is none, with the four weights
        `name`.*."""


@dataclass(frozen=True)
class Op(ABC):
    """One operation, a frozen dataclass. Fields are the arguments of its torch module."""

    module: ClassVar[Any]
    """The torch module, whose arguments are the fields of the op: a class, or `"package.module:Class"`, read when it is
    used. Its source is copied into `model.py`."""
    sizes: ClassVar[tuple[str, ...]] = ()
    """Fields along which a smaller op is a slice of a larger one."""

    @abstractmethod
    def shape(self, *inputs: Shape) -> Shape:
        """What it gives for inputs of these shapes. Raises `ArchitectureError` where they do not fit."""

    @abstractmethod
    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        """Add its nodes to a graph, for values of these shapes; its weights are called `name`.*."""

    def steps(self) -> Mapping[str, Op]:
        """The ops that a graph has for it, one behind the other, by what their names end in: as a rule itself."""
        return {"": self}

    def weights(self) -> Mapping[str, Weight]:
        """Its tensors by their names in its torch module's `state_dict`, in order."""
        return {}

    def macs(self, *inputs: Shape) -> int:
        """Multiply-accumulates for one picture."""
        return 0

    def deployed(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the tensors that a deployed network keeps of it: those of `weights`, less what folds away."""
        return {name: weight.shape for name, weight in self.weights().items()}

    def held(self, *inputs: Shape) -> int:
        """Values that it holds at once at most while it runs, its inputs aside: as a rule those that it gives.
        Normalisation and activations are done in place."""
        return prod(self.shape(*inputs))

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        """What it adds to the features of the block model (`nas.tables.model`); absent ones are 0."""
        return {"operators": 1, "traffic": sum(map(prod, inputs)) + prod(self.shape(*inputs))}

    def larger(self, other: Op) -> Self | None:
        """The op that both are slices of; None where there is none."""
        if type(other) is not type(self):
            return None
        grown = {name: max(getattr(self, name), getattr(other, name)) for name in self.sizes}
        both = replace(self, **grown)
        return both if both == replace(other, **grown) else None

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(prod(weight.shape) for weight in self.weights().values() if weight.trained)

    @property
    def extents(self) -> dict[str, int]:
        """Sizes of its weights by letter."""
        return {
            letter: size
            for weight in self.weights().values()
            for letter, size in zip(weight.axes, weight.shape, strict=True)
            if letter != "."
        }

    @property
    def mixes(self) -> bool:
        """Whether an output channel depends on several input channels."""
        return "i" in self.extents

    @property
    def keeps(self) -> bool:
        """Whether each output channel is an input channel, changed: an order of the ones is an order of the others."""
        return not self.mixes

    @property
    def placed(self) -> bool:
        """Whether a channel's place says what becomes of it, so that the order of its channels stays."""
        return not self.keeps and "i" not in self.extents

    def arguments(self) -> dict[str, Any]:
        """Its fields, without those at their defaults."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) != field.default}

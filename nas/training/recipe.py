"""Recipe: everything that a training is decided by besides network, data and seed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nas.data.batches import Augmentation
from nas.errors import NasError
from nas.training.choices import NORMS, PARTS, REFERENCE_BATCH, REFERENCE_RATE


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Stochastic gradient descent with Nesterov momentum. Raises `NasError` where a value is not allowed."""

    epochs: int = 30
    batch: int = REFERENCE_BATCH
    """Pictures of a step, over all processes."""
    learning_rate: float = REFERENCE_RATE
    """At its peak: see `nas.training.schedule`."""
    warmup: float = 0.1
    """Share of all steps in which the learning rate rises to its peak."""
    momentum: float = 0.9
    weight_decay: float = 1e-4
    """Of the weights of convolutions and linear layers; not of biases nor of batch normalisation (arXiv:1812.01187,
    section 3.1)."""
    label_smoothing: float = 0.1
    """Share of a label that is spread over all classes (arXiv:1512.00567, section 7)."""
    average: float = 0.999
    """Decay of the average over steps that is the result (`nas.training.average`); 0 keeps the last weights."""
    clip_norm: float = 5.0
    """Largest Euclidean norm of all gradients together (arXiv:1211.5063)."""
    augmentation: Augmentation = Augmentation()  # noqa: RUF009  # frozen
    """What is done to training pictures; mirroring only where the data allows it."""
    norm: str = "batch"
    """Statistics that batch normalisation trains with: a `batch`'s own, or in `tune` the kept ones, as constants."""
    only: tuple[str, ...] = ()
    """Parts that are trained while all else stays: `last`, `norm`; none means everything."""
    temperature: float = 4.0
    """With a teacher: what both networks' scores are divided by (arXiv:1503.02531, section 2)."""
    distillation: float = 0.5
    """With a teacher: share of the loss that is the divergence from it rather than from the labels."""

    def __post_init__(self) -> None:
        for name, (least, most) in _WHOLE.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise NasError(f"`{name}` of a training is a whole number in {least}..{most:,}, got {value!r}.")
        for name, (low, high) in _REAL.items():
            value = getattr(self, name)
            if not (isinstance(value, int | float) and low <= value <= high):
                raise NasError(f"`{name}` of a training lies in {low:g}..{high:g}, got {value!r}.")
        for name, given, allowed in (("norm", {self.norm}, NORMS), ("only", set(self.only), PARTS)):
            if not given <= set(allowed):
                raise NasError(f"`{name}` of a training is of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        if not self.learning_rate:
            raise NasError("`learning_rate` of a training is above 0.")

    def to_json(self) -> dict[str, Any]:
        """Without what version 0.1 did not have, where nothing is said of it: what it kept stays the same recipe."""
        said = asdict(self)
        return {name: value for name, value in said.items() if name not in _LATER or value != _LATER[name]}


_LATER: dict[str, Any] = {"norm": "batch", "only": ()}
_WHOLE = {"epochs": (1, 100_000), "batch": (2, 65_536)}
_REAL = {
    "learning_rate": (0.0, 1000.0),
    "warmup": (0.0, 1.0),
    "momentum": (0.0, 0.9999),
    "weight_decay": (0.0, 1.0),
    "label_smoothing": (0.0, 0.9999),
    "average": (0.0, 0.999999),
    "clip_norm": (1e-9, 1e9),
    "temperature": (0.1, 100.0),
    "distillation": (0.0, 1.0),
}

"""TrainingRequest: what `nas train` was asked for, checked before anything heavy is imported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nas.errors import NasError, RunError
from nas.system.places import is_code
from nas.training.choices import NORMS, default_batch, default_rate, parts


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """One training. Raises `NasError` where a value is not allowed; what else there is to a recipe has its default."""

    config: str
    """Any form of a network (`nas.runs.network`): a shipped name, or an absolute path."""
    data: str
    epochs: int = 30
    batch: int = 64
    lr: float | None = None
    """At its peak. Requests from before `complete` have None: by batch, and a fifth on inherited weights."""
    seed: int = 0
    weights: str | None = None
    """A safetensors file to inherit from; None is what lies beside the config, if it says so."""
    from_scratch: bool = False
    teacher: str | None = None
    """A config with trained weights beside it, or `none`; None is the network that the winner of a run came from."""
    norm: str = "batch"
    """Statistics that batch normalisation trains with: each batch's, or in `tune` the inherited ones."""
    only: str | None = None
    """Parts that are trained (`last,norm`), all else staying; None trains everything."""
    skip_broken: bool = False
    resolution: int | None = None
    """Of the network's pictures; None is what its file says."""

    def __post_init__(self) -> None:
        for name, least, most in (("epochs", 1, 100_000), ("batch", 2, 65_536), ("seed", 0, 2**63 - 1)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise NasError(f"--{name} is a whole number in {least}..{most:,}, got {value!r}.")
        if self.resolution is not None and type(self.resolution) is not int:
            raise NasError(f"--resolution is a whole number of pixels, got {self.resolution!r}.")
        if self.lr is not None and not (
            type(self.lr) in (int, float) and math.isfinite(self.lr) and 0 < self.lr <= 1000
        ):
            raise NasError(f"--lr is a number above 0 and up to 1000, got {self.lr!r}.")
        if self.norm not in NORMS:
            raise NasError(f"--norm is {' or '.join(NORMS)}, got {self.norm!r}.")
        if self.only is not None:
            object.__setattr__(self, "only", ",".join(parts(self.only)))
        if self.from_scratch and self.weights is not None:
            raise NasError("--from-scratch inherits nothing, --weights does. Leave one of the two out.")

    @classmethod
    def complete(cls, asked: Mapping[str, Any], inherits: bool) -> TrainingRequest:
        """A request with what is best for inherited or for random weights, where nothing was said of it."""
        batch = asked.get("batch", default_batch(inherits))
        return cls(**{"batch": batch, "lr": default_rate(batch, inherits, asked.get("norm", "batch")), **asked})

    @property
    def code(self) -> dict[str, str]:
        """The options that name code of one's own, which a training runs."""
        return {"data": self.data} if is_code(self.data) else {}

    def to_json(self) -> dict[str, Any]:
        """The request as a JSON mapping."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Any) -> TrainingRequest:
        """The inverse of `to_json`. Raises `RunError` where the document is no request."""
        try:
            request = cls(**document)
            texts = (request.config, request.data, request.weights or "", request.teacher or "")
            if not all(type(text) is str for text in texts):
                raise NasError("config, data, weights and teacher are text.")
            return request
        except (TypeError, NasError) as problem:
            raise RunError(f"not a training's request: {problem}") from None

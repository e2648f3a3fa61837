"""Part: what results are made of, and the one that says what an accuracy is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Of a result: figures are finite, and nothing is taken for a number that is none."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)


class Accuracy(Part):
    """What kind of figure the accuracies of a run are, and where they come from."""

    label: str
    unit: str
    provenance: str

    @property
    def title(self) -> str:
        """Label and unit, for an axis."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

"""Strict: typed models of files that come from elsewhere, and the texts in them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """Unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a text is one line of printable characters")
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
SpaceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,95}$")]
"""A space's `Name`, or `mobilenetv2-1.0-elastic`, and behind it what it was adapted to: `-32px-10c`."""
Text = Annotated[str, Field(max_length=4_000), AfterValidator(_printable)]
"""Spaces and tables come from elsewhere, and their texts are shown on terminals."""

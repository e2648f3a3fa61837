"""Adapting a space to pictures of another size, to another number of classes, and to another precision."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from math import prod
from typing import TYPE_CHECKING, Any, Literal, get_args

from nas.blocks.precision import EIGHT_BIT, FLOAT
from nas.errors import SpaceError

if TYPE_CHECKING:  # it brings pydantic, which requests do without
    from nas.blocks.layer import Layer
    from nas.space.schema import SpaceFile, Stage
    from nas.space.space import Space

Strides = Literal["keep", "drop"]
STRIDES: tuple[Strides, ...] = get_args(Strides)
"""What becomes of a space's strides at another resolution: all are kept, or early ones are dropped."""
LEAST_SIDE = 4
"""Pixels that the last feature map is wide at least where strides are dropped, while there are any to drop."""


def adapted(file: SpaceFile, resolution: int | None, classes: int | None, strides: Strides) -> SpaceFile:
    """The file for this resolution and this many classes; None leaves what it says.

    With `drop` strides become 1, one stage after another from the stem on, until the last feature map is 4 pixels wide:
    as is done by hand where networks for ImageNet are used on CIFAR-10. The name says what changed; without `-keep` it
    is of the space that has dropped what `drop` drops, as in version 0.1, which dropped always.
    """
    from nas.space.schema import Resolution

    name = file.name
    own = file.input.resolution.choice
    if resolution is not None and own != [resolution]:
        fewer = file.stages if resolution in own else _dropped(file, resolution)
        stages = fewer if strides == "drop" else file.stages
        size = file.input.model_copy(update={"resolution": Resolution(choice=[resolution])})
        references = {  # where the resolution was a decision it is none any more
            reference: {name: value for name, value in choices.items() if name != "resolution"}
            for reference, choices in file.references.items()
        }
        name += f"-{resolution}px" + ("" if stages == fewer else "-keep")
        file = file.model_copy(update={"input": size, "stages": stages, "references": references})
    if classes is not None and classes != file.num_classes:
        file = file.model_copy(update={"num_classes": classes})
        name += f"-{classes}c"
    return file.model_copy(update={"name": name})


def in_precision(space: Space, precision: str) -> Space:
    """The space whose networks are the same with every layer in this precision: a decision means what it meant."""
    if precision == space.precision:
        return space
    slots = (replace(slot, layers=partial(_in_precision, slot.layers, precision)) for slot in space.slots)
    return replace(space, name=precise(space.name, precision), precision=precision, slots=tuple(slots))


def precise(name: str, precision: str) -> str:
    """What an adapted space is called in this precision."""
    return name.removesuffix(f"-{EIGHT_BIT}") + ("" if precision == FLOAT else f"-{precision}")


def precision_of(name: str) -> str:
    """Of an adapted space's networks, by its name."""
    return EIGHT_BIT if name.endswith(f"-{EIGHT_BIT}") else FLOAT


def _in_precision(layers: Callable[..., tuple[Layer, ...]], precision: str, *options: Any) -> tuple[Layer, ...]:
    return tuple(_precise_layer(layer, precision) for layer in layers(*options))


@lru_cache(maxsize=1 << 16)
def _precise_layer(layer: Layer, precision: str) -> Layer:
    return layer.changed(precision=precision)


def shrinkage(file: SpaceFile) -> int:
    """Pixels of the picture, in one direction, that become one of the last feature map."""
    return prod(stage.stride for stage in file.stages)


def _dropped(file: SpaceFile, resolution: int) -> list[Stage]:
    strides = [stage.stride for stage in file.stages]
    for index in range(len(strides)):
        if resolution >= LEAST_SIDE * prod(strides):
            break
        strides[index] = 1
    return [s.model_copy(update={"stride": stride}) for s, stride in zip(file.stages, strides, strict=True)]


def parts_of(name: str) -> tuple[str, int | None, bool, int | None]:
    """An adapted space's name taken apart: of the space, resolution, whether strides are kept there, and classes; in
    whatever precision."""
    found = re.fullmatch(r"(.+?)(?:-(\d+)px(-keep)?)?(?:-(\d+)c)?", precise(name, FLOAT), re.DOTALL)
    assert found is not None
    space, resolution, keep, classes = found.groups()
    pixels, number = (None if digits is None else int(digits) for digits in (resolution, classes))
    return space, pixels, bool(keep), number


def options_of(name: str) -> str:
    """What an adapted space's name stands for: `mobile-32px-10c` is `mobile --resolution 32 --strides drop --classes
    10`."""
    space, resolution, keep, classes = parts_of(name)
    dropped = resolution is not None and not keep and _drops(space, resolution)
    return " ".join(
        [
            space,
            *([f"--resolution {resolution}"] if resolution else []),
            *(["--strides keep"] if keep else ["--strides drop"] if dropped else []),
            *([f"--classes {classes}"] if classes else []),
            *([] if precision_of(name) == FLOAT else [f"--precision {precision_of(name)}"]),
        ]
    )


def _drops(space: str, resolution: int) -> bool:
    """Whether strides are dropped there; so they may be in a space of which only the name is known."""
    from nas.space.load import load_space

    try:
        return bool(load_space(space, resolution=resolution, strides="drop").strides)
    except SpaceError:
        return True

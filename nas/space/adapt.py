"""Adapting a space to pictures of another size and to another number of classes."""

from __future__ import annotations

import re
from math import prod

from nas.space.schema import Global, SpaceFile

LEAST_SIDE = 4
"""Pixels that the last feature map is wide at least, if need be by strides that are left out."""


def adapted(file: SpaceFile, resolution: int | None, classes: int | None) -> SpaceFile:
    """The file for this resolution and this many classes; None leaves what it says.

    For small pictures early strides become 1, one stage after another from the stem on, until the last feature map is
    4 pixels wide: as is done by hand where networks for ImageNet are used on CIFAR-10. The name says what changed.
    """
    name = file.name
    own = file.input.resolution.choice
    if resolution is not None and own != [resolution]:
        strides = [stage.stride for stage in file.stages]
        for index in range(len(strides)):
            if resolution in own or resolution >= LEAST_SIDE * prod(strides):
                break
            strides[index] = 1
        stages = [s.model_copy(update={"stride": stride}) for s, stride in zip(file.stages, strides, strict=True)]
        size = file.input.model_copy(update={"resolution": Global[int](choice=[resolution])})
        references = {  # where the resolution was a decision it is none any more
            reference: {name: value for name, value in choices.items() if name != "resolution"}
            for reference, choices in file.references.items()
        }
        file = file.model_copy(update={"input": size, "stages": stages, "references": references})
        name += f"-{resolution}px"
    if classes is not None and classes != file.num_classes:
        file = file.model_copy(update={"num_classes": classes})
        name += f"-{classes}c"
    return file.model_copy(update={"name": name})


def options_of(name: str) -> str:
    """What an adapted space's name stands for: `mobile-32px-10c` is `mobile --resolution 32 --classes 10`."""
    found = re.fullmatch(r"(.+?)(?:-(\d+)px)?(?:-(\d+)c)?", name, re.DOTALL)
    assert found is not None
    space, resolution, classes = found.groups()
    return " ".join(
        [
            space,
            *([f"--resolution {resolution}"] if resolution else []),
            *([f"--classes {classes}"] if classes else []),
        ]
    )

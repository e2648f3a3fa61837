"""search_spaces/*.yaml → Space: every choice in the file becomes a decision, every layer a slot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.blocks.architecture import MAX_LAYERS
from nas.blocks.block import MAX_DIMENSION, Column, block_class, columns_of, expands
from nas.blocks.cell import edges, live
from nas.blocks.heads import Ending
from nas.blocks.layer import Layer, shared_layer
from nas.blocks.precision import FLOAT
from nas.errors import ArchitectureError, SpaceError
from nas.space.adapt import LEAST_SIDE, STRIDES, Strides, adapted, in_precision, shrinkage
from nas.space.elastic import load_elastic
from nas.space.plan import DEFAULTS, Plan, Source, size_left
from nas.space.schema import Block, Setting, SpaceFile, Stage, block_kinds
from nas.space.space import Decision, Option, Slot, Space
from nas.system.files import read_model, read_yaml
from nas.system.places import ELASTIC, space_path
from nas.system.text import short

ORDER = ("kernel", "expansion", "se", "groups", "residual", "activation")
"""In which decisions of one stage are numbered; other settings follow in the order of the blocks' fields. Every stage
may say these, also where none of its blocks has them, as in version 0.1."""
DERIVED = {"mid_channels": "expansion", "se_channels": "se", "rank_channels": "rank"}
"""Fields of blocks that are set by a ratio to another width, and its name."""
OF_STAGES = ("out_channels", "stride")
"""Fields of blocks that a stage's `width` and `stride` set."""


def load_space(
    name: str | Path,
    *,
    resolution: int | None = None,
    classes: int | None = None,
    strides: Strides | None = None,
    precision: str = FLOAT,
) -> Space:
    """A shipped space by name, or one from a YAML file; `elastic:NET` is what a network has in it, see
    `nas.space.elastic`. An error names the file, the place, the rule and what came.

    With a `resolution` in pixels, a number of `classes` or another `precision` the space is another one, with a name of
    its own: see `nas.space.adapt`. Its strides are kept where nothing is said of them, and `SpaceError` tells what each
    choice costs where the last feature map would then be a single pixel.
    """
    if str(name).startswith(ELASTIC):
        return in_precision(load_elastic(str(name).removeprefix(ELASTIC), resolution, classes, strides), precision)
    return in_precision(_shipped_or_own(space_path(name), resolution, classes, strides), precision)


def _shipped_or_own(path: Path, resolution: int | None, classes: int | None, strides: Strides | None) -> Space:
    """That of a YAML file."""
    rule = "a search space is a mapping with `format: nas-space/1`"
    file = read_model(SpaceFile, read_yaml(path, SpaceError), path, SpaceError, rule=rule, page="docs/spaces.md")
    changed = adapted(file, resolution, classes, strides or "keep")
    try:
        space = _Expansion(changed).space()
    except (SpaceError, ArchitectureError) as problem:
        raise SpaceError(f"{path}: {problem}") from None
    if resolution is not None and resolution not in file.input.resolution.choice:
        _check_last_map(file, resolution, strides)
        if adapted(file, resolution, classes, "drop").stages != file.stages:
            dropped = [old.name for old, new in zip(file.stages, changed.stages, strict=True) if old != new]
            what = f"dropped in {', '.join(dropped)}" if dropped else "kept"
            return replace(
                space, strides=f"{what}: the last feature map is {size_left(resolution, shrinkage(changed))[0]} px"
            )
    return space


def _check_last_map(file: SpaceFile, resolution: int, strides: Strides | None) -> None:
    """Raise `SpaceError` where strides that are kept leave a last feature map of one pixel and nobody has asked for
    that, or less than one."""
    least = shrinkage(file)
    enough = resolution > least if strides is None else resolution >= least
    if strides == "drop" or enough:
        return
    ways = {way: f"--strides {way} ({_middle(adapted(file, resolution, None, way))})" for way in STRIDES}
    keeps, left = (f"{ways['keep']}, ", "one") if resolution >= least else ("", "less than one")
    raise SpaceError(
        f"{file.name} at {resolution} px: its strides make {least} pixels one, which leaves {left} at the end.\n"
        f"Choose {keeps}{ways['drop']}, which leaves out early strides until {LEAST_SIDE} remain, or --resolution "
        f"{least + (strides is None)} or more."
    )


def _middle(file: SpaceFile) -> str:
    """The size of a network in the middle of the space's."""
    space = _Expansion(file).space()
    macs = [space.decode(genotype).macs for genotype in space.sample(51, np.random.default_rng(0))]
    return f"{float(np.median(macs)) / 1e6:,.3g} M MACs in the middle"


def settings_of(kind: str) -> dict[str, Column]:
    """Settings that a stage of this kind of layer has, and the field of the block that each decides."""
    columns = columns_of(block_class(kind))
    found = {DERIVED.get(name, name): column for name, column in columns.items() if name not in OF_STAGES}
    return found if expands(kind) else {name: column for name, column in found.items() if name != "expansion"}


class _Expansion:
    """The decisions and slots of one file, built stage by stage."""

    def __init__(self, file: SpaceFile) -> None:
        self.file = file
        self.decisions: list[Decision] = []
        self.slots: list[Slot] = []

    def space(self) -> Space:
        file = self.file
        layers = sum(max(stage.depth.choice) for stage in file.stages) + 1
        if layers > MAX_LAYERS:
            raise SpaceError(
                f"stages: a network has at most {MAX_LAYERS:,} layers, these stages give up to {layers:,}."
            )
        for name, block in file.blocks.items():
            _check(f"blocks.{name}", [block], {setting: [value] for setting, value in block.settings.items()})
        self.resolution = self.source(file.input.resolution, "resolution")
        self.activation = self.source(file.activation, "activation")
        self.edges = {
            name: {edge: self.source(Setting[Any](choice=cell.ops), f"{name}.{edge}") for edge in edges(cell.nodes)}
            for name, cell in file.cells.items()
        }
        times = self.source(file.width_multiplier, "width_multiplier")
        self.times = None if times.constant == 1 else times
        width, shrink = Source(file.input.channels), 1
        for index, stage in enumerate(file.stages):
            if stage.name in [other.name for other in file.stages[:index]]:
                raise SpaceError(f"stages.{index}.name: stages have different names, got {stage.name!r} twice.")
            width = self.stage(f"stages.{index}", stage, width, shrink)
            shrink *= stage.stride
        self.head(width, shrink)
        return Space(
            name=file.name,
            decisions=tuple(self.decisions),
            slots=tuple(self.slots),
            references={name: dict(_flat(choices)) for name, choices in file.references.items()},
            source=file.source,
        )

    def source(self, setting: Setting[Any], name: str) -> Source:
        """A setting's constant, or a new decision for its choice."""
        if setting.fixed:
            return Source(setting.options[0])
        self.decisions.append(Decision(name, tuple(setting.options)))
        return Source(decision=len(self.decisions) - 1)

    def width(self, setting: Setting[Any], name: str) -> Source:
        """The same of a width, which the multiplier applies to."""
        widest, most = max(setting.choice), max(self.file.width_multiplier.choice)
        if widest * most > MAX_DIMENSION:
            raise SpaceError(
                f"{name}: a width is at most {MAX_DIMENSION}, got {widest} with a `width_multiplier` of {most:g}."
            )
        return replace(self.source(setting, name), times=self.times, divisor=self.file.round_to or 8)

    def stage(self, place: str, stage: Stage, in_width: Source, shrink: int) -> Source:
        """Add a stage's decisions and slots; returns where its output width comes from."""
        if not self.edges.keys().isdisjoint(stage.block.choice):
            return self.cells(place, stage, in_width, shrink)
        out_width = self.width(stage.width, f"{stage.name}.width")
        depth = self.source(stage.depth, f"{stage.name}.depth")
        blocks = {name: self.block(place, name) for name in stage.block.choice}
        self.check(place, stage, blocks)
        known = [name for block in blocks.values() for name in settings_of(block.kind)]
        settings = {name: stage.settings[name] for name in dict.fromkeys([*ORDER, *known]) if name in stage.settings}
        shared = self.sources({"block": stage.block, **settings}, "stage", stage.name)
        for position in range(max(stage.depth.choice)):
            name, first = f"{stage.name}.layer{position + 1}", position == 0
            own = self.sources({"block": stage.block, **settings}, "layer", name)
            plan = Plan(
                file=self.file,
                blocks=blocks,
                sources={"activation": self.activation, **shared, **own},
                depth=None if position < min(stage.depth.choice) else depth,
                position=position,
                in_width=in_width if first else out_width,
                out_width=out_width,
                resolution=self.resolution,
                stride=stage.stride if first else 1,
                shrink=shrink if first else shrink * stage.stride,
            )
            self.slot(name, plan.origins(), plan.layers)
        return out_width

    def cells(self, place: str, stage: Stage, in_width: Source, shrink: int) -> Source:
        """Add the one slot of a stage of cells: equal ones, one behind the other."""
        name, *others = stage.block.choice
        if others or stage.settings or not stage.depth.fixed or not stage.width.fixed:
            raise SpaceError(f"{place}: a stage of cells has `block`, `width` and `depth`, none of them a choice.")
        (depth,) = stage.depth.options
        if stage.stride != 1 or in_width != self.width(stage.width, f"{stage.name}.width"):
            raise SpaceError(
                f"{place}: a cell changes neither width nor size: its stage has stride 1 and the width of the stage "
                f"before, which is no choice. Put a stage of another kind between, such as preact."
            )
        own = self.edges[name]

        def layers(chosen: Mapping[int, Option]) -> tuple[Layer, ...]:
            height, across = size_left(self.resolution.value(chosen), shrink)
            width = in_width.value(chosen)
            ops = tuple(source.value(chosen) for source in own.values())
            there = {edge: op for edge, op, alive in zip(own, ops, live(ops), strict=True) if alive}
            common = {"kind": "cell", "nodes": self.file.cells[name].nodes, "activation": self.activation.value(chosen)}
            shape = {"in_channels": width, "out_channels": width, "height": height, "width": across}
            return (shared_layer(**common, **there, **shape),) * depth

        self.slot(stage.name, (*own.values(), in_width, self.activation, self.resolution), layers)
        return in_width

    def sources(self, settings: Mapping[str, Setting[Any]], per: str, name: str) -> dict[str, Source]:
        """Where those settings come from that are chosen for a stage, or for one of its layers."""
        return {
            setting: self.source(options, f"{name}.{setting}")
            for setting, options in settings.items()
            if options.per == per
        }

    def block(self, place: str, name: str) -> Block:
        """A candidate by its name in `blocks`, or a bare kind."""
        if name in self.file.blocks:
            return self.file.blocks[name]
        if name not in block_kinds():
            known = ", ".join([*block_kinds(), *self.file.blocks])
            raise SpaceError(f"{place}.block: a block is one of {known}; got {name!r}.")
        return Block(kind=name)

    def check(self, place: str, stage: Stage, blocks: Mapping[str, Block]) -> None:
        """Whether the settings of a stage are those of its blocks."""
        _check(place, blocks.values(), {name: setting.choice for name, setting in stage.settings.items()})
        for name, block in blocks.items():
            if stage.stride > 1 and "stride" not in columns_of(block_class(block.kind)):
                raise SpaceError(
                    f"{place}.stride: a {block.kind} block has none, got {stage.stride}. A stage before it can, "
                    "of patch or conv blocks."
                )
            ratios = stage.settings["se"].choice if "se" in stage.settings else [block.settings.get("se", 0)]
            words = stage.settings["excitation"].choice if "excitation" in stage.settings else block.settings.values()
            if "scse" in words and not any(ratios):
                raise SpaceError(f"{place}: an scse of {block.kind} blocks has an inner width: `se` above 0, got none.")
            for setting in block.settings:
                if setting in stage.settings:
                    raise SpaceError(f"{place}.{setting}: block {name!r} fixes `{setting}` already; say it once.")
            for setting, column in settings_of(block.kind).items():
                if column.default is MISSING and setting not in {*DEFAULTS, *stage.settings, *block.settings}:
                    raise SpaceError(f"{place}: a {block.kind} block needs a `{setting}`.")
        if not stage.depth.fixed and any(block.kind == "identity" for block in blocks.values()):
            raise SpaceError(f"{place}.depth: a stage chooses its depth or offers a skip (identity), not both.")

    def slot(self, name: str, origins: Iterable[Source], layers: Callable[[Mapping[int, Option]], Any]) -> None:
        """Add a slot that depends on these."""
        axes = tuple(sorted(set().union(*(source.decisions for source in origins))))
        self.slots.append(Slot(name, axes, lambda *options: layers(dict(zip(axes, options, strict=True)))))

    def head(self, in_width: Source, shrink: int) -> None:
        head, resolution = self.file.head, self.resolution
        file = self.file
        ending = Ending(file.head_after_pool, file.head_bias, file.classifier_bias, file.head_norm)
        ending.check(head.width.choice)
        mid = self.width(head.width, "head.width")
        activation = self.activation if head.activation is None else Source(head.activation)

        def layers(chosen: Mapping[int, Option]) -> tuple[Layer, ...]:
            height, width = size_left(resolution.value(chosen), shrink)
            return (
                shared_layer(
                    **ending.settings(mid.value(chosen), activation.value(chosen)),
                    in_channels=in_width.value(chosen),
                    out_channels=self.file.num_classes,
                    height=height,
                    width=width,
                ),
            )

        self.slot("head", (in_width, mid, activation, resolution), layers)


def _check(place: str, blocks: Iterable[Block], written: Mapping[str, Sequence[Any]]) -> None:
    """Raise `SpaceError` for a setting that none of the blocks has, and for a value that one of them refuses."""
    of_blocks = {block.kind: settings_of(block.kind) for block in blocks}
    for name, options in written.items():
        columns = {kind: settings[name] for kind, settings in of_blocks.items() if name in settings}
        if not columns and name not in ORDER:
            known = dict.fromkeys(setting for settings in of_blocks.values() for setting in settings)
            raise SpaceError(
                f"{place}: settings of {', '.join(of_blocks)} are {', '.join(known) or 'none'}, got {short(name)}."
            )
        for kind, column in columns.items():
            for option in options if name not in DERIVED.values() else ():
                try:
                    column.check(kind, option)
                except ArchitectureError as problem:
                    raise SpaceError(f"{place}.{name}: {problem}") from None


def _flat(choices: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Option]]:
    """Nested mappings of a reference as dotted names: {stage1: {kernel: 3}} is stage1.kernel = 3."""
    for name, value in choices.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value

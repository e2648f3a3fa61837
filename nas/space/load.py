"""search_spaces/*.yaml → Space: every choice in the file becomes a decision, every layer a slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.blocks.architecture import MAX_LAYERS
from nas.blocks.block import block_class, columns_of, expands
from nas.blocks.layer import Layer, shared_layer
from nas.errors import ArchitectureError, SpaceError
from nas.space.adapt import adapted
from nas.space.canonical import Canonical, Condition, Effect, Exchange
from nas.space.schema import Block, Setting, SpaceFile, Stage, block_kinds
from nas.space.space import Decision, Option, Slot, Space
from nas.system.files import read_model, read_yaml
from nas.system.places import space_path

SETTINGS = {
    "kernel": "kernel",
    "expansion": "mid_channels",
    "se": "se_channels",
    "groups": "groups",
    "residual": "residual",
    "activation": "activation",
}
"""Settings of a layer in the file, and the field of Layer that each decides."""

DEFAULTS: dict[str, Option] = {"kernel": 3, "expansion": 1, "se": 0, "groups": 1, "residual": True}
OWN_DEFAULTS: dict[str, dict[str, Option]] = {"conv": {"residual": False}}
"""Defaults of single kinds."""


def reads(kind: str) -> set[str]:
    """Settings that a kind of layer reads; a decision that none of its layers reads has no effect."""
    columns = columns_of(block_class(kind))
    found = {setting for setting, field in SETTINGS.items() if field in columns}
    return found if expands(kind) else found - {"expansion"}


def load_space(name: str | Path, *, resolution: int | None = None, classes: int | None = None) -> Space:
    """A shipped space by name, or one from a YAML file. An error names the file, the place, the rule and what came.

    With a `resolution` in pixels or a number of `classes` the space is another one, with a name of its own: see
    `nas.space.adapt`.
    """
    path = space_path(name)
    rule = "a search space is a mapping with `format: nas-space/1`"
    file = read_model(SpaceFile, read_yaml(path, SpaceError), path, SpaceError, rule=rule, page="docs/spaces.md")
    file = adapted(file, resolution, classes)
    try:
        return _Expansion(file).space()
    except (SpaceError, ArchitectureError) as problem:
        raise SpaceError(f"{path}: {problem}") from None


@dataclass(frozen=True)
class _Source:
    """Where a setting of one layer comes from: a constant, or a decision by its index."""

    constant: Option | None = None
    decision: int | None = None

    def axes(self) -> tuple[int, ...]:
        return () if self.decision is None else (self.decision,)

    def value(self, chosen: Mapping[int, Option]) -> Any:
        return self.constant if self.decision is None else chosen[self.decision]


class _Expansion:
    """The decisions, slots and canonical rules of one file, built stage by stage."""

    def __init__(self, file: SpaceFile) -> None:
        self.file = file
        self.decisions: list[Decision] = []
        self.slots: list[Slot] = []
        self.uses: dict[int, list[tuple[Condition, ...]]] = {}
        self.exchanges: list[Exchange] = []

    def space(self) -> Space:
        file = self.file
        layers = sum(max(stage.depth.choice) for stage in file.stages) + 1
        if layers > MAX_LAYERS:
            raise SpaceError(
                f"stages: a network has at most {MAX_LAYERS:,} layers, these stages give up to {layers:,}."
            )
        self.resolution = self.source(file.input.resolution, "resolution")
        self.activation = self.source(file.activation, "activation")
        width, shrink = _Source(file.input.channels), 1
        for index, stage in enumerate(file.stages):
            if stage.name in [other.name for other in file.stages[:index]]:
                raise SpaceError(f"stages.{index}.name: stages have different names, got {stage.name!r} twice.")
            width = self.stage(index, stage, width, shrink)
            shrink *= stage.stride
        self.head(width, shrink)
        return Space(
            name=file.name,
            decisions=tuple(self.decisions),
            slots=tuple(self.slots),
            references={name: dict(_flat(choices)) for name, choices in file.references.items()},
            canonical_form=Canonical(
                tuple(Effect(index, tuple(uses)) for index, uses in sorted(self.uses.items()) if () not in uses),
                tuple(self.exchanges),
            ),
            source=file.source,
        )

    def source(self, setting: Setting[Any], name: str) -> _Source:
        """A setting's constant, or a new decision for its choice."""
        if setting.fixed:
            return _Source(setting.options[0])
        self.decisions.append(Decision(name, tuple(setting.options)))
        return _Source(decision=len(self.decisions) - 1)

    def options(self, source: _Source) -> tuple[Option, ...]:
        if source.decision is None:
            assert source.constant is not None
            return (source.constant,)
        return self.decisions[source.decision].options

    def stage(self, index: int, stage: Stage, in_width: _Source, shrink: int) -> _Source:
        """Add a stage's decisions and slots; returns where its output width comes from."""
        place = f"stages.{index}"
        out_width = self.source(stage.width, f"{stage.name}.width")
        depth = self.source(stage.depth, f"{stage.name}.depth")
        candidates = {name: self.block(place, name) for name in stage.block.choice}
        for name, block in candidates.items():
            for setting in SETTINGS:
                if getattr(block, setting) is not None and getattr(stage, setting) is not None:
                    raise SpaceError(f"{place}.{setting}: block {name!r} fixes `{setting}` already; say it once.")
        if depth.decision is not None and any(block.kind == "identity" for block in candidates.values()):
            raise SpaceError(f"{place}.depth: a stage chooses its depth or offers a skip (identity), not both.")
        most = max(stage.depth.choice)
        written = {"block": stage.block, **{s: getattr(stage, s) for s in SETTINGS if getattr(stage, s) is not None}}
        shared = {
            name: self.source(setting, f"{stage.name}.{name}")
            for name, setting in written.items()
            if setting.per == "stage"
        }
        positions = []
        for position in range(most):
            own = {
                name: self.source(setting, f"{stage.name}.layer{position + 1}.{name}")
                for name, setting in written.items()
                if setting.per == "layer"
            }
            positions.append(own)
            self.layer(
                _LayerPlan(
                    name=f"{stage.name}.layer{position + 1}",
                    position=position,
                    candidates=candidates,
                    sources={"activation": self.activation, **shared, **own},
                    depth=depth,
                    in_width=in_width if position == 0 else out_width,
                    out_width=out_width,
                    stride=stage.stride if position == 0 else 1,
                    shrink=shrink if position == 0 else shrink * stage.stride,
                )
            )
        self.exchange(positions, candidates, first_fits=stage.stride == 1 and in_width == out_width)
        return out_width

    def block(self, place: str, name: str) -> Block:
        """A candidate by its name in `blocks`, or a bare kind."""
        if name in self.file.blocks:
            return self.file.blocks[name]
        if name not in block_kinds():
            known = ", ".join([*block_kinds(), *self.file.blocks])
            raise SpaceError(f"{place}.block: a block is one of {known}; got {name!r}.")
        return Block(kind=name)

    def layer(self, plan: _LayerPlan) -> None:
        """Add the slot of one layer, and note where its decisions matter."""
        sources = (*plan.sources.values(), plan.depth, plan.in_width, plan.out_width, self.resolution)
        if plan.position < min(map(int, self.options(plan.depth))):  # always there
            sources = tuple(source for source in sources if source is not plan.depth)
            exists: tuple[Condition, ...] = ()
        else:
            exists = (self.condition(plan.depth, lambda depth: int(depth) > plan.position),)
        axes = tuple(sorted({axis for source in sources for axis in source.axes()}))
        resolution = self.resolution

        def layers(*options: Option) -> tuple[Layer, ...]:
            return plan.layers(dict(zip(axes, options, strict=True)), resolution)

        self.slots.append(Slot(plan.name, axes, layers))
        self.note_uses(plan, exists)

    def note_uses(self, plan: _LayerPlan, exists: tuple[Condition, ...]) -> None:
        for source in (plan.depth, plan.in_width, plan.out_width, self.resolution):
            for axis in source.axes():
                self.uses.setdefault(axis, []).append(())
        block = plan.sources["block"]
        for axis in block.axes():
            self.uses.setdefault(axis, []).append(exists)
        for setting in SETTINGS:
            origin = plan.sources.get(setting)
            if origin is None or origin.decision is None:
                continue
            uses = self.uses.setdefault(origin.decision, [])
            reading = {name for name, candidate in plan.candidates.items() if plan.reads(candidate, setting)}
            if not reading:
                continue
            conditions = exists
            if block.decision is not None and len(reading) < len(plan.candidates):
                conditions += (self.condition(block, lambda name, among=reading: name in among),)
            if setting != "residual":
                uses.append(conditions)
            elif plan.stride == 1:
                uses += [(*conditions, *equal) for equal in self.equal_widths(plan.in_width, plan.out_width)]

    def equal_widths(self, left: _Source, right: _Source) -> Iterator[tuple[Condition, ...]]:
        """The ways in which two widths can agree, each as the conditions for it."""
        if left == right:
            yield ()
            return
        for width in self.options(left):
            if width in self.options(right):
                yield tuple(
                    self.condition(source, lambda option, width=width: option == width)
                    for source in (left, right)
                    if source.decision is not None
                )

    def condition(self, source: _Source, holds: Any) -> Condition:
        assert source.decision is not None
        return Condition(source.decision, tuple(bool(holds(option)) for option in self.options(source)))

    def exchange(
        self, positions: Sequence[Mapping[str, _Source]], candidates: Mapping[str, Block], first_fits: bool
    ) -> None:
        """Skips of a stage's equal layers are interchangeable."""
        movable = positions if first_fits else positions[1:]
        if len(movable) < 2 or "block" not in movable[0] or movable[0]["block"].decision is None:
            return
        skips = tuple(candidates[str(name)].kind == "identity" for name in self.options(movable[0]["block"]))
        if any(skips):
            names = [name for name, source in movable[0].items() if source.decision is not None]
            rows = tuple(tuple(position[name].axes()[0] for name in names) for position in movable)
            self.exchanges.append(Exchange(rows, names.index("block"), skips))

    def head(self, in_width: _Source, shrink: int) -> None:
        head = self.file.head
        mid = self.source(head.width, "head.width")
        resolution = self.resolution
        activation = self.activation if head.activation is None else _Source(head.activation)
        sources = (in_width, mid, activation, resolution)
        axes = tuple(sorted({axis for source in sources for axis in source.axes()}))

        def layers(*options: Option) -> tuple[Layer, ...]:
            chosen = dict(zip(axes, options, strict=True))
            size = _size(resolution.value(chosen), shrink)
            return (
                shared_layer(
                    kind="head",
                    in_channels=in_width.value(chosen),
                    mid_channels=mid.value(chosen),
                    out_channels=self.file.num_classes,
                    activation=activation.value(chosen),
                    height=size,
                    width=size,
                ),
            )

        self.slots.append(Slot("head", axes, layers))
        for axis in axes:
            self.uses.setdefault(axis, []).append(())


@dataclass(frozen=True)
class _LayerPlan:
    """One layer of a stage: where each of its settings comes from."""

    name: str
    position: int
    candidates: Mapping[str, Block]
    sources: Mapping[str, _Source]
    depth: _Source
    in_width: _Source
    out_width: _Source
    stride: int
    shrink: int

    def reads(self, block: Block, setting: str) -> bool:
        return setting in reads(block.kind) and getattr(block, setting) is None

    def layers(self, chosen: Mapping[int, Option], resolution: _Source) -> tuple[Layer, ...]:
        """The layer for these options; none where the depth leaves it out."""
        if self.depth.decision in chosen and int(self.depth.value(chosen)) <= self.position:
            return ()
        block = self.candidates[str(self.sources["block"].value(chosen))]
        kind = block.kind
        size = _size(resolution.value(chosen), self.shrink)
        into, out = self.in_width.value(chosen), self.out_width.value(chosen)
        if kind == "identity" and self.stride == 1 and into == out:
            return ()

        def setting(name: str) -> Any:
            fixed = getattr(block, name)
            if fixed is not None:
                return fixed
            source = self.sources.get(name)
            return {**DEFAULTS, **OWN_DEFAULTS.get(kind, {})}[name] if source is None else source.value(chosen)

        if kind == "mbconv" and block.expand == "needed" and setting("expansion") == 1:
            kind = "sepconv"
        fields = {
            "kernel": setting("kernel"),
            "mid_channels": round(setting("expansion") * into) if expands(kind) else into,
            "se_channels": int(setting("se") * into),
            "groups": setting("groups"),
            "residual": setting("residual") and self.stride == 1 and into == out,
            "activation": setting("activation"),
        }
        return (
            shared_layer(
                kind=kind,
                in_channels=into,
                out_channels=out,
                stride=self.stride,
                height=size,
                width=size,
                **{name: value for name, value in fields.items() if name in columns_of(block_class(kind))},
            ),
        )


def _size(resolution: int, shrink: int) -> int:
    return -(-resolution // shrink)


def _flat(choices: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Option]]:
    """Nested mappings of a reference as dotted names: {stage1: {kernel: 3}} is stage1.kernel = 3."""
    for name, value in choices.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value

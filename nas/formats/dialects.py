"""Dialects: how others name the weights of networks like ours, and the one way they fit a network.

A state dict of another library has the same tensors under other names. A dialect says in which order its names stand
in a network; then its modules and those of the network are held against each other, one by one, names of tensors and
shapes. What is missing, left over or of another shape is named; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.blocks.block import is_head
from nas.blocks.layer import NORM_EPS
from nas.blocks.rep import MAX_BRANCHES
from nas.errors import ArchitectureError
from nas.formats.kernels import Kernels, check_kernels, taken_apart
from nas.formats.merged import merged
from nas.formats.weights import named_weights, weight_shapes
from nas.system.text import short

Array = NDArray[np.float32]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation by colour of ImageNet's pictures on the scale 0 to 1."""


@dataclass(frozen=True)
class Dialect:
    """The names of one library."""

    name: str
    top: tuple[str, ...]
    """First words of names, in the order of the network. Words that are left out of a name count as not there."""
    blocks: tuple[tuple[str, ...], ...] = ()
    """What a block's modules may be called, in order, one tuple a kind of block; an entry that ends in `?` may be
    absent. Empty: numbers say it."""
    passed: str = "$^"
    """A pattern of what in names says nothing."""
    numbers: Mapping[str, str] = field(default_factory=dict)
    """Words in names that stand for a number."""
    marks: tuple[str, ...] = ()
    """Modules by which it is known."""
    conventions: Mapping[str, Any] = field(default_factory=dict)
    """`norm_eps`, `padding` and `se_activation` of its networks, where they are not the usual ones."""
    branched: bool = False
    """Whether its weights are of the branches that a network is trained with."""

    def ordered(self, modules: Sequence[str]) -> list[str] | None:
        """Names of modules in the order of the network; None where they are not of this dialect."""
        paths = {
            module: [self.numbers.get(word, word) for word in re.sub(self.passed, "", module).split(".")]
            for module in modules
        }
        if not {path[0] for path in paths.values()} <= set(self.top) or not set(self.marks) <= paths.keys():
            return None
        places = {}
        within: dict[tuple[Any, ...], list[str]] = {}
        for module, path in paths.items():
            depth = 1 + next((n for n, word in enumerate(path[1:]) if not word.isdecimal()), len(path) - 1)
            numbers = tuple(map(int, path[1:depth]))
            block, rest = (self.top.index(path[0]), numbers), ".".join(path[depth:])
            places[module] = (block, rest)
            within.setdefault(block, []).append(rest)
        ranks = {}
        for block, names in within.items():
            order = self._order(names)
            if order is None:
                return None
            ranks[block] = order
        return sorted(modules, key=lambda module: (places[module][0], ranks[places[module][0]][places[module][1]]))

    def _order(self, names: Sequence[str]) -> dict[str, Any] | None:
        """Ranks of the modules of one block."""
        if not self.blocks:
            return {name: _natural(name) for name in names}
        for kind in (("",), *self.blocks):
            needed = {name for name in kind if not name.endswith("?")}
            known = [name.removesuffix("?") for name in kind]
            if needed <= set(names) <= set(known):
                return {name: known.index(name) for name in names}
        return None


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """What sorts numbers by their size."""
    return tuple((0, int(word), "") if word.isdecimal() else (1, 0, word) for word in name.split("."))


_MOBILE = ("inverted_bottleneck.conv?", "inverted_bottleneck.bn?", "depth_conv.conv", "depth_conv.bn")
_GHOST = ("primary_conv.0", "primary_conv.1", "cheap_operation.0", "cheap_operation.1")
_SQUEEZE = ("depth_conv.se.fc.reduce?", "depth_conv.se.fc.expand?")
MAX_KERNELS = 16
"""Of mixed convolutions, far more than there are."""
_PART = re.compile(r"(.*\.)(conv_pw|conv_dw|conv_pwl)\.(\d+)")
_ATTENTION = ("attn.fc1?", "attn.fc2?")
_GATE = ("se.conv?", "se.conv_reduce?", "se.conv_expand?")
DIALECTS = (
    Dialect(
        "torchvision",
        ("features", "classifier"),
        passed=r"\.block(?=\.)",
        marks=("classifier.0", "classifier.3"),
        conventions={"norm_eps": 1e-3},  # of MobileNetV3 alone
    ),
    Dialect("torchvision", ("features", "classifier"), passed=r"\.(conv|block)(?=\.)"),
    Dialect("torchvision", ("layers", "classifier")),
    Dialect(
        "timm",
        ("conv_stem", "bn1", "blocks", "conv_head", "bn2", "norm_head", "classifier"),
        (
            ("conv_pw", "bn1", "conv_dw", "bn2", *_GATE, "conv_pwl", "bn3"),
            (
                *("conv_s2d?", "bn_s2d?", "conv_dw", "bn1"),
                *_GATE,
                *("conv_pw", "bn2"),
            ),
            ("conv_exp", "bn1", *_GATE, "conv_pwl", "bn2"),
            ("conv", "bn1"),
            (
                *("conv_pw", "bn1"),
                *(f"{part}.{place}?" for place in range(MAX_KERNELS) for part in ("conv_dw", "bn2")),
                *_GATE,
                *("conv_pwl", "bn3"),
            ),
            (
                *("dw_start.conv?", "dw_start.bn?", "pw_exp.conv", "pw_exp.bn", "dw_mid.conv?", "dw_mid.bn?"),
                *_GATE,
                *("pw_proj.conv", "pw_proj.bn", "layer_scale?"),
            ),
            (
                *("norm", "attn.query.proj"),
                *(f"attn.{side}.{part}" for side in ("key", "value") for part in ("down_conv?", "norm?", "proj")),
                *("attn.output.proj", "layer_scale?"),
            ),
            (
                *(f"ghost1.{part}" for part in _GHOST),
                *(f"ghost1.short_conv.{place}?" for place in range(6)),
                *("conv_dw?", "bn_dw?", *_GATE),
                *(f"ghost2.{part}" for part in _GHOST),
                *(f"shortcut.{place}?" for place in range(4)),
            ),
        ),
    ),
    Dialect(
        "timm",
        ("patch_embed", "stages", "conv_head", "classifier"),
        (
            ("proj", "norm"),
            ("downsample.reduction", "downsample.norm"),
            ("spatial_mixing.partial_conv3", "mlp.0", "mlp.1", "mlp.3"),
        ),
        passed=r"(?<=\d)\.blocks(?=\.)",
    ),
    Dialect(
        "timm",
        ("stem", "stages", "head"),
        (
            (
                *("conv_kxk.0.conv", "conv_kxk.0.bn"),
                *(f"conv_kxk.{number}.{part}?" for number in range(1, MAX_BRANCHES) for part in ("conv", "bn")),
                *("conv_scale.conv?", "conv_scale.bn?", "identity?", *_ATTENTION),
            ),
            ("conv_kxk.conv", "conv_kxk.bn", "conv_1x1.conv", "conv_1x1.bn", "identity?", *_ATTENTION),
            ("fc",),
        ),
        branched=True,
    ),
    Dialect("timm", ("stem", "stages", "head"), (("reparam_conv", *_ATTENTION), ("fc",))),
    Dialect(
        "efficientnet-pytorch",
        ("_conv_stem", "_bn0", "_blocks", "_conv_head", "_bn1", "_fc"),
        (
            (
                *("_expand_conv?", "_bn0?", "_depthwise_conv", "_bn1"),
                *("_se_reduce?", "_se_expand?", "_project_conv", "_bn2"),
            ),
        ),
        conventions={"norm_eps": 1e-3, "padding": "same"},
    ),
    Dialect(
        "once-for-all",
        ("first_conv", "blocks", "final_expand_layer", "feature_mix_layer", "classifier"),
        ((*_MOBILE, *_SQUEEZE, "point_linear.conv", "point_linear.bn"), ("conv", "bn?"), ("linear",)),
        passed=r"(?<=\d)\.(mobile_inverted_conv|conv)(?=\.\w+\.)|(?<=\.conv)\.conv$|(?<=\.bn)\.bn$",
    ),
    Dialect(
        "timm",
        ("stem", "stages", "norm", "head", "head_dist"),
        (
            ("conv1", "norm1", "conv2", "norm2"),
            ("downsample.conv", "downsample.norm"),
            ("ls1", "mlp.fc1", "mlp.norm1", "mlp.fc2", "mlp.norm2", "ls2"),
            (
                *("norm1", "token_mixer.qkv", "token_mixer", "token_mixer.proj", "ls1"),
                *("norm2", "mlp.fc1", "mlp.fc2", "ls2"),
            ),
        ),
        passed=r"\.blocks(?=\.)",
        marks=("head_dist",),
    ),
    Dialect(
        "timm",
        ("patch_embed", "stages", "head"),
        (
            ("c", "bn"),
            ("m.c", "m.bn"),
            ("m.pw1.c", "m.pw1.bn", "m.pw2.c", "m.pw2.bn"),
            ("conv1.c", "conv1.bn", "conv2.c", "conv2.bn", "se.fc1", "se.fc2", "conv3.c", "conv3.bn"),
            (
                *("conv.m.c", "conv.m.bn", "mixer.m.pre_norm?", "mixer.m.qkv.c?", "mixer.m.qkv.bn?"),
                *(
                    "mixer.m.proj.1.c?",
                    "mixer.m.proj.1.bn?",
                    "ffn.m.pw1.c",
                    "ffn.m.pw1.bn",
                    "ffn.m.pw2.c",
                    "ffn.m.pw2.bn",
                ),
            ),
            ("bn", "l"),
        ),
        numbers={"downsample": "0", "blocks": "1"},
    ),
)
"""In the order in which they are tried."""


@dataclass(frozen=True)
class Fitted:
    """Weights of elsewhere as those of a network."""

    architecture: Architecture
    """The network, with as many classes as the weights have, and the conventions of the dialect."""
    weights: dict[str, Array]
    """Under the names of `nas.blocks.build.build(architecture).state_dict()`."""
    dialect: str
    kernels: Kernels = field(default_factory=dict)
    """Its kernel transforms, where it has some."""


def fit(architecture: Architecture, tensors: Mapping[str, Array]) -> Fitted:
    """A state dict of elsewhere as the weights of a network.

    Raises `ArchitectureError` for names of no dialect, and for the first module that is missing, left over or of
    another shape.
    """
    if set(weight_shapes(architecture)) == set(tensors):
        return _own(architecture, tensors)
    plain, transforms = taken_apart(tensors)
    modules = _as_parts(_modules(plain))
    for dialect in DIALECTS:
        order = dialect.ordered(list(modules))
        if order is not None:
            architecture = _with_classes(architecture, modules[order[-1]])
            architecture = _with_conventions(architecture, dialect.conventions)
            form = architecture.for_training() if dialect.branched else architecture
            weights = _held_against(form, modules, order)
            ours = dict(zip(order, dict.fromkeys(name.rpartition(".")[0] for name in weights), strict=True))
            kernels = {ours.get(f"{name}.conv", name): matrices for name, matrices in transforms.items()}
            check_kernels(architecture, kernels)
            return Fitted(architecture, merged(form, weights), dialect.name, kernels)
    raise ArchitectureError(
        f"Names of weights are those of {', '.join(dict.fromkeys(d.name for d in DIALECTS))}, got "
        f"{', '.join(short(name, 60) for name in list(tensors)[:3])}, …"
    )


def _own(architecture: Architecture, tensors: Mapping[str, Array]) -> Fitted:
    for name, shape in weight_shapes(architecture).items():
        if tensors[name].shape != shape:
            raise ArchitectureError(f"{name!r} is {_by(shape)} in this network, got {_by(tensors[name].shape)}.")
    return Fitted(architecture, {name: tensors[name] for name in weight_shapes(architecture)}, "nas")


def _modules(tensors: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    found: dict[str, dict[str, Array]] = {}
    for name, array in tensors.items():
        module, _, tensor = name.rpartition(".")
        found.setdefault(module, {})[tensor] = array
    return found


def _as_parts(modules: Mapping[str, dict[str, Array]]) -> dict[str, dict[str, Array]]:
    """timm's mixed convolutions as ours: parts of a pointwise one are one in groups; each of a depthwise one has its
    share of the normalisation behind it."""
    found = dict(modules)
    parts: dict[tuple[str, str], list[str]] = {}
    for name in modules:
        if match := _PART.fullmatch(name):
            parts.setdefault((match[1], match[2]), []).append(name)
    for (block, conv), names in parts.items():
        names.sort(key=_natural)
        if conv != "conv_dw":
            groups = [found.pop(name) for name in names]
            shapes = {part["weight"].shape[1:] for part in groups if part.keys() == {"weight"}}
            if len(shapes) == 1:  # else they are left out, and said to be missing
                found[block + conv] = {"weight": np.concatenate([part["weight"] for part in groups])}
        elif norm := found.pop(f"{block}bn2", None):
            start = 0
            for place, name in enumerate(names):
                stop = start + len(found[name].get("weight", ()))
                found[f"{block}bn2.{place}"] = {tensor: array[start:stop] for tensor, array in norm.items()}
                start = stop
    return found


def _with_classes(architecture: Architecture, last: Mapping[str, Array]) -> Architecture:
    """The network with as many classes as its last module gives."""
    head = architecture.layers[-1]
    classes = len(last["weight"]) if "weight" in last else 0
    if not is_head(head.kind) or not classes or classes == head.out_channels:
        return architecture
    return replace(architecture, layers=(*architecture.layers[:-1], head.changed(out_channels=classes)))


def _with_conventions(architecture: Architecture, conventions: Mapping[str, Any]) -> Architecture:
    """Those of a dialect, unless the network itself has some."""
    if not conventions or any(layer.norm_eps != NORM_EPS for layer in architecture.layers):
        return architecture
    return replace(architecture, layers=tuple(layer.changed(**conventions) for layer in architecture.layers))


def _held_against(
    architecture: Architecture, modules: Mapping[str, Mapping[str, Array]], order: Sequence[str]
) -> dict[str, Array]:
    """One module of theirs for each of ours."""
    ours: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, weight in named_weights(architecture):
        module, _, tensor = name.rpartition(".")
        ours.setdefault(module, {})[tensor] = weight.shape
    weights: dict[str, Array] = {}
    for place, (module, wanted) in enumerate(ours.items()):
        index, position, what = (*module.split(".", 2), "")[:3]
        layer = architecture.layers[int(index)]
        where = f"layer {index} ({layer.kind}), `{layer.graph.nodes[int(position)].name}` {what}".rstrip()
        if place >= len(order):
            raise ArchitectureError(f"The weights of {where} are missing: {_shapes(wanted)}.")
        theirs = modules[order[place]]
        for tensor, shape in wanted.items():
            array = theirs.get(tensor)
            if array is None or not _alike(array.shape, shape) or len(theirs) != len(wanted):
                got = {name: array.shape for name, array in theirs.items()}
                raise ArchitectureError(
                    f"{where} takes {_shapes(wanted)}, but {short(order[place], 80)} has {_shapes(got)}: "
                    "the weights are of another network."
                )
            weights[f"{module}.{tensor}"] = np.ascontiguousarray(array.reshape(shape))
    if len(order) > len(ours):
        raise ArchitectureError(
            f"The network has no place for {', '.join(short(name, 60) for name in order[len(ours) :][:3])}: "
            f"{len(order) - len(ours)} modules of the weights are left over."
        )
    return weights


def _alike(theirs: tuple[int, ...], ours: tuple[int, ...]) -> bool:
    """Whether a tensor is another way of writing one: a fully connected layer as a 1×1 convolution, a factor for each
    channel without sides, a table of positions in one row."""
    flat = (ours[0], prod(ours[1:]))
    squeezed = [shape[:-2] if len(shape) > 2 and shape[-2:] == (1, 1) else shape for shape in (theirs, ours)]
    return squeezed[0] == squeezed[1] or (len(ours) == 3 and theirs == flat)


def _shapes(tensors: Mapping[str, tuple[int, ...]]) -> str:
    return " and ".join(f"{name} {_by(shape)}" for name, shape in tensors.items() if "running" not in name) or (
        "no weights"
    )


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))

"""Spaces that together offer every choice a file can, small enough for a supernet of each in a moment."""

from __future__ import annotations

from pathlib import Path

HEAD = "format: nas-space/1\nname: {name}\nsource: test\nnum_classes: 5\n"

ODD = {
    "widths": """
input: {resolution: 16}
activation: relu
stages:
  - {name: stem, block: conv, width: {choice: [8, 12]}, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: {choice: [8, 12, 16]}, depth: {choice: [1, 2, 3]}, kernel: {choice: [1, 3, 5]},
     expansion: {choice: [1, 2, 4]}}
  - {name: top, block: sepconv, width: {choice: [12, 20]}, stride: 2, kernel: {choice: [3, 7], per: layer}, depth: 2}
head: {width: {choice: [16, 24]}}
""",
    "multiplied": """
input: {resolution: 16}
activation: relu
width_multiplier: {choice: [1, 0.5, 1.5]}
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: {choice: [16, 24]}, depth: {choice: [1, 2]}, kernel: {choice: [3, 5]},
     expansion: {choice: [1, 2]}}
head: {width: {choice: [0, 16]}}
""",
    "resolutions": """
input: {resolution: {choice: [16, 24, 32]}}
activation: relu6
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: 12, depth: {choice: [1, 2]}, stride: 2, kernel: {choice: [3, 5]}, expansion: 2}
head: {width: 16}
""",
    "activations": """
input: {resolution: 16}
activation: {choice: [relu, hard-swish, swish]}
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: 12, depth: 2, kernel: {choice: [3, 5], per: layer}, expansion: {choice: [1, 3]},
     activation: {choice: [relu6, none], per: layer}}
head: {width: 16}
""",
    "groups": """
input: {resolution: 16}
activation: relu
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: {choice: [8, 12, 16]}, depth: 2, groups: {choice: [1, 2, 4], per: layer},
     kernel: {choice: [3, 5]}, expansion: {choice: [1, 2, 3], per: layer}}
  - {name: plain, block: conv, width: {choice: [8, 16]}, kernel: {choice: [1, 3]}, groups: {choice: [1, 2, 4]}}
head: {width: 16}
""",
    "kinds": """
input: {resolution: 16}
activation: relu
blocks:
  always: {kind: mbconv, kernel: 3, expansion: 1, expand: always}
  inverted: {kind: mbconv, kernel: 5, expansion: 3}
  separable: {kind: sepconv, kernel: 3}
  full: {kind: fused, kernel: 3, expansion: 2}
  wider: {kind: fused, kernel: 5, expansion: 3, se: 0.5}
  thin: {kind: tucker, kernel: 3, expansion: 0.25, rank: 0.75}
  thick: {kind: tucker, kernel: 5, expansion: 0.75, rank: 0.25}
  plain: {kind: conv, kernel: 3}
  skip: {kind: identity}
stages:
  - {name: stem, block: conv, width: {choice: [8, 12]}, stride: 2, kernel: 3}
  - {name: body, block: {choice: [always, inverted, separable, full, wider, thin, thick, plain, skip], per: layer},
     width: {choice: [8, 12]}, depth: 3}
  - {name: top, block: {choice: [full, skip, inverted]}, width: 16, stride: 2}
head: {width: 16}
""",
    "squeezes": """
input: {resolution: 16}
activation: relu
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: {choice: [8, 12]}, depth: {choice: [1, 2]}, kernel: {choice: [3, 5]},
     expansion: {choice: [1, 3]}, se: {choice: [0, 0.25, 0.5, 1], per: layer}}
  - {name: top, block: fused, width: 12, depth: 2, se: {choice: [0, 0.5]},
     residual: {choice: [true, false], per: layer}}
head: {width: 16}
""",
    "gates": """
input: {resolution: 16}
activation: relu
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: {choice: [8, 12]}, depth: {choice: [1, 2]}, kernel: {choice: [3, 5]},
     expansion: {choice: [1, 12]}, se: {choice: [0, 0.5]}, excitation: {choice: [se, eca, scse], per: layer}}
  - {name: top, block: fused, width: 12, expansion: {choice: [8, 16]}, excitation: eca}
head: {width: 16}
""",
    "universal": """
input: {resolution: 16}
activation: relu
head_after_pool: true
head_norm: true
stages:
  - {name: stem, block: conv, width: {choice: [8, 12]}, stride: 2, kernel: 3}
  - {name: body, block: uir, width: {choice: [8, 12]}, depth: {choice: [1, 3]}, start_kernel: {choice: [0, 5]},
     kernel: {choice: [0, 3, 5], per: layer}, expansion: {choice: [2, 3]}, layer_scale: true}
  - {name: last, block: uir, width: 16, stride: 2, start_kernel: {choice: [3, 5]}, kernel: {choice: [0, 3]},
     anti_alias: {choice: [none, blur]}, expansion: 2, se: {choice: [0, 0.5]}}
head: {width: 16}
""",
    "attention": """
input: {resolution: 16}
activation: gelu
blocks:
  two: {kind: mhsa, heads: 2, key_channels: 4, value_channels: 4, positions: offset, window: 4}
  four: {kind: mhsa, heads: 4, key_channels: 4, value_channels: 6, positions: offset}
  mixed: {kind: moat, heads: 2, key_channels: 4, value_channels: 4, positions: distance, kernel: 3}
  part: {kind: shsa, part_channels: 4, key_channels: 4}
  pool: {kind: poolformer, layer_scale: true}
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: body, block: {choice: [two, four, mixed, part, pool], per: layer}, width: {choice: [8, 12]},
     depth: {choice: [1, 2]}, expansion: {choice: [1, 2]}}
  - {name: top, block: {choice: [mixed, moat]}, width: 16, stride: 2, expansion: 2}
head: {width: 16}
""",
    "queries": """
input: {resolution: 16}
activation: gelu
blocks:
  attend: {kind: mqa, heads: 2, key_dim: 4}
  fewer: {kind: mqa, heads: 4, key_dim: 4, key_stride: 2, layer_scale: true}
  separable: {kind: dsa, kernel: 5, se: 0.5}
  mixed: {kind: mixconv, kernel: 5, kernels: 2, expansion: 2, project_groups: 2}
stages:
  - {name: stem, block: s2d, width: 8, stride: 2, kernel: 3, expansion: 4}
  - {name: body, block: {choice: [attend, fewer, separable, mixed], per: layer}, width: {choice: [8, 12]}, depth: 2}
  - {name: top, block: mqa, width: 12, heads: {choice: [1, 2, 3]}, key_dim: 4}
head: {width: 16}
""",
    "narrowing": """
input: {resolution: 16}
activation: relu
stages:
  - {name: stem, block: conv, width: {choice: [8, 12]}, stride: 2, kernel: 3}
  - {name: body, block: {choice: [fused, identity]}, width: 8}
  - {name: top, block: conv, width: 10, kernel: 3}
head: {width: 16}
""",
    "ghosts": """
input: {resolution: 16}
activation: {choice: [relu, evonorm]}
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: body, block: ghost, width: {choice: [8, 11]}, expansion: {choice: [1, 2.2]}, dfc: {choice: [true, false]}}
  - {name: top, block: ghost, width: 12, stride: 2, kernel: {choice: [3, 5]}, se: 0.5}
head: {width: 16}
""",
    "mixers": """
input: {resolution: 16}
activation: relu
blocks:
  partial: {kind: pconv, expansion: 2}
  largest: {kind: pool, kernel: 3, expansion: 2}
  average: {kind: pool, kernel: 5, expansion: 3, pooling: average}
  shifted: {kind: shift, kernel: 3, expansion: 3}
stages:
  - {name: stem, block: patch, width: {choice: [8, 12]}, stride: 2}
  - {name: body, block: {choice: [partial, largest, average, shifted], per: layer}, width: {choice: [8, 12]},
     depth: {choice: [1, 2]}}
  - {name: top, block: {choice: [pool, shift]}, width: 16, stride: 2, kernel: 3, expansion: {choice: [2, 3]}}
head: {width: 16}
""",
    "branches": """
input: {resolution: 16}
activation: relu
blocks:
  dense: {kind: rep, branches: 2}
  mobileone: {kind: rep, depthwise: true, small_kernel: 3, identity: false}
stages:
  - {name: stem, block: rep, width: {choice: [8, 12]}, stride: 2, kernel: 3}
  - {name: body, block: {choice: [dense, mobileone]}, width: {choice: [8, 12]}, depth: {choice: [1, 2]},
     kernel: {choice: [3, 13]}, se: {choice: [0, 0.5], per: layer}}
head: {width: 0}
""",
    "residuals": """
input: {resolution: 16}
activation: relu
stages:
  - {name: stem, block: conv, width: {choice: [8, 12]}, stride: 2, kernel: 3}
  - {name: plain, block: conv, width: {choice: [8, 12]}, depth: {choice: [1, 2]}, kernel: {choice: [1, 3]},
     residual: {choice: [true, false]}}
  - {name: body, block: mbconv, width: {choice: [8, 12]}, depth: {choice: [1, 3]}, expansion: {choice: [1, 2]},
     residual: {choice: [true, false], per: layer}}
head: {width: 16}
""",
}


def odd_space(name: str, folder: Path) -> Path:
    """The file of one of them."""
    path = folder / f"{name}.yaml"
    path.write_text(HEAD.format(name=name) + ODD[name])
    return path

"""A tiny space for descents, and what tests compare of one."""

from __future__ import annotations

import torch

from nas.policies.descent import Descent
from nas.system.interrupt import Signals

TINY = """
format: nas-space/1
name: tiny
source: test
num_classes: 10
input: {resolution: 8}
activation: relu
blocks:
  k3: {kind: mbconv, kernel: 3, expansion: 2}
  k5: {kind: mbconv, kernel: 5, expansion: 3}
  skip: {kind: identity}
stages:
  - {name: stem, block: conv, width: 8, stride: 1, kernel: 3}
  - {name: body, block: {choice: [k3, k5, skip], per: layer}, width: 8, depth: 2}
  - {name: top, block: mbconv, width: 12, stride: 2, depth: {choice: [1, 2]}, kernel: {choice: [3, 5]},
     expansion: {choice: [1, 2]}, se: {choice: [0, 0.5]}}
head: {width: 16}
"""

never = Signals()


def state(descent: Descent) -> dict[str, torch.Tensor]:
    return descent.training.stepper.tensors()

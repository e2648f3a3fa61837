"""Layers of a network, and the ops that each kind of layer is made of.

op.py            Op: shapes, MACs, weights, ONNX nodes of one operation; convolution.py, linear.py, join.py have them,
                 attention.py those of attention, mixing.py pools, shifts and slices, evonorm.py EvoNorm
graph.py         Graph: named ops, and which takes what
block.py         Block: a kind of layer that writes its graph; BLOCKS registers them
plain.py         the kinds: one convolution, and none; inverted.py: inverted bottlenecks; mhsa.py, moat.py, shsa.py,
                 poolformer.py: attention over pixels, and pooling in its place; ghost.py, pconv.py (FasterNet),
                 parameter_free.py (pool, shift): cheap operations; heads.py: heads
layer.py         Layer: a block with its input, the key of a latency table
architecture.py  layers, the wires between them, and outputs
modules.py       ops as torch modules; build.py makes a network of them
"""

from nas.blocks.architecture import Architecture
from nas.blocks.layer import KEY_COLUMNS, Layer

__all__ = ["KEY_COLUMNS", "Architecture", "Layer"]

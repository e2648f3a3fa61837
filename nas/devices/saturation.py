"""Whether 8-bit products are exact on this processor: asked of ONNX Runtime itself, by one product of matrices.

x86 processors with AVX2 and without VNNI add products of unsigned and signed bytes by pairs in 16 bits (vpmaddubsw),
which end at 32,767: 2 * 255 * 127 does not fit, 2 * 255 * 64 does. So weights of 7 bits are exact there, those of 8
are not.
"""

from __future__ import annotations

import numpy as np

PRODUCTS = 64
"""Products that are added up: enough for any kernel's vectors."""


def saturates() -> bool:
    """True where ONNX Runtime's sums of the largest 8-bit products come out too small on this processor."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    left, right = np.full((8, PRODUCTS), 255, np.uint8), np.full((PRODUCTS, 16), 127, np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["left", "right"], ["sums"])],
        "saturation",
        [helper.make_tensor_value_info("left", TensorProto.UINT8, left.shape)],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, (8, 16))],
        [onnx.numpy_helper.from_array(right, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return bool((session.run(None, {"left": left})[0] != PRODUCTS * 255 * 127).any())

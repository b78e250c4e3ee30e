"""Float weights -> `model.onnx`: nodes, constants, and products in exact integers.

A hidden state is quantised with the constant scale 1/127 and zero point 128, which |h| < 1 allows. Every product of
the two is therefore a sum of integers, exact in any order and any batch. Weights are int8 with one scale per column
and keep to 7 bits (−63 … 63): on x86 without VNNI onnxruntime adds pairs of u8 × s8 products in 16 bits, and
2 · 255 · 63 < 2^15 cannot saturate.

MatMulInteger, Cast, Mul is standard ONNX; onnxruntime packs the constant matrix once when it loads the model. Its
fused operator (com.microsoft.MatMulIntegerToFloat) was measured beside it and is not faster at these sizes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET: Final = 21
IR_VERSION: Final = 10
"""What onnxruntime 1.20 and later read."""
WEIGHT_LIMIT: Final = 63
HIDDEN_SCALE: Final = np.float32(1 / 127)
HIDDEN_ZERO_POINT: Final = np.uint8(128)


def quantise(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix as int8 within ±`WEIGHT_LIMIT` and one float32 scale per column. Raises `ValueError` on NaN."""
    if not np.isfinite(matrix).all():
        raise ValueError("a matrix that holds NaN or infinities cannot be quantised")
    peak = np.abs(matrix).max(axis=0)
    scale = np.where(peak > 0, peak / WEIGHT_LIMIT, 1.0).astype(np.float32)
    return np.rint(matrix / scale).astype(np.int8), scale


class StepGraph:
    """Collects the nodes and constants of one step. `quantised`: products in integers, else in float32."""

    def __init__(self, *, quantised: bool) -> None:
        self._quantised = quantised
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}

    def constant(self, name: str, value: NDArray[Any]) -> None:
        """Adds a constant."""
        self._constants[name] = value

    def node(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        """Adds a node of a standard operator. Names of inputs are of what was added before."""
        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))

    def hidden(self, state: str) -> str:
        """The name under which a hidden state, all of it between −1 and 1, enters a product."""
        if not self._quantised:
            return state
        out = f"{state}.uint8"
        if not any(out in node.output for node in self._nodes):
            self.constant("hidden.scale", np.array(HIDDEN_SCALE))
            self.constant("hidden.zero_point", np.array(HIDDEN_ZERO_POINT))
            self.node("QuantizeLinear", [state, "hidden.scale", "hidden.zero_point"], [out])
        return out

    def product(self, inputs: str, name: str, matrix: NDArray[np.float32], scale: np.float32 = HIDDEN_SCALE) -> str:
        """inputs @ matrix, float32; returns the name of the result.

        `inputs` is what `hidden` returned or, in a quantised graph, other uint8 values of that scale and the same zero
        point.
        """
        out = f"{name}.product"
        if not self._quantised:
            self.constant(f"{name}.matrix", matrix)
            self.node("MatMul", [inputs, f"{name}.matrix"], [out])
            return out
        integers, columns = quantise(matrix)
        self.constant(f"{name}.matrix.int8", integers)
        self.constant(f"{name}.matrix.scale", scale * columns)
        self.constant("hidden.zero_point", np.array(HIDDEN_ZERO_POINT))
        self.node("MatMulInteger", [inputs, f"{name}.matrix.int8", "hidden.zero_point"], [f"{out}.int32"])
        self.node("Cast", [f"{out}.int32"], [f"{out}.integers"], to=TensorProto.FLOAT)
        self.node("Mul", [f"{out}.integers", f"{name}.matrix.scale"], [out])
        return out

    def model(self, states: list[int], symbols: int) -> bytes:
        """The whole, with states of these sizes, each float32 `[batch, size]`."""

        def value(name: str, *shape: int, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, kind, ["batch", *shape])

        graph = helper.make_graph(
            self._nodes,
            "step",
            [value("char", kind=TensorProto.INT64), *(value(f"state.{i}", size) for i, size in enumerate(states))],
            [value("logits", symbols), *(value(f"next_state.{i}", size) for i, size in enumerate(states))],
            [numpy_helper.from_array(array, name) for name, array in self._constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="lstmega")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

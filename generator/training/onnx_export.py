"""Float weights -> `model.onnx`: nodes, constants, and products in exact integers.

A hidden state is quantised with the constant scale 1/127 and zero point 128, which |h| < 1 allows. Every product of
the two is therefore a sum of integers, exact in any order and any batch. Weights are int8 with one scale per column
and keep to 7 bits (−63 … 63): on x86 without VNNI onnxruntime adds pairs of u8 × s8 products in 16 bits, and
2 · 255 · 63 < 2^15 cannot saturate.

MatMulInteger, Cast, Mul is standard ONNX; onnxruntime packs the constant matrix once when it loads the model. Its
fused operator (com.microsoft.MatMulIntegerToFloat) was measured beside it and is not faster at these sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET: Final = 21
IR_VERSION: Final = 10
"""What onnxruntime 1.20 and later read."""
FloatWeights = dict[str, NDArray[np.float32]]
"""A network's weights by name; each architecture's module says which."""
WEIGHT_LIMIT: Final = 63
HIDDEN_SCALE: Final = np.float32(1 / 127)
HIDDEN_ZERO_POINT: Final = np.uint8(128)


def quantise(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Returns a matrix as int8 within ±`WEIGHT_LIMIT` and one float32 scale per column. Raises `ValueError` on NaN."""
    if not np.isfinite(matrix).all():
        raise ValueError("a matrix that holds NaN or infinities cannot be quantised")
    peak = np.abs(matrix).max(axis=0)
    scale = np.where(peak > 0, peak / WEIGHT_LIMIT, 1.0).astype(np.float32)
    return np.rint(matrix / scale).astype(np.int8), scale


def restored(constants: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.float32]:
    """Returns a matrix that `StepGraph.product` multiplied a hidden state by, from a graph's constants."""
    matrix: NDArray[np.float32] = constants[f"{name}.matrix.int8"] * constants[f"{name}.matrix.scale"]
    return matrix / HIDDEN_SCALE


class StepGraph:
    """Collects the nodes and constants of one step. `quantised`: products in integers, else in float32."""

    def __init__(self, *, quantised: bool) -> None:
        self.quantised: Final = quantised
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Adds a constant; returns its name."""
        self._constants[name] = value
        return name

    def node(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        """Adds a node of a standard operator."""
        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))

    def op(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Adds a node with one output; returns the output's name."""
        name = name or f"{operator}.{len(self._nodes)}"
        self.node(operator, list(inputs), [name], **attributes)
        return name

    def split(self, x: str, parts: int, widths: str = "") -> list[str]:
        """Splits `[batch, n]` into so many parts, equal ones unless a constant gives their widths."""
        names = [f"Split.{len(self._nodes)}.{part}" for part in range(parts)]
        inputs, attributes = ([x, widths], {}) if widths else ([x], {"num_outputs": parts})
        self.node("Split", inputs, names, axis=1, **attributes)
        return names

    def hidden(self, state: str) -> str:
        """Returns the name under which a hidden state, all of it between −1 and 1, enters a product."""
        return self.to_uint8(state, self.constant("hidden.scale", np.array(HIDDEN_SCALE))) if self.quantised else state

    def to_uint8(self, x: str, scale: str) -> str:
        """Quantises with a constant scale and the zero point of every product."""
        return self.op("QuantizeLinear", x, scale, self._zero_point())

    def product(self, inputs: str, name: str, matrix: NDArray[np.float32], scale: np.float32 = HIDDEN_SCALE) -> str:
        """Adds inputs @ matrix, float32; returns the name of the result.

        `inputs` is what `hidden` returned or, in a quantised graph, what `to_uint8` did at that scale.
        """
        if not self.quantised:
            return self.op("MatMul", inputs, self.constant(f"{name}.matrix", matrix))
        integers, columns = quantise(matrix)
        product = self.op("MatMulInteger", inputs, self.constant(f"{name}.matrix.int8", integers), self._zero_point())
        scales = self.constant(f"{name}.matrix.scale", scale * columns)
        return self.op("Mul", self.op("Cast", product, to=TensorProto.FLOAT), scales)

    def _zero_point(self) -> str:
        return self.constant("hidden.zero_point", np.array(HIDDEN_ZERO_POINT))

    def model(self, states: list[int], symbols: int) -> bytes:
        """Returns `model.onnx`, with states of these sizes, each float32 `[batch, size]`."""

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

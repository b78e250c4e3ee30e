"""Float weights -> `model.onnx`, the step that the bot serves.

Served form: the embedding, the input kernel and the bias are folded into one table of `vocabulary × 4·units` rows, an
exact rewriting. The recurrent and the output matrix are int8 with one scale per column. The hidden state is
quantised with the constant scale 1/127 and zero point 128, which |h| < 1 allows: so every product of the two is
a sum of integers, exact in any order and any batch. Weights keep to 7 bits (−63 … 63): on x86 without VNNI
onnxruntime adds pairs of u8 × s8 products in 16 bits, and 2 · 255 · 63 < 2^15 cannot saturate.

MatMulInteger, Cast, Mul is standard ONNX; onnxruntime packs the constant matrix once when it loads the model. Its own
fused operator (com.microsoft.MatMulIntegerToFloat) was measured beside it and is not faster at these sizes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from generator.training.model import FloatWeights

OPSET: Final = 21
IR_VERSION: Final = 10
"""What onnxruntime 1.20 and later read."""
WEIGHT_LIMIT: Final = 63
HIDDEN_SCALE: Final = np.float32(1 / 127)
HIDDEN_ZERO_POINT: Final = np.uint8(128)


def step_model(weights: FloatWeights, *, quantised: bool) -> bytes:
    """One LSTM step as the contract's graph. `quantised`: as served; else all in float32, to measure the loss by.

    `state.0` is the hidden state, `state.1` the cell state, both float32 `[batch, units]`.
    """
    units = weights["recurrent_kernel"].shape[0]
    symbols = weights["output_kernel"].shape[1]
    graph = _Graph()
    # Keras orders the gates i, f, g, o; one sigmoid over i, f, o wants g last.
    order = np.concatenate([np.arange(gate * units, (gate + 1) * units) for gate in (0, 1, 3, 2)])
    table = weights["embedding"].astype(np.float64) @ weights["kernel"] + weights["bias"]
    graph.constant("table", table[:, order].astype(np.float32))
    graph.constant("recurrent", weights["recurrent_kernel"][:, order])
    graph.constant("output", weights["output_kernel"])
    graph.constant("output.bias", weights["output_bias"])

    graph.node("Gather", ["table", "char"], ["from_character"])
    graph.product("state.0", "recurrent", "from_state", quantised=quantised)
    graph.node("Add", ["from_character", "from_state"], ["z"])
    graph.constant("three_and_one", np.array([3 * units, units], np.int64))
    graph.node("Split", ["z", "three_and_one"], ["z.ifo", "z.g"], axis=1)
    graph.node("Sigmoid", ["z.ifo"], ["ifo"])
    graph.node("Tanh", ["z.g"], ["g"])
    graph.node("Split", ["ifo"], ["i", "f", "o"], axis=1, num_outputs=3)
    graph.node("Mul", ["f", "state.1"], ["kept"])
    graph.node("Mul", ["i", "g"], ["written"])
    graph.node("Add", ["kept", "written"], ["next_state.1"])
    graph.node("Tanh", ["next_state.1"], ["squashed"])
    graph.node("Mul", ["o", "squashed"], ["next_state.0"])
    graph.product("next_state.0", "output", "without_bias", quantised=quantised)
    graph.node("Add", ["without_bias", "output.bias"], ["logits"])
    return graph.model(units, symbols)


def quantise(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix as int8 within ±`WEIGHT_LIMIT` and one float32 scale per column. Raises `ValueError` on NaN."""
    if not np.isfinite(matrix).all():
        raise ValueError("a matrix that holds NaN or infinities cannot be quantised")
    peak = np.abs(matrix).max(axis=0)
    scale = np.where(peak > 0, peak / WEIGHT_LIMIT, 1.0).astype(np.float32)
    return np.rint(matrix / scale).astype(np.int8), scale


class _Graph:
    """Nodes and constants as they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def constant(self, name: str, value: NDArray[Any]) -> None:
        self.constants[name] = value

    def node(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))

    def product(self, hidden: str, matrix: str, out: str, *, quantised: bool) -> None:
        """hidden @ matrix, float32; `quantised`: in integers."""
        if not quantised:
            self.node("MatMul", [hidden, matrix], [out])
            return
        integers, scale = quantise(self.constants.pop(matrix))
        self.constant(f"{matrix}.int8", integers)
        self.constant(f"{matrix}.scale", HIDDEN_SCALE * scale)
        self.constant("hidden.scale", np.array(HIDDEN_SCALE))
        self.constant("hidden.zero_point", np.array(HIDDEN_ZERO_POINT))
        self.node("QuantizeLinear", [hidden, "hidden.scale", "hidden.zero_point"], [f"{hidden}.uint8"])
        self.node("MatMulInteger", [f"{hidden}.uint8", f"{matrix}.int8", "hidden.zero_point"], [f"{out}.int32"])
        self.node("Cast", [f"{out}.int32"], [f"{out}.integers"], to=TensorProto.FLOAT)
        self.node("Mul", [f"{out}.integers", f"{matrix}.scale"], [out])

    def model(self, units: int, symbols: int) -> bytes:
        def value(name: str, *shape: int, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, kind, ["batch", *shape])

        graph = helper.make_graph(
            self.nodes,
            "step",
            [value("char", kind=TensorProto.INT64), value("state.0", units), value("state.1", units)],
            [value("logits", symbols), value("next_state.0", units), value("next_state.1", units)],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="lstmega")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

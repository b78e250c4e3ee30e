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
    """One step of the LSTM layers as the contract's graph. `quantised`: as served; else all in float32, to measure by.

    Layer n has its hidden state in `state.{2n}` and its cell state in `state.{2n + 1}`, both float32 `[batch, units]`.
    """
    layers = sum(name.endswith(".recurrent_kernel") for name in weights)
    graph = _Graph()
    units = [weights[f"lstm.{n}.recurrent_kernel"].shape[0] for n in range(layers)]
    for n in range(layers):
        # Keras orders the gates i, f, g, o; one sigmoid over i, f, o wants g last.
        order = np.concatenate([np.arange(gate * units[n], (gate + 1) * units[n]) for gate in (0, 1, 3, 2)])
        kernel, recurrent, bias = (
            weights[f"lstm.{n}.{name}"][..., order] for name in ("kernel", "recurrent_kernel", "bias")
        )
        hidden, cell = f"state.{2 * n}", f"state.{2 * n + 1}"
        if n == 0:
            table = weights["embedding"].astype(np.float64) @ kernel + bias
            graph.constant("table", table.astype(np.float32))
            graph.node("Gather", ["table", "char"], ["0.added"])
            graph.constant("0.matrix", recurrent)
            graph.product(graph.input(hidden, quantised=quantised), "0.matrix", "0.product", quantised=quantised)
        else:
            # What comes from below and from the step before, through one product.
            below = graph.input(f"next_state.{2 * n - 2}", quantised=quantised)
            before = graph.input(hidden, quantised=quantised)
            graph.node("Concat", [below, before], [f"{n}.inputs"], axis=1)
            graph.constant(f"{n}.matrix", np.concatenate([kernel, recurrent]))
            graph.constant(f"{n}.added", bias)
            graph.product(f"{n}.inputs", f"{n}.matrix", f"{n}.product", quantised=quantised)
        graph.node("Add", [f"{n}.added", f"{n}.product"], [f"{n}.z"])
        graph.constant(f"{n}.three_and_one", np.array([3 * units[n], units[n]], np.int64))
        graph.node("Split", [f"{n}.z", f"{n}.three_and_one"], [f"{n}.z.ifo", f"{n}.z.g"], axis=1)
        graph.node("Sigmoid", [f"{n}.z.ifo"], [f"{n}.ifo"])
        graph.node("Tanh", [f"{n}.z.g"], [f"{n}.g"])
        graph.node("Split", [f"{n}.ifo"], [f"{n}.i", f"{n}.f", f"{n}.o"], axis=1, num_outputs=3)
        graph.node("Mul", [f"{n}.f", cell], [f"{n}.kept"])
        graph.node("Mul", [f"{n}.i", f"{n}.g"], [f"{n}.written"])
        graph.node("Add", [f"{n}.kept", f"{n}.written"], [f"next_{cell}"])
        graph.node("Tanh", [f"next_{cell}"], [f"{n}.squashed"])
        graph.node("Mul", [f"{n}.o", f"{n}.squashed"], [f"next_{hidden}"])
    graph.constant("output.matrix", weights["output_kernel"])
    graph.constant("output.bias", weights["output_bias"])
    top = graph.input(f"next_state.{2 * layers - 2}", quantised=quantised)
    graph.product(top, "output.matrix", "output.product", quantised=quantised)
    graph.node("Add", ["output.product", "output.bias"], ["logits"])
    return graph.model([size for size in units for _ in range(2)], len(weights["output_bias"]))


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

    def input(self, hidden: str, *, quantised: bool) -> str:
        """The name under which a hidden state enters a product: itself, or its uint8 form."""
        if not quantised:
            return hidden
        out = f"{hidden}.uint8"
        if not any(out in node.output for node in self.nodes):
            self.constant("hidden.scale", np.array(HIDDEN_SCALE))
            self.constant("hidden.zero_point", np.array(HIDDEN_ZERO_POINT))
            self.node("QuantizeLinear", [hidden, "hidden.scale", "hidden.zero_point"], [out])
        return out

    def product(self, inputs: str, matrix: str, out: str, *, quantised: bool) -> None:
        """inputs @ matrix, float32; `quantised`: in integers."""
        if not quantised:
            self.node("MatMul", [inputs, matrix], [out])
            return
        integers, scale = quantise(self.constants.pop(matrix))
        self.constant(f"{matrix}.int8", integers)
        self.constant(f"{matrix}.scale", HIDDEN_SCALE * scale)
        self.node("MatMulInteger", [inputs, f"{matrix}.int8", "hidden.zero_point"], [f"{out}.int32"])
        self.node("Cast", [f"{out}.int32"], [f"{out}.integers"], to=TensorProto.FLOAT)
        self.node("Mul", [f"{out}.integers", f"{matrix}.scale"], [out])

    def model(self, states: list[int], symbols: int) -> bytes:
        """The whole, with states of these sizes."""

        def value(name: str, *shape: int, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, kind, ["batch", *shape])

        graph = helper.make_graph(
            self.nodes,
            "step",
            [value("char", kind=TensorProto.INT64), *(value(f"state.{i}", size) for i, size in enumerate(states))],
            [value("logits", symbols), *(value(f"next_state.{i}", size) for i, size in enumerate(states))],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="lstmega")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

"""Operators that compute element by element or along an axis: from the inputs to the outputs' shapes.

`RULES` is everything that a step may use; `REFUSED` says of the best known others what to write instead. An operator
that is missing here needs a line in a table.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from generator.graph import arrangements, products
from generator.graph.node import Made, Node, Rule, common, place_of
from generator.graph.tensors import (
    BOOL,
    FLOAT,
    INT64,
    INTEGER_KINDS,
    KINDS,
    MAX_KNOWN,
    UINT8,
    GraphError,
    Shape,
    Tensor,
    known,
)  # fmt: skip


def _each(node: Node) -> Made:
    """Element by element: as the first input is."""
    data = node.input(0)
    return Made([Tensor(data.shape, data.kind)])


def _identity(node: Node) -> Made:
    return Made([node.input(0)])


def _asked(node: Node) -> Made:
    """A yes or no for each element."""
    return Made([Tensor(node.input(0).shape, BOOL)])


def _broadcast(node: Node) -> Made:
    return Made([Tensor(common(*(tensor.shape for tensor in node.all())), node.input(0).kind)])


def _compare(node: Node) -> Made:
    return Made([Tensor(common(*(tensor.shape for tensor in node.all())), BOOL)])


def _followed(compute: Callable[..., Any], kind: int | None = None) -> Rule:
    """Element by element with broadcasting, the numbers too where all are known."""

    def rule(node: Node) -> Made:
        tensors = node.all()
        shape, of = common(*(tensor.shape for tensor in tensors)), tensors[-1].kind if kind is None else kind
        if math.prod(shape) > MAX_KNOWN or any(tensor.values is None for tensor in tensors):
            return Made([Tensor(shape, of)])
        return Made([known(of, compute(*(tensor.values for tensor in tensors)))])

    return rule


def _towards_zero(left: Any, right: Any) -> Any:
    return np.where(left * right < 0, -(abs(left) // right), abs(left) // right)


def _divided(compute: Callable[..., Any] | None) -> Rule:
    """onnxruntime leaves INT64_MIN / -1 to the processor, which ends the whole process (seen with 1.32): a divisor of
    integers has to be known and above 0."""
    rule = _broadcast if compute is None else _followed(compute)

    def checked(node: Node) -> Made:
        whole = any(tensor.kind in INTEGER_KINDS for tensor in node.all())
        if whole and (node.input(1).values is None or min(node.list(1), default=1) < 1):
            raise GraphError(
                f"{node.operator} of integers needs a constant divisor above 0, of int32 or int64; Cast to float first"
            )
        return rule(node)

    return checked


def _cast(node: Node) -> Made:
    data = node.input(0)
    kind = node.attribute("to") if node.operator == "Cast" else node.input(1).kind
    if kind not in KINDS:
        raise GraphError(f"{node.operator} makes no numbers")
    if data.values is None:
        return Made([Tensor(data.shape, kind)])
    if kind == data.kind:
        return Made([data])
    values = [bool(value) if kind == BOOL else int(value) for value in data.values.flat]
    return Made([known(kind, np.array(values, object).reshape(data.shape))])


def _dropout(node: Node) -> Made:
    training = node.input(2).values if node.has(2) else np.array(False)
    if training is None or training.any():
        raise GraphError("Dropout may not train in a step, which has to give the same each time")
    data = node.input(0)
    return Made([data, Tensor(data.shape, BOOL)])


def _quantize(node: Node) -> Made:
    kind = node.input(2).kind if node.has(2) else node.attribute("output_dtype", 0) or UINT8
    return Made([Tensor(node.input(0).shape, kind)])


def _dequantize(node: Node) -> Made:
    return Made([Tensor(node.input(0).shape, node.input(1).kind)])


def _dynamic_quantize(node: Node) -> Made:
    return Made([Tensor(node.input(0).shape, UINT8), Tensor((), FLOAT), Tensor((), UINT8)])


def _layer_norm(node: Node) -> Made:
    data = node.input(0)
    axis = place_of(node.attribute("axis", -1), len(data.shape))
    less = Tensor(data.shape[:axis] + (1,) * (len(data.shape) - axis), FLOAT)
    return Made([Tensor(data.shape, data.kind), less, less], scratch=data.size)


def _normalize(node: Node) -> Made:
    """In several steps, with what lies between them. `BatchNormalization` gives more than this only in training."""
    data = node.input(0)
    return Made([Tensor(data.shape, data.kind)], scratch=3 * data.size)


def _reduce(node: Node) -> Made:
    data, axes = node.input(0), node.either("axes", 1) or ()
    if not axes and node.attribute("noop_with_empty_axes", 0):
        return _each(node)
    places = {place_of(axis, len(data.shape)) for axis in axes} or set(range(len(data.shape)))
    return Made([Tensor(_without(data.shape, places, node), data.kind)], scratch=data.size)


def _arg(node: Node) -> Made:
    shape = node.input(0).shape
    return Made([Tensor(_without(shape, {place_of(node.attribute("axis", 0), len(shape))}, node), INT64)])


def _without(shape: Shape, gone: set[int], node: Node) -> Shape:
    kept = (1,) if node.attribute("keepdims", 1) else ()
    return tuple(part for p, size in enumerate(shape) for part in (kept if p in gone else (size,)))


def _top(node: Node) -> Made:
    data = node.input(0)
    (count,) = node.either("k", 1) or ()
    axis = place_of(node.attribute("axis", -1), len(data.shape))
    if not 0 <= count <= data.shape[axis]:
        raise ValueError("more than there are")
    shape = (*data.shape[:axis], count, *data.shape[axis + 1 :])
    return Made([Tensor(shape, data.kind), Tensor(shape, INT64)], products=data.size * 32)


def _eye(node: Node) -> Made:
    data = node.input(0)
    return Made([Tensor(data.shape, node.attribute("dtype", data.kind))])


def _table(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: Final[dict[str, Rule]] = {
    **arrangements.RULES,
    **products.RULES,
    **_table(_each, """
        Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Celu Clip Cos Cosh CumSum Elu Erf Exp Floor Gelu
        HardSigmoid HardSwish Hardmax LeakyRelu Log LogSoftmax Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid
        Sign Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Trilu Scatter ScatterElements ScatterND
    """),
    **_table(_asked, "IsNaN IsInf"),
    **_table(_broadcast, "BitwiseAnd BitwiseOr BitwiseXor Max Mean Min PRelu Pow Sum"),
    **_table(_compare, "And Greater GreaterOrEqual Less LessOrEqual Or Xor"),
    **_table(_reduce, """
        ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare
    """),
    **_table(_arg, "ArgMax ArgMin"),
    **_table(_normalize, """
        BatchNormalization InstanceNormalization LpNormalization MeanVarianceNormalization RMSNormalization
    """),
    "Add": _followed(operator.add),
    "Sub": _followed(operator.sub),
    "Mul": _followed(operator.mul),
    "Div": _divided(_towards_zero),
    "Mod": _divided(None),
    "Equal": _followed(operator.eq, BOOL),
    "Where": _followed(lambda condition, yes, no: np.where(condition.astype(bool), yes, no)),
    "Identity": _identity,
    **_table(_cast, "Cast CastLike"),
    "Dropout": _dropout,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "LayerNormalization": _layer_norm,
    "TopK": _top,
    "EyeLike": _eye,
}  # fmt: skip

_UNROLL: Final = "a loop has no bound here; write its turns out, or use LSTM, GRU or RNN"
_CHOOSE: Final = "compute both branches and choose with Where"
_DRAW: Final = "a step gives logits, and the bot draws"
_TENSORS: Final = "use plain tensors, with Concat and Split"
REFUSED: Final = {
    "Loop": _UNROLL, "Scan": _UNROLL, "If": _CHOOSE, "Bernoulli": _DRAW, "Multinomial": _DRAW, "Random": _DRAW,
    "Sequence": _TENSORS, "Optional": _TENSORS, "SplitToSequence": _TENSORS, "ConcatFromSequence": _TENSORS,
    "String": "a step has no text", "NonZero": "its size depends on numbers; use Where",
}  # fmt: skip
"""By how their names begin."""


def rule_of(domain: str, name: str) -> Rule:
    """The rule of an operator. Raises `GraphError`."""
    if domain not in ("", "ai.onnx"):
        advice = "write it with ONNX's own operators"
    elif name in RULES:
        return RULES[name]
    else:
        advice = next((text for start, text in REFUSED.items() if name.startswith(start)), "build it from simpler ones")
    raise GraphError(f"the operator {name[:60]!r} is none that a step may use: {advice}")

"""Operators that are products of matrices, recurrent layers among them: where a step's time goes."""

from __future__ import annotations

import math
import re
from typing import Final

from generator.graph.node import Made, Node, Rule, common
from generator.graph.tensors import INT32, GraphError, Shape, Tensor


def _matmul(node: Node) -> Made:
    left, right = node.input(0).shape, node.input(1).shape
    shape, shared = product(left, right)
    kind = INT32 if node.operator == "MatMulInteger" else node.input(0).kind
    return Made([Tensor(shape, kind)], products=math.prod(shape) * shared)


def product(left: Shape, right: Shape) -> tuple[Shape, int]:
    """Shape of a product of matrices as numpy.matmul has it, and the size that goes. Raises `ValueError`."""
    row, column = len(left) == 1, len(right) == 1
    (*more_left, rows, shared), (*more_right, also_shared, columns) = (
        (1, *left) if row else left,
        (*right, 1) if column else right,
    )
    if shared != also_shared:
        raise ValueError("sizes differ")
    outer = common(tuple(more_left), tuple(more_right))
    return (*outer, *(() if row else (rows,)), *(() if column else (columns,))), shared


def _gemm(node: Node) -> Made:
    left, right = node.input(0), node.input(1)
    (rows, shared), (also_shared, columns) = (
        left.shape[:: -1 if node.attribute("transA", 0) else 1],
        right.shape[:: -1 if node.attribute("transB", 0) else 1],
    )
    shape = (rows, columns)
    if shared != also_shared or (node.has(2) and common(shape, node.input(2).shape) != shape):
        raise ValueError("sizes differ")
    return Made([Tensor(shape, left.kind)], products=rows * columns * shared)


def _einsum(node: Node) -> Made:
    found = re.fullmatch(r"([A-Za-z]+),([A-Za-z]+)->([A-Za-z]*)", node.attributes.texts["equation"].replace(" ", ""))
    if not found or len(node.inputs) != 2 or any(len(set(letters)) < len(letters) for letters in found.groups()):
        raise GraphError("Einsum in a step needs two inputs, an output, and no letter twice in any of them")
    sizes: dict[str, int] = {}
    for letters, tensor in zip(found.groups(), node.all(), strict=False):
        for letter, size in zip(letters, tensor.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ValueError("sizes differ")
    shape = tuple(sizes[letter] for letter in found[3])
    scratch = sum(tensor.size for tensor in node.all())
    return Made([Tensor(shape, node.input(0).kind)], math.prod(sizes.values()), scratch)


_GATES: Final = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _recurrent(node: Node) -> Made:
    data, kernel, recurrent = (node.input(place) for place in range(3))
    (time, rows, width), (ways, _, units), gates = data.shape, recurrent.shape, _GATES[node.operator]
    wanted = 2 if node.attributes.texts.get("direction", "forward").lower() == "bidirectional" else 1
    if node.attribute("layout", 0):
        raise GraphError(f"{node.operator} must have layout 0, time before batch; onnxruntime has no other")
    if (kernel.shape, recurrent.shape) != ((ways, gates * units, width), (ways, gates * units, units)):
        raise ValueError("sizes differ")
    if ways != wanted or node.attribute("hidden_size", units) != units:
        raise ValueError("sizes differ")
    state = Tensor((ways, rows, units), data.kind)
    made = [Tensor((time, ways, rows, units), data.kind), state, state]
    work = time * rows * ways * gates * units
    return Made(made[: 3 if node.operator == "LSTM" else 2], work * (width + units), scratch=work)


RULES: Final[dict[str, Rule]] = {
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    **dict.fromkeys(_GATES, _recurrent),
}

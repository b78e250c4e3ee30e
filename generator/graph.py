"""What a step's graph may be: read from the bytes of `model.onnx` before onnxruntime sees them.

A model is a program, and onnxruntime runs what it is given: loops without end, reads of other files, tensors of any
size. Weights come from elsewhere now and then, so this is the door: known operators on tensors of known sizes,
computed here, with every constant in the file itself. Then a step takes bounded memory and bounded time, whatever the
numbers in it are.

An architecture that needs another operator brings a line for it in `_OPERATORS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from generator.protobuf import Message, WireError

ROWS: Final = 64
"""The batch that sizes are computed for: twice what the worker runs at once."""
MAX_ELEMENTS: Final = 1 << 24
"""Of all tensors of a step of `ROWS` rows together, constants left out: 64 MB in float32. The shipped one has 3 M."""
MAX_PRODUCTS: Final = ROWS << 28
"""Multiplications in a step of `ROWS` rows: fifty times what the shipped network does."""
_MAX_SMALL_BYTES: Final = 1 << 20
"""Of everything but the constants; the shipped network's nodes have 2 kB."""
_MAX_RANK: Final = 8
_OPSETS: Final = range(13, 64)
"""Since 13 all operators below are written as they are read here; onnxruntime says which is too new for it."""

# The numbers of the fields: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3. What stands in none of these
# tables (functions, training, external data, sparse and quantised tensors, nested graphs) has no place in a step.
_MODEL: Final = {
    1: "ir_version", 2: "producer_name", 3: "producer_version", 4: "domain", 5: "model_version", 6: "doc_string",
    7: "graph", 8: "opset_import",
}  # fmt: skip
_OPSET: Final = {1: "domain", 2: "version"}
_GRAPH: Final = {1: "node", 2: "name", 5: "initializer", 10: "doc_string", 11: "input", 12: "output"}
_NODE: Final = {1: "input", 2: "output", 3: "name", 4: "op_type", 5: "attribute", 6: "doc_string", 7: "domain"}
_ATTRIBUTE: Final = {1: "name", 3: "i", 8: "ints", 13: "doc_string", 20: "type"}
_TENSOR: Final = {1: "dims", 2: "data_type", 8: "name", 9: "raw_data", 12: "doc_string"}
_VALUE: Final = {1: "name", 2: "type", 3: "doc_string"}
_TYPE: Final = {1: "tensor_type"}
_TENSOR_TYPE: Final = {1: "elem_type", 2: "shape"}
_SHAPE: Final = {1: "dim"}
_DIMENSION: Final = {1: "dim_value", 2: "dim_param", 3: "denotation"}
_BYTES: Final = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8}
"""By `TensorProto.DataType`: float, (u)int8, (u)int16, int32, int64, bool, float16, double."""
_INT64: Final = 7

Shape = tuple[int, ...]


class GraphError(ValueError):
    """Not a graph that may run here; the text says why."""


def check(model: bytes) -> None:
    """Raises `GraphError` unless a step of this `model.onnx` is bounded in memory and time, and reads no other file."""
    try:
        content = Message(memoryview(model), _MODEL)
        opsets = [Message(opset, _OPSET) for opset in content.repeated("opset_import")]
        if len(opsets) != 1 or opsets[0].text("domain") or opsets[0].number("version") not in _OPSETS:
            raise GraphError(f"must use one set of operators, ONNX's own from version {_OPSETS[0]} on")
        _Sizes(Message(content.bytes("graph"), _GRAPH)).follow()
    except WireError as error:
        raise GraphError(f"is no step of a network: {error}") from error


@dataclass(frozen=True, slots=True)
class _Node:
    """An operator with the shapes of its inputs (`None` for one left out) and its integer attributes.

    `constants`: the values of inputs that are constant lists of integers. `outputs`: how many there are.
    """

    operator: str
    shapes: Sequence[Shape | None]
    constants: Sequence[Sequence[int] | None]
    outputs: int
    attributes: Mapping[str, Sequence[int]]

    def shape(self, place: int) -> Shape:
        """Of the input in this place."""
        shape = self.shapes[place] if place < len(self.shapes) else None
        if shape is None:
            raise GraphError(f"{self.operator} lacks an input")
        return shape

    def constant(self, place: int) -> Sequence[int]:
        """The integers in the input in this place, which has to be a constant."""
        value = self.constants[place] if place < len(self.constants) else None
        if value is None:
            raise GraphError(f"{self.operator} needs a constant of integers as input {place}")
        return value

    def attribute(self, name: str, default: int | None = None) -> int:
        """An attribute that is one integer."""
        values = self.attributes.get(name, () if default is None else (default,))
        if len(values) != 1:
            raise GraphError(f"{self.operator} needs one {name}")
        return values[0]


class _Sizes:
    """Follows a graph from its inputs to its outputs and adds up what a step takes."""

    def __init__(self, graph: Message) -> None:
        small = [part for name in ("node", "input", "output") for part in graph.repeated(name)]
        if sum(map(len, small)) > _MAX_SMALL_BYTES:
            raise GraphError(f"has more than {_MAX_SMALL_BYTES} bytes beside its constants")
        self._graph = graph
        self._shapes: dict[str, Shape] = {}
        self._constants: dict[str, Sequence[int]] = {}
        self._elements = self._products = 0

    def follow(self) -> None:
        """Raises `GraphError`."""
        for tensor in self._graph.repeated("initializer"):
            self._constant(Message(tensor, _TENSOR))
        for value in self._graph.repeated("input"):
            self._input(Message(value, _VALUE))
        for node in self._graph.repeated("node"):
            self._node(Message(node, _NODE))
        for value in self._graph.repeated("output"):
            name, shape = _declared(Message(value, _VALUE))
            if self._shapes.get(name) != shape:
                raise GraphError(f"the output {name[:60]!r} has another shape than it declares, or none")

    def _constant(self, tensor: Message) -> None:
        name, kind, shape = tensor.text("name"), tensor.number("data_type"), tuple(tensor.numbers("dims"))
        content = tensor.bytes("raw_data", memoryview(b""))
        if kind not in _BYTES or min(shape, default=1) < 0 or math.prod(shape) * _BYTES[kind] != len(content):
            raise GraphError(f"the constant {name[:60]!r} has {len(content)} bytes, which is not what it declares")
        self._new(name, shape)
        if kind == _INT64 and len(shape) == 1 and shape[0] <= _MAX_PARTS:
            self._constants[name] = [int(value) for value in np.frombuffer(content, "<i8")]

    def _input(self, value: Message) -> None:
        name, shape = _declared(value)
        self._count(shape)
        self._new(name, shape)

    def _node(self, node: Message) -> None:
        operator, inputs, outputs = node.text("op_type"), node.texts("input"), node.texts("output")
        if node.text("domain") or operator not in _OPERATORS:
            raise GraphError(f"the operator {operator[:60]!r} is none that a step may use")
        attributes: dict[str, list[int]] = {}
        for part in node.repeated("attribute"):
            attribute = Message(part, _ATTRIBUTE)
            attributes[attribute.text("name")] = attribute.numbers("i") + attribute.numbers("ints")
        allowed, rule = _OPERATORS[operator]
        if not attributes.keys() <= set(allowed.split()) or len(attributes) < len(node.repeated("attribute")):
            raise GraphError(f"{operator} has an attribute that a step may not use")
        for name in filter(None, inputs):
            if name not in self._shapes:
                raise GraphError(f"{operator} reads {name[:60]!r} before it is made")
        shapes = [self._shapes[name] if name else None for name in inputs]
        constants = [self._constants.get(name) for name in inputs]
        try:
            made, products = rule(_Node(operator, shapes, constants, len(outputs), attributes))
        except GraphError:
            raise
        except (IndexError, ValueError, ArithmeticError) as error:
            raise GraphError(f"{operator} cannot be applied to tensors of these sizes") from error
        if len(outputs) > len(made):
            raise GraphError(f"{operator} has too many outputs")
        self._products += products
        if self._products > MAX_PRODUCTS:
            raise GraphError("a step of it takes too many multiplications to be served")
        for shape in made:
            self._count(shape)
        for name, shape in zip(outputs, made, strict=False):
            if name:
                self._new(name, shape)

    def _new(self, name: str, shape: Shape) -> None:
        if name in self._shapes or len(shape) > _MAX_RANK:
            raise GraphError(f"{name[:60]!r} is there twice, or has more than {_MAX_RANK} dimensions")
        self._shapes[name] = shape

    def _count(self, shape: Shape) -> None:
        self._elements += math.prod(shape)
        if self._elements > MAX_ELEMENTS:
            raise GraphError(f"a step of {ROWS} rows takes more than {MAX_ELEMENTS} numbers")


def _declared(value: Message) -> tuple[str, Shape]:
    """Name and shape of an input or an output."""
    kind = Message(Message(value.bytes("type"), _TYPE).bytes("tensor_type"), _TENSOR_TYPE)
    dimensions = [Message(part, _DIMENSION) for part in Message(kind.bytes("shape"), _SHAPE).repeated("dim")]
    shape = tuple(dimension.number("dim_value", ROWS) for dimension in dimensions)
    if min(shape, default=1) < 0:
        raise GraphError("an input or output has a negative size")
    return value.text("name"), shape


# ---- operators: from the inputs' shapes to the outputs', and the multiplications ------------------------------------

_Rule = Callable[[_Node], tuple[list[Shape], int]]
_MAX_PARTS: Final = 64
"""Numbers in a constant that says how a tensor is cut or turned."""


def _each(node: _Node) -> tuple[list[Shape], int]:
    """Element by element: as the first input is."""
    return [node.shape(0)], math.prod(node.shape(0))


def _cast(node: _Node) -> tuple[list[Shape], int]:
    if node.attribute("to") not in _BYTES:
        raise GraphError("Cast makes no numbers")
    return _each(node)


def _broadcast(node: _Node) -> tuple[list[Shape], int]:
    shape = _common(*(node.shape(place) for place in range(len(node.shapes))))
    return [shape], math.prod(shape)


def _common(*shapes: Shape) -> Shape:
    """https://onnx.ai/onnx/repo-docs/Broadcasting.html. Not NumPy's function, which would refuse the largest sizes."""
    rank = max(map(len, shapes))
    columns = zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True)
    return tuple(_widest(column) for column in columns)


def _widest(sizes: Sequence[int]) -> int:
    kinds = set(sizes) - {1}
    if len(kinds) > 1:
        raise ValueError("sizes differ")
    return kinds.pop() if kinds else 1


def _matmul(node: _Node) -> tuple[list[Shape], int]:
    (*left, rows, shared), (*right, also_shared, columns) = node.shape(0), node.shape(1)
    if shared != also_shared:
        raise ValueError("sizes differ")
    shape = (*_common(tuple(left), tuple(right)), rows, columns)
    return [shape], math.prod(shape) * shared


def _gather(node: _Node) -> tuple[list[Shape], int]:
    data, places = node.shape(0), node.shape(1)
    axis = _axis(node.attribute("axis", 0), len(data))
    return [data[:axis] + places + data[axis + 1 :]], 0


def _concat(node: _Node) -> tuple[list[Shape], int]:
    shapes = [node.shape(place) for place in range(len(node.shapes))]
    axis = _axis(node.attribute("axis"), len(shapes[0]))
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) != 1:
        raise ValueError("sizes differ")
    return [(*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])], 0


def _split(node: _Node) -> tuple[list[Shape], int]:
    data = node.shape(0)
    axis = _axis(node.attribute("axis", 0), len(data))
    if len(node.shapes) > 1:
        sizes = list(node.constant(1))
    else:
        part = -(-data[axis] // node.outputs)
        sizes = [part] * (data[axis] // part) + [data[axis] % part] * (data[axis] % part > 0)
    if sum(sizes) != data[axis] or min(sizes) < 0:
        raise ValueError("the parts are not the whole")
    return [(*data[:axis], size, *data[axis + 1 :]) for size in sizes], 0


def _slice(node: _Node) -> tuple[list[Shape], int]:
    shape = list(node.shape(0))
    starts, ends = node.constant(1), node.constant(2)
    axes = node.constant(3) if len(node.shapes) > 3 else range(len(starts))
    steps = node.constant(4) if len(node.shapes) > 4 else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = _axis(axis, len(shape))
        shape[place] = len(range(*slice(start, end, step).indices(shape[place])))
    return [tuple(shape)], 0


def _unsqueeze(node: _Node) -> tuple[list[Shape], int]:
    rank = len(node.shape(0)) + len(node.constant(1))
    new = {_axis(axis, rank) for axis in node.constant(1)}
    old = iter(node.shape(0))
    return [tuple(1 if place in new else next(old) for place in range(rank))], 0


def _squeeze(node: _Node) -> tuple[list[Shape], int]:
    shape = node.shape(0)
    gone = {_axis(axis, len(shape)) for axis in node.constant(1)}
    if any(shape[place] != 1 for place in gone):
        raise ValueError("a size that is not 1 cannot go")
    return [tuple(size for place, size in enumerate(shape) if place not in gone)], 0


def _transpose(node: _Node) -> tuple[list[Shape], int]:
    shape = node.shape(0)
    order = node.attributes.get("perm", range(len(shape))[::-1])
    if sorted(order) != list(range(len(shape))):
        raise ValueError("no order of the dimensions")
    return [tuple(shape[place] for place in order)], 0


def _lstm(node: _Node) -> tuple[list[Shape], int]:
    (time, rows, width), (_, _, units) = node.shape(0), node.shape(2)
    if node.attribute("hidden_size") != units or node.shape(2) != (1, 4 * units, units):
        raise ValueError("sizes differ")
    # The last is no output: its gates, for all steps at once.
    states: list[Shape] = [(time, 1, rows, units), (1, rows, units), (1, rows, units), (time, rows, 4 * units)]
    return states, time * rows * 4 * units * (width + units)


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError("no such dimension")
    return axis % rank


_OPERATORS: Final[dict[str, tuple[str, _Rule]]] = {
    **dict.fromkeys(("Identity", "Sigmoid", "Tanh", "Relu"), ("", _each)),
    **dict.fromkeys(("Add", "Sub", "Mul"), ("", _broadcast)),
    "Cast": ("to", _cast),
    "QuantizeLinear": ("", _each),
    **dict.fromkeys(("MatMul", "MatMulInteger"), ("", _matmul)),
    "Gather": ("axis", _gather),
    "Concat": ("axis", _concat),
    "Split": ("axis num_outputs", _split),
    "Slice": ("", _slice),
    "Unsqueeze": ("", _unsqueeze),
    "Squeeze": ("", _squeeze),
    "Transpose": ("perm", _transpose),
    "LSTM": ("hidden_size", _lstm),
}
"""Everything that the exports of `train.py` are made of, and Identity: the attributes that each may have, its rule."""

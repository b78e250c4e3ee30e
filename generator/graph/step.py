"""Reads a graph and follows it for every batch, as the package says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from generator.graph.node import Attributes, Node, Rule
from generator.graph.operators import rule_of
from generator.graph.protobuf import IGNORED, Message, WireError
from generator.graph.tensors import KINDS, TENSOR_FIELDS, GraphError, Shape, Tensor, constant

ROWS: Final = 64
"""The largest batch that sizes are computed for: twice what the worker runs at once."""
MAX_ELEMENTS: Final = 1 << 24
"""Of all tensors of a step of `ROWS` rows together, constants left out: 64 MB in float32. The shipped one has 3 M."""
MAX_PRODUCTS: Final = ROWS << 28
"""Multiplications in a step of `ROWS` rows: fifty times what the shipped network does."""
_MAX_NODES: Final = 2048
_MAX_NAMES: Final = 4096
"""Inputs and outputs of all nodes, which each batch's sizes are computed for: a few seconds at worst. The shipped
network has 110."""
_MAX_RANK: Final = 8
_OPSETS: Final = range(7, 64)
"""Since 7 operators broadcast as they do now; onnxruntime says which set is too new for it."""

# The numbers of the fields: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3. What stands in none of these
# tables (functions, training, sparse tensors, nested graphs) has no place in a step.
_MODEL: Final = {
    1: IGNORED, 2: IGNORED, 3: IGNORED, 4: IGNORED, 5: IGNORED, 6: IGNORED, 7: "graph", 8: "opset_import", 14: IGNORED,
}  # fmt: skip
"""The ignored ones: versions, who made it, `doc_string`, `metadata_props`."""
_OPSET: Final = {1: "domain", 2: "version"}
_GRAPH: Final = {
    1: "node", 2: IGNORED, 5: "initializer", 10: IGNORED, 11: "input", 12: "output", 13: IGNORED, 14: IGNORED,
    16: IGNORED,
}  # fmt: skip
"""13: `value_info`, shapes that onnxruntime would find itself. 14: `quantization_annotation`."""
_NODE: Final = {
    1: "input", 2: "output", 3: IGNORED, 4: "op_type", 5: "attribute", 6: IGNORED, 7: "domain", 9: IGNORED,
}  # fmt: skip
_ATTRIBUTE: Final = {
    1: "name", 2: "f", 3: "i", 4: "s", 5: "t", 7: "floats", 8: "ints", 9: "strings", 13: IGNORED, 20: IGNORED,
}  # fmt: skip
_VALUE: Final = {1: "name", 2: "type", 3: IGNORED, 4: IGNORED}
_TYPE: Final = {1: "tensor_type", 6: IGNORED}
_TENSOR_TYPE: Final = {1: "elem_type", 2: "shape"}
_SHAPE: Final = {1: "dim"}
_DIMENSION: Final = {1: "dim_value", 2: "dim_param", 3: IGNORED}


def check(model: bytes) -> None:
    """Raises `GraphError` unless a step of this `model.onnx` is bounded in memory and time, and reads no other file."""
    try:
        content = Message(memoryview(model), _MODEL)
        opsets = [
            opset.number("version")
            for opset in content.messages("opset_import", _OPSET)
            if opset.text("domain") in ("", "ai.onnx")
        ]
        if len(opsets) != 1 or opsets[0] not in _OPSETS:
            raise GraphError(f"must use one set of ONNX's own operators, from version {_OPSETS[0]} on")
        graph = _Graph(content.message("graph", _GRAPH))
    except WireError as error:
        raise GraphError(f"is no step of a network: {error}") from error
    # For each of them: a size may shrink where the batch grows.
    for rows in range(ROWS, 0, -1):
        graph.follow(rows)


@dataclass(frozen=True, slots=True)
class _Value:
    """An input or an output as it is declared; `None` for a size that is not given, which is the batch."""

    name: str
    kind: int
    sizes: Sequence[int | None]

    def tensor(self, rows: int) -> Tensor:
        return Tensor(tuple(rows if size is None else size for size in self.sizes), self.kind)


@dataclass(frozen=True, slots=True)
class _Step:
    """A node with its rule."""

    operator: str
    rule: Rule
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Attributes


class _Graph:
    """A graph that was read. Raises `GraphError`, `WireError`."""

    def __init__(self, graph: Message) -> None:
        if len(graph.repeated("node")) > _MAX_NODES:
            raise GraphError(f"has more than {_MAX_NODES} nodes")
        # First: what an operator is refused for says more than the rest.
        self._steps = [_step(node) for node in graph.messages("node", _NODE)]
        if sum(len(step.inputs) + len(step.outputs) for step in self._steps) > _MAX_NAMES:
            raise GraphError(f"its nodes have more than {_MAX_NAMES} inputs and outputs")
        self._constants: dict[str, Tensor] = {}
        for tensor in graph.messages("initializer", TENSOR_FIELDS):
            name = tensor.text("name")
            if name in self._constants:
                raise GraphError(f"{name[:60]!r} is there twice")
            self._constants[name] = constant(tensor)
        values = [_value(value) for value in graph.messages("input", _VALUE)]
        # Up to version 3 of the format constants are listed among the inputs as well.
        self._inputs = [value for value in values if value.name not in self._constants]
        self._outputs = [_value(value) for value in graph.messages("output", _VALUE)]

    def follow(self, rows: int) -> None:
        """From the inputs to the outputs in a batch of `rows`."""
        sizes = _Sizes()
        for name, tensor in self._constants.items():
            sizes.constant(name, tensor)
        for value in self._inputs:
            sizes.count(value.tensor(rows).span)
            sizes.add(value.name, value.tensor(rows))
        for step in self._steps:
            sizes.apply(step)
        for value in self._outputs:
            if sizes.shape(value.name) != value.tensor(rows).shape:
                raise GraphError(f"the output {value.name[:60]!r} has another shape than it declares, or none")


class _Sizes:
    """The tensors that there are so far, and what they take. Raises `GraphError`."""

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}
        self._elements = self._products = 0

    def shape(self, name: str) -> Shape | None:
        return self._tensors[name].shape if name in self._tensors else None

    def add(self, name: str, tensor: Tensor) -> None:
        if name in self._tensors or len(tensor.shape) > _MAX_RANK:
            raise GraphError(f"{name[:60]!r} is there twice, or has more than {_MAX_RANK} dimensions")
        self._tensors[name] = tensor

    def constant(self, name: str, tensor: Tensor) -> None:
        """Its numbers are in the file, except where it has none: nothing there stands for the other dimensions."""
        self.count(tensor.span if tensor.size == 0 else 0)
        self.add(name, tensor)

    def count(self, elements: int, products: int = 0) -> None:
        self._elements += elements
        self._products += products
        if self._elements > MAX_ELEMENTS:
            raise GraphError(f"a step of {ROWS} rows takes more than {MAX_ELEMENTS} numbers")
        if self._products > MAX_PRODUCTS:
            raise GraphError("a step of it takes too many multiplications to be served")

    def apply(self, step: _Step) -> None:
        """What a node makes of the tensors that there are."""
        for name in filter(None, step.inputs):
            if name not in self._tensors:
                raise GraphError(f"{step.operator} reads {name[:60]!r} before it is made")
        inputs = [self._tensors[name] if name else None for name in step.inputs]
        try:
            made = step.rule(Node(step.operator, inputs, len(step.outputs), step.attributes))
        except GraphError:
            raise
        except (LookupError, ValueError, ArithmeticError) as error:
            raise GraphError(f"{step.operator} cannot be applied to tensors of these sizes") from error
        if len(step.outputs) > len(made.outputs):
            raise GraphError(f"{step.operator} has too many outputs")
        if step.operator == "Constant":
            self.constant(step.outputs[0], made.outputs[0])
            return
        written = sum(tensor.span for tensor in made.outputs)
        read = sum(tensor.span for tensor in inputs if tensor is not None)
        self.count(written + made.scratch, read + written + made.products)
        for name, tensor in zip(step.outputs, made.outputs, strict=False):
            if name:
                self.add(name, tensor)


def _step(node: Message) -> _Step:
    operator = node.text("op_type")
    rule = rule_of(node.text("domain"), operator)
    integers: dict[str, list[int]] = {}
    texts: dict[str, str] = {}
    tensors: dict[str, Tensor] = {}
    floats: dict[str, Shape] = {}
    seen: set[str] = set()
    for attribute in node.messages("attribute", _ATTRIBUTE):
        name = attribute.text("name")
        if name in seen:
            raise GraphError(f"{operator} has an attribute twice")
        seen.add(name)
        if "t" in attribute:
            tensors[name] = constant(attribute.message("t", TENSOR_FIELDS))
        elif "s" in attribute:
            texts[name] = attribute.text("s")
        elif "f" in attribute:
            floats[name] = ()
        elif "floats" in attribute:
            floats[name] = (sum(map(len, attribute.repeated("floats"))) // 4,)
        else:
            integers[name] = attribute.numbers("i") + attribute.numbers("ints")
    return _Step(
        operator, rule, node.texts("input"), node.texts("output"), Attributes(integers, texts, tensors, floats)
    )


def _value(value: Message) -> _Value:
    kind = value.message("type", _TYPE).message("tensor_type", _TENSOR_TYPE)
    dimensions = list(kind.message("shape", _SHAPE).messages("dim", _DIMENSION))
    sizes = [size.number("dim_value") if "dim_value" in size else None for size in dimensions]
    for size in dimensions:
        size.text("dim_param")  # onnxruntime tells it, and fails at what is not UTF-8
    name = value.text("name")
    if any(size is not None and size < 0 for size in sizes) or kind.number("elem_type") not in KINDS:
        raise GraphError(f"{name[:60]!r} has a negative size, or holds no numbers")
    return _Value(name, kind.number("elem_type"), sizes)

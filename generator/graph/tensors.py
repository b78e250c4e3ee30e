"""Tensors of a step as they are known before it runs: shape, type, and the numbers of those that say sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from generator.graph.protobuf import IGNORED, Message

MAX_KNOWN: Final = 64
"""Numbers of a tensor that are followed: those that say how another one is cut, turned or made."""

Shape = tuple[int, ...]
Integers = NDArray[np.object_]
"""Python's own integers, which do not overflow, in the tensor's shape."""

# https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3: segments, strings and data in another file are in no step.
TENSOR_FIELDS: Final = {
    1: "dims", 2: "data_type", 4: "float_data", 5: "int32_data", 7: "int64_data", 8: "name", 9: "raw_data",
    10: "double_data", 11: "uint64_data", 12: IGNORED, 14: "data_location", 16: IGNORED,
}  # fmt: skip
"""Of a `TensorProto`; 12 is `doc_string`, 16 `metadata_props`."""

FLOAT: Final = 1
UINT8: Final = 2
INT32: Final = 6
INT64: Final = 7
BOOL: Final = 9
KINDS: Final[dict[int, tuple[int, str]]] = {
    FLOAT: (4, "float_data"), UINT8: (1, "int32_data"), 3: (1, "int32_data"), 4: (2, "int32_data"),
    5: (2, "int32_data"), INT32: (4, "int32_data"), INT64: (8, "int64_data"), BOOL: (1, "int32_data"),
    10: (2, "int32_data"), 11: (8, "double_data"), 12: (4, "uint64_data"), 13: (8, "uint64_data"),
    16: (2, "int32_data"),
}  # fmt: skip
"""By `TensorProto.DataType`, its bytes and where its numbers may stand beside `raw_data`. 3 int8, 4 uint16, 5 int16,
10 float16, 11 double, 12 uint32, 13 uint64, 16 bfloat16; no strings, complex numbers or types of less than a byte."""
INTEGER_KINDS: Final = frozenset({2, 3, 4, 5, 6, 7, 12, 13})
_FIXED: Final = {"float_data": 4, "double_data": 8}
_FOLLOWED: Final = {INT32: "<i4", INT64: "<i8", BOOL: "?"}
_EXACT: Final = 1 << 31
"""Below this a computed number is the same in int32, in int64 and here."""


class GraphError(ValueError):
    """Not a graph that may run here; the text says why."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """`values`: its integers where they are known before the step runs. Else `None`."""

    shape: Shape
    kind: int
    values: Integers | None = None

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """The same where an empty dimension counts as one: an operator may loop over the others."""
        return math.prod(max(1, size) for size in self.shape)


def known(kind: int, values: Any) -> Tensor:
    """A tensor whose integers were computed; they are forgotten where onnxruntime's own might have overflowed."""
    array = np.array(values, object)
    if kind not in _FOLLOWED or array.size > MAX_KNOWN or any(not -_EXACT < value < _EXACT for value in array.flat):
        return Tensor(array.shape, kind)
    return Tensor(array.shape, kind, array)


def constant(tensor: Message) -> Tensor:
    """Reads a `TensorProto`. Raises `GraphError`, `WireError`."""
    name, kind, shape = tensor.text("name")[:60], tensor.number("data_type"), tuple(tensor.numbers("dims"))
    if tensor.number("data_location", 0):
        raise GraphError(f"the constant {name!r} is in another file; save the model with all its data inside")
    if kind not in KINDS or min(shape, default=1) < 0:
        raise GraphError(f"the constant {name!r} has a negative size, or numbers of type {kind}, which is none of ours")
    width, field = KINDS[kind]
    found = [part for part in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")
             if part in tensor]  # fmt: skip
    size = math.prod(shape)
    if found == ["raw_data"]:
        count, odd = divmod(len(tensor.bytes("raw_data")), width)
    elif found == [field] and field in _FIXED:
        count, odd = divmod(sum(map(len, tensor.repeated(field))), _FIXED[field])
    else:
        count, odd = tensor.count(field), int(found not in ([], [field]))
    if count != size or odd:
        raise GraphError(f"the constant {name!r} holds {count} numbers in {found}, which is not what it declares")
    if kind not in _FOLLOWED or size > MAX_KNOWN:
        return Tensor(shape, kind)
    if found == ["raw_data"]:
        numbers: list[int] = np.frombuffer(tensor.bytes("raw_data"), _FOLLOWED[kind]).tolist()
    else:
        numbers = [_narrow(number, kind) for number in tensor.numbers(field)]
    return Tensor(shape, kind, np.array(numbers, object).reshape(shape))


def _narrow(number: int, kind: int) -> int:
    """As other readers take a varint that is wider than its type."""
    if kind == INT64:
        return number
    number = (number + (1 << 31)) % (1 << 32) - (1 << 31)
    return bool(number) if kind == BOOL else number

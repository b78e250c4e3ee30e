"""A node of a step's graph as its rule sees it: inputs, attributes, and what the rule says of its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from generator.graph.tensors import GraphError, Integers, Shape, Tensor


@dataclass(frozen=True, slots=True)
class Attributes:
    """By name, those that are integers (one or a list), text, tensors, and lists of floats with their lengths.

    A single float cannot change a size; it is not kept.
    """

    integers: Mapping[str, Sequence[int]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    floats: Mapping[str, Shape] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """What a node makes. `products`: multiplications beyond one for each number read or written.

    `scratch`: numbers that it keeps for itself while it runs.
    """

    outputs: Sequence[Tensor]
    products: int = 0
    scratch: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """`inputs`: `None` for one left out. `outputs`: how many there are."""

    operator: str
    inputs: Sequence[Tensor | None]
    outputs: int
    attributes: Attributes

    def has(self, place: int) -> bool:
        """Whether there is an input in this place."""
        return place < len(self.inputs) and self.inputs[place] is not None

    def input(self, place: int) -> Tensor:
        """The input in this place. Raises `GraphError`."""
        tensor = self.inputs[place] if place < len(self.inputs) else None
        if tensor is None:
            raise GraphError(f"{self.operator} lacks its input {place}")
        return tensor

    def all(self) -> list[Tensor]:
        """All inputs, none of which may be left out."""
        return [self.input(place) for place in range(len(self.inputs))]

    def values(self, place: int) -> Integers:
        """The integers in the input in this place. Raises `GraphError` where they are only known when it runs."""
        values = self.input(place).values
        if values is None:
            raise GraphError(
                f"the size of what {self.operator} makes depends on its input {place}; make that a constant of at most"
                " 64 integers, or compute it from Shape and constants"
            )
        return values

    def list(self, place: int) -> list[int]:
        """The same as a list."""
        return [int(value) for value in self.values(place).flat]

    def one(self, place: int) -> int:
        """The one integer in the input in this place."""
        (value,) = self.list(place)
        return value

    def either(self, name: str, place: int) -> Sequence[int] | None:
        """What was an attribute in older sets of operators and is an input since; `None` where it is left out."""
        if name in self.attributes.integers and self.has(place):
            raise GraphError(f"{self.operator} has {name} twice, as attribute and as input {place}")
        return self.list(place) if self.has(place) else self.attributes.integers.get(name)

    def attribute(self, name: str, default: int | None = None) -> int:
        """An attribute that is one integer."""
        values = self.attributes.integers.get(name, () if default is None else (default,))
        if len(values) != 1:
            raise GraphError(f"{self.operator} needs one {name}")
        return values[0]


Rule = Callable[[Node], Made]
"""Raises `GraphError`, or any `ValueError`, `LookupError` or `ArithmeticError` where the sizes do not fit."""


def place_of(axis: int, rank: int) -> int:
    """Of an axis, which may be counted from the end."""
    if not -rank <= axis < rank:
        raise ValueError("no such dimension")
    return axis % rank


def common(*shapes: Shape) -> Shape:
    """https://onnx.ai/onnx/repo-docs/Broadcasting.html. Not NumPy's function, which would refuse the largest sizes."""
    rank = max(map(len, shapes))
    columns = zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True)
    return tuple(_widest(column) for column in columns)


def _widest(sizes: Sequence[int]) -> int:
    kinds = set(sizes) - {1}
    if len(kinds) > 1:
        raise ValueError("sizes differ")
    return kinds.pop() if kinds else 1

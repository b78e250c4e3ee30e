"""Operators that make, move, cut and repeat tensors: from the inputs to the outputs' shapes.

Integers are followed through them, so that sizes computed from Shape and constants are known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from generator.graph.node import Made, Node, Rule, common, place_of
from generator.graph.tensors import FLOAT, INT64, MAX_KNOWN, GraphError, Integers, Shape, Tensor, known


def _moved(data: Tensor, shape: Shape, values: Integers | None = None) -> Made:
    """As `data` is, in another shape: with these integers, or with its own in their order."""
    if values is None and data.values is not None and data.size == math.prod(shape):
        values = data.values.reshape(shape)
    return Made([Tensor(shape, data.kind, values if values is not None and values.size <= MAX_KNOWN else None)])


def _constant(node: Node) -> Made:
    has = node.attributes
    if "value" in has.tensors:
        return Made([has.tensors["value"]])
    if "value_float" in has.floats or "value_floats" in has.floats:
        return Made([Tensor(has.floats.get("value_floats", ()), FLOAT)])
    if "value_int" in has.integers:
        value = node.attribute("value_int")
        return Made([Tensor((), INT64, np.array(value, object))])
    values = np.array(has.integers["value_ints"], object)
    return Made([Tensor(values.shape, INT64, values if values.size <= MAX_KNOWN else None)])


def _constant_of_shape(node: Node) -> Made:
    shape, value = _sizes(node.list(0)), node.attributes.tensors.get("value", Tensor((1,), FLOAT))
    if value.values is not None and math.prod(shape) <= MAX_KNOWN:
        return Made([Tensor(shape, value.kind, np.full(shape, value.values.flat[0], object))])
    return Made([Tensor(shape, value.kind)])


def _sizes(numbers: Sequence[int]) -> Shape:
    if min(numbers, default=0) < 0:
        raise ValueError("a negative size")
    return tuple(numbers)


def _shape(node: Node) -> Made:
    ends = node.attributes.integers.get("end")
    cut = slice(node.attribute("start", 0), ends[0] if ends else None)
    return Made([known(INT64, node.input(0).shape[cut])])


def _size(node: Node) -> Made:
    return Made([known(INT64, node.input(0).size)])


def _range(node: Node) -> Made:
    # Where onnxruntime's subtraction does not overflow.
    start, end, step = (node.one(place) for place in range(3))
    if max(abs(start), abs(end)) >> 31:
        raise ValueError("out of range")
    count, kind = max(0, -((start - end) // step)), node.input(0).kind
    return Made([known(kind, list(range(start, end, step))) if count <= MAX_KNOWN else Tensor((count,), kind)])


def _reshape(node: Node) -> Made:
    data, wanted = node.input(0), node.list(1)
    if not node.attribute("allowzero", 0):
        wanted = [data.shape[place] if size == 0 else size for place, size in enumerate(wanted)]
    if -1 in wanted:
        rest = math.prod(size for size in wanted if size != -1)
        wanted[wanted.index(-1)] = data.size // rest
    if math.prod(_sizes(wanted)) != data.size:
        raise ValueError("sizes differ")
    return _moved(data, tuple(wanted))


def _flatten(node: Node) -> Made:
    data = node.input(0)
    axis = node.attribute("axis", 1)
    axis = axis if axis == len(data.shape) else place_of(axis, len(data.shape))
    return _moved(data, (math.prod(data.shape[:axis]), math.prod(data.shape[axis:])))


def _squeeze(node: Node) -> Made:
    data = node.input(0)
    axes = node.either("axes", 1)
    shape = data.shape
    gone = {p for p, size in enumerate(shape) if size == 1} if axes is None else {place_of(a, len(shape)) for a in axes}
    if any(shape[place] != 1 for place in gone):
        raise ValueError("a size that is not 1 cannot go")
    return _moved(data, tuple(size for place, size in enumerate(shape) if place not in gone))


def _unsqueeze(node: Node) -> Made:
    data = node.input(0)
    axes = node.either("axes", 1) or ()
    rank = len(data.shape) + len(axes)
    new = {place_of(axis, rank) for axis in axes}
    if len(new) != len(axes):
        raise ValueError("an axis is there twice")
    old = iter(data.shape)
    return _moved(data, tuple(1 if place in new else next(old) for place in range(rank)))


def _transpose(node: Node) -> Made:
    data = node.input(0)
    order = node.attributes.integers.get("perm", range(len(data.shape))[::-1])
    if sorted(order) != list(range(len(data.shape))):
        raise ValueError("no order of the dimensions")
    values = None if data.values is None else data.values.transpose(order)
    return _moved(data, tuple(data.shape[place] for place in order), values)


def _gather(node: Node) -> Made:
    data, places = node.input(0), node.input(1)
    axis = place_of(node.attribute("axis", 0), len(data.shape))
    values = None
    if data.values is not None and places.values is not None and data.size * places.size <= MAX_KNOWN:
        # The array around it stays one where NumPy would give a bare integer.
        values = np.array(np.take(data.values, places.values.astype(np.int64), axis), object)
    return Made([Tensor(data.shape[:axis] + places.shape + data.shape[axis + 1 :], data.kind, values)])


def _gather_elements(node: Node) -> Made:
    data, places = node.input(0), node.input(1)
    if len(data.shape) != len(places.shape):
        raise ValueError("ranks differ")
    return Made([Tensor(places.shape, data.kind)])


def _gather_nd(node: Node) -> Made:
    data, places, batch = node.input(0), node.input(1), node.attribute("batch_dims", 0)
    first = batch + places.shape[-1]
    if not 0 <= batch <= first <= len(data.shape):
        raise ValueError("more indices than dimensions")
    return Made([Tensor(places.shape[:-1] + data.shape[first:], data.kind)])


def _concat(node: Node) -> Made:
    parts = node.all()
    shapes = [part.shape for part in parts]
    axis = place_of(node.attribute("axis"), len(shapes[0]))
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) != 1 or len(set(map(len, shapes))) != 1:
        raise ValueError("sizes differ")
    shape = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
    found = [part.values for part in parts if part.values is not None]
    values = np.concatenate(found, axis) if len(found) == len(parts) and math.prod(shape) <= MAX_KNOWN else None
    return Made([Tensor(shape, parts[0].kind, values)])


def _split(node: Node) -> Made:
    data = node.input(0)
    axis = place_of(node.attribute("axis", 0), len(data.shape))
    whole, sizes = data.shape[axis], node.either("split", 1)
    if sizes is None:
        part = -(-whole // node.outputs)
        sizes = [min(part, max(0, whole - part * place)) for place in range(node.outputs)]
    if sum(_sizes(sizes)) != whole:
        raise ValueError("the parts are not the whole")
    made, first = [], 0
    for size in sizes:
        cut = (slice(None),) * axis + (slice(first, first + size),)
        values = None if data.values is None else data.values[cut]
        made.append(Tensor((*data.shape[:axis], size, *data.shape[axis + 1 :]), data.kind, values))
        first += size
    return Made(made)


def _slice(node: Node) -> Made:
    data = node.input(0)
    starts, ends = node.either("starts", 1), node.either("ends", 2)
    if starts is None or ends is None:
        raise GraphError("Slice lacks its starts or ends")
    axes, steps = node.either("axes", 3), node.list(4) if node.has(4) else [1] * len(starts)
    axes = range(len(starts)) if axes is None else axes
    cuts, shape = [slice(None)] * len(data.shape), list(data.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = place_of(axis, len(shape))
        cuts[place] = slice(start, end, step)
        shape[place] = len(range(*cuts[place].indices(data.shape[place])))
    return _moved(data, tuple(shape), None if data.values is None else data.values[tuple(cuts)])


def _expand(node: Node) -> Made:
    data = node.input(0)
    shape = common(data.shape, _sizes(node.list(1)))
    few = data.values is not None and math.prod(shape) <= MAX_KNOWN
    return _moved(data, shape, np.broadcast_to(_some(data.values), shape) if few else None)


def _tile(node: Node) -> Made:
    data, repeats = node.input(0), _sizes(node.list(1))
    shape = tuple(size * times for size, times in zip(data.shape, repeats, strict=True))
    few = data.values is not None and math.prod(shape) <= MAX_KNOWN
    return Made([Tensor(shape, data.kind, np.tile(_some(data.values), repeats) if few else None)])


def _some(values: Integers | None) -> Any:
    return values


def _pad(node: Node) -> Made:
    data, pads = node.input(0), node.either("pads", 1)
    rank = len(data.shape)
    if node.attributes.texts.get("mode", "constant") != "constant":
        raise GraphError("Pad may only fill with a constant in a step")
    axes = [place_of(axis, rank) for axis in node.list(3)] if node.has(3) else list(range(rank))
    if pads is None or len(pads) != 2 * len(axes) or len(set(axes)) != len(axes):
        raise ValueError("not two numbers for each dimension")
    shape = list(data.shape)
    for axis, before, after in zip(axes, _sizes(pads[: len(axes)]), _sizes(pads[len(axes) :]), strict=True):
        shape[axis] += before + after
    return Made([Tensor(_sizes(shape), data.kind)])


def _one_hot(node: Node) -> Made:
    places, depth = node.input(0).shape, node.one(1)
    axis = place_of(node.attribute("axis", -1), len(places) + 1)
    return Made([Tensor((*places[:axis], *_sizes([depth]), *places[axis:]), node.input(2).kind)])


RULES: Final[dict[str, Rule]] = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Shape": _shape,
    "Size": _size,
    "Range": _range,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    "OneHot": _one_hot,
}

"""What other programs export: any standard operator of bounded size is let through, with the sizes that onnxruntime
really makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from generator import graph
from generator.graph import operators
from generator.graph.node import common
from generator.graph.products import product

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
INPUTS: dict[str, tuple[int, list[int | str]]] = {
    "x": (FLOAT, ["batch", 6]),
    "n": (INT64, ["batch", 6]),
    "yes": (BOOL, ["batch", 6]),
    "u": (TensorProto.UINT8, ["batch", 6]),
    "window": (FLOAT, [3, "batch", 6]),
    "pictures": (FLOAT, ["batch", 2, 6]),
}
"""What the examples read, by name."""
Example = tuple[str, list[str | NDArray[Any]], dict[str, Any]]


def of(operator: str, *inputs: str | NDArray[Any], **options: Any) -> Example:
    """A use of an operator. `inputs`: names out of `INPUTS`, constants, or "" for one left out. `options`: attributes,
    `outputs` (how many) and `opset`."""
    return operator, list(inputs), options


def floats(*sizes: int) -> NDArray[np.float32]:
    return np.full(sizes, 0.5, np.float32)


def integers(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


def one(number: int) -> NDArray[np.int64]:
    return np.array(number, np.int64)


def each(names: str, *inputs: str | NDArray[Any], **options: Any) -> list[Example]:
    return [of(name, *inputs, **options) for name in names.split()]


def recurrent(name: str, gates: int, ways: int = 1, **options: Any) -> Example:
    weights = [floats(ways, gates * 5, 6), floats(ways, gates * 5, 5), floats(ways, 2 * gates * 5)]
    return of(name, "window", *weights, hidden_size=5, outputs=3 if name == "LSTM" else 2, **options)


EXAMPLES: list[Example] = [
    *each("Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Clip Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid", "x"),
    *each("HardSwish Hardmax Identity LeakyRelu Log LogSoftmax Mish Neg Reciprocal Relu Round Selu Shrink", "x"),
    *each("Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Trilu", "x"),
    *each("IsNaN IsInf ArgMax ArgMin LpNormalization Size Shape", "x"),
    *each("Add Sub Mul Div Pow Max Mean Min Sum PRelu", "x", floats(6)),
    *each("Max Mean Min Sum", "pictures", floats(6), floats(2, 1)),
    *each("Equal Less LessOrEqual Greater GreaterOrEqual", "x", floats(6)),
    *each("And Or Xor", "yes", "yes"),
    *each("BitwiseAnd BitwiseOr BitwiseXor", "n", "n"),
    *each("ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum",
          "pictures", integers(2)),
    of("ReduceSumSquare", "pictures", integers(-1, 1), keepdims=0),
    of("ReduceMean", "pictures", axes=[1], keepdims=0, opset=13),
    of("ReduceSum", "pictures"),
    of("ReduceSum", "pictures", noop_with_empty_axes=1),
    of("BitwiseNot", "n"),
    of("Not", "yes"),
    of("Div", "n", one(3)),
    of("Mod", "n", one(3)),
    of("Mod", "x", floats(6), fmod=1),
    of("Clip", "x", min=0.0, max=1.0, opset=7),
    of("Clip", "x", "", np.array(1, np.float32)),
    of("CumSum", "x", one(1)),
    of("Softmax", "pictures", axis=1, opset=11),
    of("Where", "yes", "x", floats(1)),
    of("Cast", "x", to=TensorProto.FLOAT16),
    of("CastLike", "x", integers(1)),
    of("Dropout", "x"),
    of("Dropout", "x", np.array(0.5, np.float32), np.array(False), outputs=2),
    of("QuantizeLinear", "x", np.array(0.1, np.float32), np.array(3, np.int8)),
    of("DequantizeLinear", "u", np.array(0.1, np.float32)),
    of("DynamicQuantizeLinear", "x", outputs=3),
    of("LayerNormalization", "x", floats(6)),
    of("LayerNormalization", "pictures", floats(2, 6), axis=1, outputs=3),
    of("BatchNormalization", "pictures", *[floats(2)] * 4),
    of("InstanceNormalization", "pictures", *[floats(2)] * 2),
    of("MeanVarianceNormalization", "pictures", axes=[2]),
    of("RMSNormalization", "x", floats(6), opset=23),
    of("TopK", "x", integers(2), outputs=2),
    of("TopK", "x", k=2, outputs=2, opset=9),
    of("EyeLike", "x", dtype=INT64),
    of("Gemm", "x", floats(6, 5)),
    of("Gemm", "x", floats(5, 6), floats(5), transB=1),
    of("MatMul", "x", floats(6, 5)),
    of("MatMul", "x", floats(6)),
    of("MatMul", floats(2), "pictures"),
    of("MatMul", "pictures", floats(4, 1, 6, 3)),
    of("MatMulInteger", "u", np.ones((6, 4), np.int8), np.array(3, np.uint8)),
    of("Einsum", "pictures", floats(7, 6), equation="bij, kj -> bki"),
    recurrent("LSTM", 4),
    recurrent("LSTM", 4, 2, direction="bidirectional"),
    recurrent("GRU", 3, linear_before_reset=1),
    recurrent("GRU", 3, direction="reverse"),
    recurrent("RNN", 1, 2, direction="bidirectional", activations=["Tanh", "Relu"]),
    of("Reshape", "x", integers(0, 2, -1)),
    of("Reshape", "x", integers(-1, 3, 2), allowzero=1),
    of("Flatten", "pictures"),
    of("Squeeze", floats(1, 3, 1), integers(-1)),
    of("Squeeze", floats(1, 3, 1)),
    of("Squeeze", floats(1, 3, 1), axes=[0], opset=11),
    of("Unsqueeze", "x", integers(-1, 0)),
    of("Unsqueeze", "x", axes=[1], opset=11),
    of("Transpose", "pictures", perm=[2, 0, 1]),
    of("Transpose", "pictures"),
    of("Shape", "pictures", start=1),
    of("Shape", "pictures", start=-5, end=-1),
    of("Gather", floats(9, 4), "n"),
    of("Gather", "x", one(2), axis=1),
    of("GatherElements", "x", "n", axis=1),
    of("GatherND", floats(9, 4), integers(1, 2, 3).reshape(3, 1)),
    of("GatherND", floats(3, 4, 5), integers(1, 2, 3).reshape(3, 1), batch_dims=1),
    of("Concat", "x", "x", axis=-1),
    of("Split", floats(9, 4), axis=0, num_outputs=2, outputs=2, opset=18),
    of("Split", "x", axis=1, num_outputs=2, outputs=2),
    of("Split", "x", integers(1, 5), axis=1, outputs=2),
    of("Split", "x", axis=-1, split=[2, 4], outputs=2, opset=11),
    of("Split", "x", axis=1, outputs=3, opset=11),
    of("Slice", "x", integers(-1), integers(-(1 << 62)), integers(1), integers(-2)),
    of("Slice", "x", integers(0, 1), integers(1 << 62, -1)),
    of("Slice", "x", starts=[1], ends=[100], axes=[1], opset=9),
    of("Expand", "x", integers(3, 1, 1)),
    of("Tile", "x", integers(1, 4)),
    of("ConstantOfShape", integers(3, 2)),
    of("ConstantOfShape", integers(3), value=helper.make_tensor("value", INT64, [1], [7])),
    of("OneHot", "n", one(9), floats(2)),
    of("OneHot", "n", one(9), floats(2), axis=0),
    of("Range", one(3), one(20), one(4)),
    of("Range", one(3), one(-20), one(-4)),
    of("Pad", "x", integers(0, 1, 0, 2)),
    of("Pad", "x", integers(1, 2), "", integers(-1)),
    of("Pad", "x", pads=[0, 1, 0, 2], opset=10),
    of("ScatterElements", "x", np.zeros((1, 1), np.int64), floats(1, 1)),
    of("Scatter", "x", np.zeros((1, 1), np.int64), floats(1, 1), opset=10),
    of("ScatterND", "x", np.zeros((1, 1), np.int64), floats(1, 6)),
    of("Constant", value=numpy_helper.from_array(floats(2, 3))),
    of("Constant", value_int=3),
    of("Constant", value_ints=[3, 4]),
    of("Constant", value_float=3.0),
    of("Constant", value_floats=[3.0, 4.0]),
]  # fmt: skip


def test_every_operator_has_an_example() -> None:
    assert {operator for operator, _, _ in EXAMPLES} == set(operators.RULES)


def model_of(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str], constants: dict[str, NDArray[Any]], **options: Any
) -> onnx.ModelProto:  # fmt: skip
    read = {name for node in nodes for name in node.input}
    inputs = [
        helper.make_tensor_value_info(name, kind, sizes) for name, (kind, sizes) in INPUTS.items() if name in read
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes, "step", inputs, [onnx.ValueInfoProto(name=name) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", options.get("opset", 21))],
    )  # fmt: skip
    model.ir_version = 10
    return model


def results(model: onnx.ModelProto, rows: int) -> list[NDArray[Any]]:
    """What onnxruntime makes of zeros."""
    session_options = onnxruntime.SessionOptions()
    session_options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options, providers=["CPUExecutionProvider"]
    )
    fed = {
        value.name: np.zeros(
            [rows if isinstance(size, str) else size for size in INPUTS[value.name][1]],
            helper.tensor_dtype_to_np_dtype(INPUTS[value.name][0]),
        )
        for value in session.get_inputs()
    }
    made: list[NDArray[Any]] = session.run(None, fed)
    return made


def declare(model: onnx.ModelProto, more: int = 0) -> bytes:
    """The model with its outputs declared as onnxruntime makes them, or `more` in one dimension."""
    for value, large, small in zip(model.graph.output, results(model, graph.ROWS), results(model, 5), strict=True):
        sizes: list[int | str] = [
            "batch" if (one, other) == (graph.ROWS, 5) else one
            for one, other in zip(large.shape, small.shape, strict=True)
        ]
        if more and sizes:
            sizes[-1] = 5 + more if sizes[-1] == "batch" else int(sizes[-1]) + more
        elif more:
            sizes = [more]
        value.CopyFrom(helper.make_tensor_value_info(value.name, helper.np_dtype_to_tensor_dtype(large.dtype), sizes))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("operator", "inputs", "options"), EXAMPLES, ids=[f"{place}-{name}" for place, (name, *_) in enumerate(EXAMPLES)]
)
def test_an_operator_is_let_through_with_the_size_that_onnxruntime_makes(
    operator: str, inputs: list[str | NDArray[Any]], options: dict[str, Any]
) -> None:
    attributes = {name: value for name, value in options.items() if name not in ("outputs", "opset")}
    constants = {f"constant.{i}": value for i, value in enumerate(inputs) if isinstance(value, np.ndarray)}
    names = [value if isinstance(value, str) else f"constant.{i}" for i, value in enumerate(inputs)]
    outputs = [f"out.{i}" for i in range(options.get("outputs", 1))]
    model = model_of(
        [helper.make_node(operator, names, outputs, **attributes)], outputs, constants, opset=options.get("opset", 21)
    )
    graph.check(declare(model))
    with pytest.raises(graph.GraphError, match="another shape than it declares"):
        graph.check(declare(model, more=1))


# ---- refused, and let through --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "domain", "advice"),
    [
        ("Loop", "", "use LSTM, GRU or RNN"),
        ("Scan", "", "use LSTM, GRU or RNN"),
        ("If", "", "choose with Where"),
        ("RandomNormalLike", "", "the bot draws"),
        ("SequenceAt", "", "use plain tensors"),
        ("OptionalGetElement", "", "use plain tensors"),
        ("StringConcat", "", "no text"),
        ("NonZero", "", "use Where"),
        ("FusedGemm", "com.microsoft", "ONNX's own operators"),
        ("Relu", "com.example", "ONNX's own operators"),
        ("DeformConv", "", "simpler ones"),
    ],
)
def test_what_may_not_run_is_told_by_name_with_what_to_do_instead(operator: str, domain: str, advice: str) -> None:
    model = model_of([helper.make_node(operator, ["x"], ["y"], domain=domain)], ["y"], {})
    with pytest.raises(graph.GraphError) as caught:
        graph.check(model.SerializeToString())
    assert str(caught.value).startswith(f"the operator '{operator}' is none that a step may use: ")
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


KINDS = [
    TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16, TensorProto.INT32,
    TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT32,
    TensorProto.UINT64, TensorProto.BFLOAT16,
]  # fmt: skip


@pytest.mark.parametrize("form", ["raw", "typed", "unpacked", "array"])
@pytest.mark.parametrize("kind", KINDS, ids=[TensorProto.DataType.Name(kind) for kind in KINDS])
def test_a_constant_may_be_written_in_any_of_onnx_s_ways(kind: int, form: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(helper.tensor_dtype_to_np_dtype(kind))
    if form == "array":
        tensor = numpy_helper.from_array(array, "c")
    elif form == "raw":
        tensor = helper.make_tensor("c", kind, [2, 3], array.tobytes(), raw=True)
    else:
        tensor = helper.make_tensor("c", kind, [2, 3], array.flatten().tolist())
    content = tensor.SerializeToString()
    if form == "unpacked":
        content = unpacked(tensor)
        assert onnx.TensorProto.FromString(content) == tensor
    model = model_of([], ["c"], {})
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("c", kind, [2, 3]))
    inside = model.graph.SerializeToString()
    model.ClearField("graph")
    around = model.SerializeToString()
    graph.check(around + field(7, inside + field(5, content)))
    three_rows = content.replace(b"\x08\x02", b"\x08\x03", 1)
    with pytest.raises(graph.GraphError, match="not what it declares"):
        graph.check(around + field(7, inside + field(5, three_rows)))


def field(number: int, content: bytes) -> bytes:
    """A field of fewer than 16,384 bytes as it is written."""
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes([number << 3 | 2]) + length + content


def unpacked(tensor: onnx.TensorProto) -> bytes:
    """With a key before every number, as the oldest writers of the format have it."""
    bare = onnx.TensorProto()
    bare.CopyFrom(tensor)
    parts = b""
    for number, name, dtype in ((4, "float_data", "<f4"), (10, "double_data", "<f8")):
        parts += b"".join(
            bytes([number << 3 | (5 if dtype == "<f4" else 1)]) + np.array(value, dtype).tobytes()
            for value in getattr(tensor, name)
        )
        bare.ClearField(name)
    for number, name in ((5, "int32_data"), (7, "int64_data"), (11, "uint64_data")):
        for value in getattr(tensor, name):
            digits = value & 0x7F | (0x80 if value > 0x7F else 0), value >> 7 & 0x7F | (0x80 if value >> 14 else 0)
            parts += bytes([number << 3, digits[0]]) + (bytes([digits[1]]) if value > 0x7F else b"")
            parts += bytes([value >> 14]) if value >> 14 else b""
        bare.ClearField(name)
    return bytes(bare.SerializeToString()) + parts


def plain() -> onnx.ModelProto:
    return model_of([helper.make_node("Add", ["x", "c"], ["y"])], ["y"], {"c": floats(6)})


def names_and_notes(model: onnx.ModelProto) -> None:
    """What exporters and people leave in a file."""
    model.doc_string, model.graph.doc_string, model.graph.node[0].doc_string = "a", "b", "c"
    model.graph.value_info.append(helper.make_tensor_value_info("y", FLOAT, ["batch", 6]))
    model.graph.input[0].type.denotation = "TENSOR"
    model.graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    for holder in (model, model.graph, model.graph.node[0], model.graph.initializer[0], model.graph.input[0]):
        holder.metadata_props.add(key="pkg.torch.onnx.name", value="x")


def other_sets_of_operators(model: onnx.ModelProto) -> None:
    for domain in ("ai.onnx.ml", "com.microsoft"):
        model.opset_import.append(helper.make_opsetid(domain, 1))


def the_long_name_of_the_domain(model: onnx.ModelProto) -> None:
    model.opset_import[0].domain = model.graph.node[0].domain = "ai.onnx"


def constants_among_the_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("c", FLOAT, [6]))


def data_said_to_be_here(model: onnx.ModelProto) -> None:
    """As `onnx.load` leaves it after it read data that lay beside the model."""
    model.graph.initializer[0].data_location = TensorProto.DEFAULT


@pytest.mark.parametrize(
    "add",
    [
        names_and_notes,
        other_sets_of_operators,
        the_long_name_of_the_domain,
        constants_among_the_inputs,
        data_said_to_be_here,
    ],
    ids=lambda add: add.__name__,
)
def test_what_says_nothing_of_a_step_is_passed_over(add: Any) -> None:
    model = plain()
    content = declare(model)
    add(model)
    assert model.SerializeToString() != content
    graph.check(model.SerializeToString())


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 15, 18, 21])
def test_old_sets_of_operators_are_read(opset: int) -> None:
    graph.check(declare(model_of([helper.make_node("Add", ["x", "x"], ["y"])], ["y"], {}, opset=opset)))


def test_sizes_are_followed_through_what_exporters_write_for_a_batch_of_any_size() -> None:
    """Of torch.Tensor.expand, a negative index, and a reshape by division: all for one shape."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["rows"], axis=0),
        helper.make_node("Cast", ["rows"], ["rows.32"], to=TensorProto.INT32),
        helper.make_node("Cast", ["rows.32"], ["rows.64"], to=INT64),
        helper.make_node("Unsqueeze", ["rows.64", "axes"], ["rows.1"]),
        helper.make_node("Slice", ["shape", "axes.1", "end"], ["width"]),
        helper.make_node("Div", ["width", "two"], ["half"]),
        helper.make_node("Concat", ["rows.1", "two", "half"], ["cut"], axis=0),
        helper.make_node("Reshape", ["x", "cut"], ["halves"]),
        helper.make_node("Concat", ["rows.1", "minus", "minus"], ["wanted"], axis=0),
        helper.make_node("Shape", ["wanted"], ["rank"]),
        helper.make_node("ConstantOfShape", ["rank"], ["ones"], value=helper.make_tensor("v", INT64, [1], [1])),
        helper.make_node("Mul", ["ones", "minus"], ["minuses"]),
        helper.make_node("Equal", ["wanted", "minuses"], ["same"]),
        helper.make_node("Where", ["same", "ones", "wanted"], ["grown"]),
        helper.make_node("Expand", ["one", "grown"], ["many"]),
        helper.make_node("Add", ["halves", "many"], ["y"]),
    ]
    constants = {
        "first": one(0), "axes": integers(0), "axes.1": integers(1), "end": integers((1 << 63) - 1),
        "two": integers(2), "minus": integers(-1), "one": floats(1, 1, 1),
    }  # fmt: skip
    content = declare(model_of(nodes, ["y"], constants))
    assert [size.dim_param or size.dim_value for size in onnx.load_from_string(content).graph.output[0].type.tensor_type
            .shape.dim] == ["batch", 2, 3]  # fmt: skip
    graph.check(content)


# ---- rules against NumPy --------------------------------------------------------------------------------------------

SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)


@given(st.lists(SHAPES, min_size=1, max_size=3))
def test_broadcasting_is_numpy_s(shapes: list[tuple[int, ...]]) -> None:
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ValueError, match="sizes differ"):
            common(*shapes)
    else:
        assert common(*shapes) == expected


@given(SHAPES, SHAPES)
def test_products_have_the_shape_of_numpy_s(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    assume(left and right)
    try:
        expected = np.matmul(np.zeros(left), np.zeros(right)).shape
    except ValueError:
        with pytest.raises(ValueError, match="sizes differ"):
            product(left, right)
    else:
        assert product(left, right)[0] == expected


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), max_size=3), st.lists(st.integers(-1, 6), max_size=3))
def test_a_reshape_is_let_through_where_numpy_does_it(sizes: list[int], wanted: list[int]) -> None:
    assume(0 not in wanted)  # For ONNX the size that is there; for NumPy none.
    model = model_of([helper.make_node("Reshape", ["c", "wanted"], ["y"])], ["y"],
                     {"c": floats(*sizes), "wanted": np.array(wanted, np.int64)})  # fmt: skip
    try:
        shape = np.zeros(sizes).reshape(wanted).shape
    except ValueError:
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", FLOAT, []))
        with pytest.raises(graph.GraphError):
            graph.check(model.SerializeToString())
    else:
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", FLOAT, shape))
        graph.check(model.SerializeToString())

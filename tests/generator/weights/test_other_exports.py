"""Networks that `train.py` did not make, written with the onnx package: loaded, and served by the worker."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import TINY_VOCABULARY
from msgspec.structs import replace
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from generator import GenerationRequest
from generator.serving.generator import ThreadedGenerator
from generator.serving.loading import load_model
from generator.weights.versions import add_version, load_weights

SYMBOLS = len(TINY_VOCABULARY)
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
UNITS, EMBEDDING, HISTORY = 16, 8, 3


def drawn(*sizes: int) -> NDArray[np.float32]:
    return np.random.default_rng(7).normal(0, 0.5, sizes).astype(np.float32)


def integers(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


def model_of(nodes: list[onnx.NodeProto], constants: dict[str, Any], *states: int, opset: int = 17) -> bytes:
    """A step with states of these sizes. `constants`: arrays, or tensors as they are to be written."""

    def value(name: str, *sizes: int, kind: int = FLOAT) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, ["N", *sizes])

    made = helper.make_graph(
        nodes,
        "main_graph",
        [value("char", kind=INT64), *(value(f"state.{i}", size) for i, size in enumerate(states))],
        [value("logits", SYMBOLS), *(value(f"next_state.{i}", size) for i, size in enumerate(states))],
        [
            array if isinstance(array, onnx.TensorProto) else numpy_helper.from_array(array, name)
            for name, array in constants.items()
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def bigrams() -> bytes:
    """What follows each character, looked up. It remembers nothing."""
    return model_of([helper.make_node("Gather", ["table", "char"], ["logits"])], {"table": drawn(SYMBOLS, SYMBOLS)})


def history_of_three() -> bytes:
    """A perceptron on the last three characters, one-hot; the oldest leaves on the left."""
    nodes = [
        helper.make_node("Constant", [], ["depth"], value_int=SYMBOLS),
        helper.make_node("OneHot", ["char", "depth", "off_on"], ["new"], axis=-1),
        helper.make_node("Slice", ["state.0", "first", "end", "axis"], ["kept"]),
        helper.make_node("Concat", ["kept", "new"], ["next_state.0"], axis=1),
        helper.make_node("Gemm", ["next_state.0", "w.0", "b.0"], ["sums"], transB=1),
        helper.make_node("Relu", ["sums"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "w.1", "b.1"], ["logits"], transB=1),
    ]
    constants = {
        "off_on": np.array([0, 1], np.float32), "first": integers(SYMBOLS), "end": integers((1 << 63) - 1),
        "axis": integers(1), "w.0": drawn(UNITS, HISTORY * SYMBOLS), "b.0": drawn(UNITS), "w.1": drawn(SYMBOLS, UNITS),
        "b.1": drawn(SYMBOLS),
    }  # fmt: skip
    return model_of(nodes, constants, HISTORY * SYMBOLS)


def gru() -> bytes:
    """The GRU operator, with the reshapes that exporters write for a batch of any size."""
    nodes = [
        helper.make_node("Shape", ["char"], ["shape"]),
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.array(0, np.int64))),
        helper.make_node("Gather", ["shape", "zero"], ["rows"], axis=0),
        helper.make_node("Constant", [], ["axes"], value_ints=[0]),
        helper.make_node("Unsqueeze", ["rows", "axes"], ["rows.1"]),
        helper.make_node("Gather", ["embedding", "char"], ["embedded"], axis=0),
        helper.make_node("Concat", ["one", "rows.1", "width"], ["in.shape"], axis=0),
        helper.make_node("Reshape", ["embedded", "in.shape"], ["in"]),
        helper.make_node("Unsqueeze", ["state.0", "axes"], ["before"]),
        helper.make_node("GRU", ["in", "w", "r", "b", "", "before"], ["", "after"], hidden_size=UNITS,
                         linear_before_reset=1),
        helper.make_node("Concat", ["rows.1", "minus"], ["out.shape"], axis=0),
        helper.make_node("Reshape", ["after", "out.shape"], ["next_state.0"]),
        helper.make_node("MatMul", ["next_state.0", "out"], ["scores"]),
        helper.make_node("LogSoftmax", ["scores"], ["logits"], axis=-1),
    ]  # fmt: skip
    constants = {
        "embedding": drawn(SYMBOLS, EMBEDDING), "one": integers(1), "width": integers(EMBEDDING),
        "minus": integers(-1), "w": drawn(1, 3 * UNITS, EMBEDDING), "r": drawn(1, 3 * UNITS, UNITS),
        "b": drawn(1, 6 * UNITS), "out": drawn(UNITS, SYMBOLS),
    }  # fmt: skip
    return model_of(nodes, constants, UNITS)


def numbers_one_by_one() -> bytes:
    """Constants as `onnx.helper.make_tensor` writes them, not as raw bytes; an older set of operators."""
    table = drawn(SYMBOLS, SYMBOLS)
    nodes = [
        helper.make_node("Unsqueeze", ["char"], ["column"], axes=[1]),
        helper.make_node("Cast", ["column"], ["next_state.0"], to=FLOAT),
        helper.make_node("Mul", ["state.0", "little"], ["before"]),
        helper.make_node("Gather", ["table", "char"], ["likely"]),
        helper.make_node("Add", ["likely", "before"], ["logits"]),
    ]
    constants = {
        "table": helper.make_tensor("table", FLOAT, table.shape, table.flatten().tolist()),
        "little": helper.make_tensor("little", FLOAT, [1], [0.01]),
    }
    return model_of(nodes, constants, 1, opset=11)


@pytest.mark.parametrize("export", [bigrams, history_of_three, gru, numbers_one_by_one], ids=lambda made: made.__name__)
async def test_a_network_from_another_program_is_served(tiny_folder: Path, export: Any) -> None:
    content = export()
    old = load_weights(tiny_folder, "tiny-1")
    files = {"model.onnx": content}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = replace(old.manifest, version="other", architecture="another", preset="none", files=digests)
    add_version(tiny_folder, files, manifest)
    model = load_model(tiny_folder, "other")

    # The step is what the file says, row by row.
    characters = np.array([3, 5, 3], np.int64)
    logits, state = model.network.step(characters, model.network.zero_state(3))
    np.testing.assert_array_equal(logits[0], logits[2])
    assert all(len(array) == 3 for array in state)

    async with ThreadedGenerator.open(tiny_folder, version="other", threads=1) as generator:
        first = await generator.generate(GenerationRequest(60, seed=1, prompt="Why "))
        assert first.version == "other"
        assert len(first.text) >= 60
        assert first == await generator.generate(GenerationRequest(60, seed=1, prompt="Why "))

"""`model.onnx`: what keeps the step contract runs, what does not is refused, and a row is a row in any company."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import TINY_VOCABULARY
from msgspec.structs import replace
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from generator import ModelError, WeightsError
from generator.serving.loading import load_model
from generator.weights.manifest import MODEL
from generator.weights.session import Network, State
from generator.weights.versions import activate, add_version, load_weights

SYMBOLS = 5
FLOAT, DOUBLE, HALF = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16
Shape = list[Any]


class Step:
    """A graph that keeps the contract: the logits are a row of a table, the state stays as it is. Tests bend it."""

    def __init__(self) -> None:
        self.inputs = {"char": (TensorProto.INT64, ["batch"]), "state.0": (FLOAT, ["batch", 3])}
        self.outputs = {"logits": (FLOAT, ["batch", SYMBOLS]), "next_state.0": (FLOAT, ["batch", 3])}
        self.nodes = [
            helper.make_node("Gather", ["table", "char"], ["logits"]),
            helper.make_node("Identity", ["state.0"], ["next_state.0"]),
        ]
        self.table = np.arange(SYMBOLS * SYMBOLS, dtype=np.float32).reshape(SYMBOLS, SYMBOLS)

    def proto(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "step",
            [helper.make_tensor_value_info(name, *spec) for name, spec in self.inputs.items()],
            [helper.make_tensor_value_info(name, *spec) for name, spec in self.outputs.items()],
            [numpy_helper.from_array(self.table, "table")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
        model.ir_version = 10
        return model

    def bytes(self) -> bytes:
        return bytes(self.proto().SerializeToString())

    def state(self, kind: int, shape: Shape, next_kind: int | None = None, next_shape: Shape | None = None) -> None:
        self.inputs["state.0"] = (kind, shape)
        self.outputs["next_state.0"] = (next_kind or kind, next_shape or shape)
        if next_kind is not None:
            self.nodes[1] = helper.make_node("Cast", ["state.0"], ["next_state.0"], to=next_kind)


def network(model: bytes) -> Network:
    return Network(model, SYMBOLS)


# ---- the contract ---------------------------------------------------------------------------------------------------


def test_a_model_that_keeps_the_contract_steps() -> None:
    step = network(Step().bytes())
    logits, state = step.step(np.array([4, 0]), [np.array([[1, 2, 3], [4, 5, 6]], np.float32)])
    assert logits.tolist() == [[20, 21, 22, 23, 24], [0, 1, 2, 3, 4]]
    assert state[0].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_any_architecture_goes_several_states_of_any_shape_and_type() -> None:
    bent = Step()
    for i, (kind, size) in enumerate(
        [(FLOAT, [3]), (HALF, [2, 2]), (TensorProto.INT64, []), (TensorProto.INT32, [1])], start=0
    ):
        bent.inputs[f"state.{i}"] = bent.outputs[f"next_state.{i}"] = (kind, ["batch", *size])
        if i:
            bent.nodes.append(helper.make_node("Identity", [f"state.{i}"], [f"next_state.{i}"]))
    step = network(bent.bytes())
    state = step.zero_state(2)
    assert [(array.shape, array.dtype) for array in state] == [
        ((2, 3), np.float32),
        ((2, 2, 2), np.float16),
        ((2,), np.int64),
        ((2, 1), np.int32),
    ]
    assert not any(array.any() for array in state)
    _, following = step.step(np.array([1, 2]), state)
    assert [array.shape for array in following] == [array.shape for array in state]


def without(step: Step, name: str) -> None:
    step.outputs.pop(name)
    step.nodes = [node for node in step.nodes if node.output[0] != name]


def rename_state(step: Step) -> None:
    step.inputs = {"char": step.inputs["char"], "h": step.inputs["state.0"]}
    step.nodes[1] = helper.make_node("Identity", ["h"], ["next_state.0"])


def extra_input(step: Step) -> None:
    step.inputs["temperature"] = (FLOAT, ["batch"])


def extra_output(step: Step) -> None:
    step.outputs["attention"] = (FLOAT, ["batch", 3])
    step.nodes.append(helper.make_node("Identity", ["state.0"], ["attention"]))


def double_logits(step: Step) -> None:
    step.table = step.table.astype(np.float64)
    step.outputs["logits"] = (DOUBLE, ["batch", SYMBOLS])


def wider_logits(step: Step) -> None:
    step.table = np.zeros((SYMBOLS, SYMBOLS + 1), np.float32)
    step.outputs["logits"] = (FLOAT, ["batch", SYMBOLS + 1])


def longer_state(step: Step) -> None:
    step.outputs["next_state.0"] = (FLOAT, ["batch", 6])
    step.nodes[1] = helper.make_node("Concat", ["state.0", "state.0"], ["next_state.0"], axis=1)


def sequence_of_characters(step: Step) -> None:
    step.inputs["char"] = (TensorProto.INT64, ["batch", "time"])
    step.outputs["logits"] = (FLOAT, ["batch", "time", SYMBOLS])


VIOLATIONS: dict[str, Callable[[Step], Any]] = {
    "no next_state.0": lambda step: without(step, "next_state.0"),
    "no logits": lambda step: without(step, "logits"),
    "a state of another name": rename_state,
    "an input too many": extra_input,
    "an output too many": extra_output,
    "characters in int32": lambda step: step.inputs.update(char=(TensorProto.INT32, ["batch"])),
    "a sequence of characters": sequence_of_characters,
    "logits in float64": double_logits,
    "logits for another vocabulary": wider_logits,
    "a state in float64": lambda step: step.state(DOUBLE, ["batch", 3]),
    "a state of strings": lambda step: step.state(TensorProto.STRING, ["batch", 3]),
    "a next state of another type": lambda step: step.state(FLOAT, ["batch", 3], HALF),
    "a next state of another shape": longer_state,
    "a state of dynamic shape": lambda step: step.state(FLOAT, ["batch", "length"]),
    "a state of no size": lambda step: step.state(FLOAT, ["batch", 0]),
    "a state too big to keep": lambda step: step.state(FLOAT, ["batch", (1 << 18) + 1]),
    "a state of 2^64 numbers": lambda step: step.state(FLOAT, ["batch", 1 << 32, 1 << 32]),
}


@pytest.mark.parametrize("violate", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_model_that_breaks_the_contract_is_refused_and_named(violate: Callable[[Step], Any]) -> None:
    bent = Step()
    violate(bent)
    with pytest.raises(WeightsError) as caught:
        network(bent.bytes())
    assert MODEL in str(caught.value)


@pytest.mark.parametrize(
    "model",
    [b"", b"\0" * 100, b"not a model", Step().bytes()[:-20], Step().bytes()[20:]],
    ids=["empty", "zeros", "text", "end missing", "beginning missing"],
)
def test_bytes_that_are_no_model_are_refused_and_named(model: bytes) -> None:
    with pytest.raises(WeightsError) as caught:
        network(model)
    assert MODEL in str(caught.value)


def test_a_model_cannot_bring_in_weights_from_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """External data was not hashed; here it even lies where onnxruntime looks for it."""
    model = Step().proto()
    (tmp_path / "table.bin").write_bytes(model.graph.initializer[0].raw_data)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="table.bin")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / MODEL
    path.write_bytes(model.SerializeToString())
    for place in (path, path.read_bytes()):
        with pytest.raises(WeightsError) as caught:
            Network(place, SYMBOLS)
        assert MODEL in str(caught.value)


def test_an_operator_that_does_not_exist_is_refused_and_named() -> None:
    bent = Step()
    bent.nodes[0] = helper.make_node("Oracle", ["table", "char"], ["logits"], domain="com.example")
    with pytest.raises(WeightsError) as caught:
        network(bent.bytes())
    assert MODEL in str(caught.value)


def test_a_step_that_cannot_run_is_a_network_fault() -> None:
    step = network(Step().bytes())
    with pytest.raises(ModelError):
        step.step(np.array([SYMBOLS + 100]), step.zero_state(1))
    with pytest.raises(ModelError):
        step.step(np.array([0, 1]), [np.zeros((1, 4), np.float32)])


# ---- a version's self-test ------------------------------------------------------------------------------------------


def version_with_model(folder: Path, model: bytes) -> Path:
    """Makes current a version that is whole in every other respect; returns the path of its model."""
    weights = load_weights(folder)
    files = {name: (weights.folder / name).read_bytes() for name in weights.manifest.files} | {"model.onnx": model}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    place = add_version(folder, files, replace(weights.manifest, version="bad", files=digests))
    activate(folder, "bad")
    return place / "model.onnx"


def assert_refused(folder: Path, model: bytes) -> None:
    path = version_with_model(folder, model)
    with pytest.raises(WeightsError) as caught:
        load_model(folder)
    assert str(path) in str(caught.value)


def test_a_version_with_whole_files_but_a_model_of_another_vocabulary_is_refused(tiny_folder: Path) -> None:
    assert_refused(tiny_folder, Step().bytes())


def test_a_version_whose_model_takes_one_row_only_is_refused(tiny_folder: Path) -> None:
    """Nothing in its declaration breaks the contract but the size of the batch."""
    model = onnx.load(load_weights(tiny_folder).folder / MODEL)
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    assert_refused(tiny_folder, model.SerializeToString())


def poisoned(folder: Path, name: str, index: tuple[int, ...], value: float) -> bytes:
    """The current model with one of its numbers changed."""
    model = onnx.load(load_weights(folder).folder / MODEL)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    array = numpy_helper.to_array(tensor).copy()
    array[index] = value
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6], ids=str)
def test_a_network_whose_logits_are_no_sensible_numbers_fails_its_self_test(tiny_folder: Path, value: float) -> None:
    assert_refused(tiny_folder, poisoned(tiny_folder, "output.bias", (3,), value))


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("output.matrix.scale", (0,)),
        ("0.matrix.scale", (0,)),
        ("table", (slice(None), 0)),
        ("table", (TINY_VOCABULARY.characters.index(" "), 0)),
        ("table", (TINY_VOCABULARY.characters.index("Z"), 0)),
    ],
    ids=["output", "recurrent", "every character", "the space", "one letter"],
)
def test_a_network_with_a_nan_in_it_fails_its_self_test(tiny_folder: Path, name: str, index: tuple[int, ...]) -> None:
    """Quantised, a NaN of the hidden state becomes a number again, so the logits alone do not show it."""
    assert_refused(tiny_folder, poisoned(tiny_folder, name, index, np.nan))


# ---- rows -----------------------------------------------------------------------------------------------------------

ROWS = 33
"""One more than the worker runs at once."""
STEPS = 12


def run_rows(step: Network, characters: NDArray[np.int64], rows: list[int]) -> tuple[list[bytes], list[bytes]]:
    """Feeds `characters` [time, ROWS] to these rows together; each row's logits and last states as bytes."""
    state = step.zero_state(len(rows))
    logits = []
    for fed in characters:
        out, state = step.step(fed[rows], state)
        logits.append(out)
    together = np.stack(logits, axis=1)
    return [row.tobytes() for row in together], [
        b"".join(part[i].tobytes() for part in state) for i in range(len(rows))
    ]


@pytest.mark.parametrize("which", ["tiny_folder", "weights_folder"])
def test_a_row_is_the_same_bit_for_bit_alone_and_in_any_batch(which: str, request: pytest.FixtureRequest) -> None:
    weights = load_weights(request.getfixturevalue(which))
    symbols = len(weights.manifest.vocabulary)
    random = np.random.default_rng(5)
    characters = random.integers(symbols, size=(STEPS, ROWS))
    step = Network(weights.folder / MODEL, symbols)
    alone = [run_rows(step, characters, [row]) for row in range(ROWS)]
    logits, states = [row[0][0] for row in alone], [row[1][0] for row in alone]
    assert len(set(logits)) == ROWS
    for size in (1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33):
        rows = random.permutation(ROWS)[:size].tolist()
        assert run_rows(step, characters, rows) == ([logits[row] for row in rows], [states[row] for row in rows])


def test_a_row_is_the_same_while_others_come_and_go_at_every_step(tiny_folder: Path) -> None:
    weights = load_weights(tiny_folder)
    symbols = len(weights.manifest.vocabulary)
    step = Network(weights.folder / MODEL, symbols)
    random = np.random.default_rng(6)
    own: State = step.zero_state(1)
    carried: State = step.zero_state(1)
    for _ in range(60):
        fed = int(random.integers(symbols))
        expected, own = step.step(np.array([fed]), own)
        others = int(random.integers(0, ROWS))
        place = int(random.integers(0, others + 1))
        company = [random.normal(0, 1, (others, *spec.shape)).astype(spec.dtype) for spec in step.specs]
        state = [np.insert(array, place, mine[0], axis=0) for array, mine in zip(company, carried, strict=True)]
        batch = np.insert(random.integers(symbols, size=others), place, fed)
        logits, state = step.step(batch, state)
        carried = [array[place : place + 1] for array in state]
        assert logits[place].tobytes() == expected[0].tobytes()
        assert [array.tobytes() for array in carried] == [array.tobytes() for array in own]

"""Weights that pass every test at the door, and fail in onnxruntime itself at `TRAP`, which they never write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import onnx
from conftest import LIKELIER, TINY_VOCABULARY, add_random_version
from numpy import array, float32, int64
from onnx import TensorProto, helper, numpy_helper

from generator.weights.versions import add_version, load_weights

LETTER: Final = "Q"
TRAP: Final = LETTER * 2
NEVER: Final = -40.0
"""Added to the letter's logit."""
Fault = Callable[[str, str], list[Any]]
"""Nodes: from the name of an int64 that is 1 when the trap springs, else 0, to a float of the other name that is 0."""


def out_of_range(sprung: str, nothing: str) -> list[Any]:
    """onnxruntime raises: a table of one row is asked for its eighth."""
    return [
        helper.make_node("Mul", [sprung, "trap.seven"], ["trap.index"]),
        helper.make_node("Gather", ["trap.table", "trap.index"], [nothing]),
    ]


def not_a_number(sprung: str, nothing: str) -> list[Any]:
    """The logits are NaN: the root of -1 is added to them."""
    return [
        helper.make_node("Cast", [sprung], ["trap.float"], to=TensorProto.FLOAT),
        helper.make_node("Neg", ["trap.float"], ["trap.negative"]),
        helper.make_node("Sqrt", ["trap.negative"], [nothing]),
    ]


def endless(sprung: str, nothing: str) -> list[Any]:
    """onnxruntime does not come back: it counts to 2 ** 50."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["still_on"]),
            helper.make_node("Mul", ["before", "before"], ["after"]),
        ],
        "count",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("still_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, []),
        ],
    )
    return [
        helper.make_node("Mul", [sprung, "trap.long"], ["trap.turns"]),
        helper.make_node("Loop", ["trap.turns", "", "trap.zero"], [nothing], body=body),
    ]


def add_trapped_version(folder: Path, version: str, fault: Fault) -> None:
    """Adds an untrained version with a trap in it to a weights folder."""
    add_random_version(folder, f"{version}-sound", seed=1, likelier=LIKELIER | {LETTER: NEVER})
    sound = load_weights(folder, f"{version}-sound")
    content = _with_trap(onnx.load(sound.folder / "model.onnx"), fault).SerializeToString()
    manifest = msgspec.structs.replace(
        sound.manifest, version=version, files={"model.onnx": hashlib.sha256(content).hexdigest()}
    )
    add_version(folder, {"model.onnx": content}, manifest)


def _with_trap(model: Any, fault: Fault) -> Any:
    """The model with one more state: how often the letter has been read in a row."""
    graph = model.graph
    state = f"state.{sum(tensor.name.startswith('state.') for tensor in graph.input)}"
    constants = {
        "trap.letter": array(TINY_VOCABULARY.characters.index(LETTER), int64),
        "trap.one": array(1, int64),
        "trap.two": array(2, int64),
        "trap.seven": array(7, int64),
        "trap.long": array(2**50, int64),
        "trap.last": array([1], int64),
        "trap.zero": array(0, float32),
        "trap.table": array([0], float32),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    for node in graph.node:
        for place, name in enumerate(node.output):
            if name == "logits":
                node.output[place] = "trap.logits"
    graph.node.extend(
        [
            helper.make_node("Equal", ["char", "trap.letter"], ["trap.is_letter"]),
            helper.make_node("Cast", ["trap.is_letter"], ["trap.letters"], to=TensorProto.INT64),
            helper.make_node("Unsqueeze", ["trap.letters", "trap.last"], ["trap.column"]),
            helper.make_node("Add", [state, "trap.one"], ["trap.more"]),
            helper.make_node("Mul", ["trap.more", "trap.column"], [f"next_{state}"]),
            helper.make_node("ReduceMax", [f"next_{state}"], ["trap.most"], keepdims=0),
            helper.make_node("GreaterOrEqual", ["trap.most", "trap.two"], ["trap.is_sprung"]),
            helper.make_node("Cast", ["trap.is_sprung"], ["trap.sprung"], to=TensorProto.INT64),
            *fault("trap.sprung", "trap.nothing"),
            helper.make_node("Add", ["trap.logits", "trap.nothing"], ["logits"]),
        ]
    )
    graph.input.append(helper.make_tensor_value_info(state, TensorProto.INT64, ["batch", 1]))
    graph.output.append(helper.make_tensor_value_info(f"next_{state}", TensorProto.INT64, ["batch", 1]))
    return model

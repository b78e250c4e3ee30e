"""Every kind of network: the layers against Keras's own, the exported step against the layers, and a run from a text
to a version that writes.
"""

from __future__ import annotations

import csv
import random as stdlib_random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load

import train
from bot.core.parsing import fit_prompt
from generator import GenerationRequest
from generator.serving.generator import ThreadedGenerator
from generator.serving.loading import load_model
from generator.serving.scoring import bits_per_character
from generator.training.architectures import ARCHITECTURES, architecture_of, step_model
from generator.training.architectures.ngrams import CONSTANTS, TABLE, quantised_table
from generator.training.architectures.recurrent import CellKind, StatefulRNN
from generator.training.backend import keras
from generator.training.corpus import batches, read_corpus
from generator.training.model import (
    FloatWeights,
    build_model,
    float_weights,
    from_bytes,
    parameters,
    set_float_weights,
    to_bytes,
)
from generator.training.onnx_export import WEIGHT_LIMIT
from generator.training.presets import PRESETS, WINDOW_LENGTH, Preset, TrainingConfig
from generator.vocabulary import Vocabulary
from generator.weights.session import Network, State
from generator.weights.versions import load_weights

NIETZSCHE = "\n !\"'(),-.0123456789:;=?ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyzÆäæéë"
"""The characters of nietzsche.txt."""
SYMBOLS = 13
FEW = Vocabulary.of(NIETZSCHE[:SYMBOLS])
READING = TrainingConfig(epochs=1, learning_rate=1e-2)
NGRAMS = (("2", 6), ("3", 5), ("word", 4), ("words", 6))
TINY_LSTM = Preset("", 5, 7, READING, layers=2, batch=3, steps=11)
TINY = {
    preset.architecture: preset
    for preset in (
        TINY_LSTM,
        replace(TINY_LSTM, architecture="gru"),
        replace(TINY_LSTM, architecture="ngram", ngram_bits=NGRAMS, ngram_width=5),
        replace(PRESETS["window"], units=7, dense=(5, 6), batch=3),
    )
}
"""Of every architecture a network small enough to be looked through: 7 units, two layers where it has several."""
EVERY = pytest.mark.parametrize("architecture", ARCHITECTURES)


def random_network(architecture: str, symbols: int = SYMBOLS, **sizes: int) -> tuple[keras.Model, FloatWeights]:
    """The tiny model with random weights, biases included."""
    preset = replace(TINY[architecture], **sizes)
    model = build_model(preset, preset.training, Vocabulary.of(NIETZSCHE[:symbols]), 100, seed=3)
    random = np.random.default_rng(1)
    weights = {name: random.normal(0, 0.4, w.shape).astype(np.float32) for name, w in float_weights(model).items()}
    if architecture == "ngram":
        weights |= {name: array for name, array in float_weights(model).items() if name in CONSTANTS}
        weights[TABLE] *= 0.5
    set_float_weights(model, weights)
    return model, weights


# ---- the recipes' sizes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "symbols", "expected"),
    [
        # 84·256 embedding, 4·(256 + 1024 + 1)·1024 LSTM, 1024·84 + 84 output
        ("lstm", 84, 5_354_580),
        ("lstm-tbptt", 84, 5_354_580),
        # 84·128 embedding, 4·(128 + 640 + 1)·640 and 4·(640 + 640 + 1)·640 LSTM, 640·84 + 84 output
        ("best", 84, 5_312_596),
        # 84·256 embedding, 3·(256 + 1024 + 2)·1024 GRU, which has two biases, 1024·84 + 84 output
        ("gru", 84, 4_045_908),
        # 4·(57 + 128 + 1)·128 LSTM, 128·24 + 24 and 24·32 + 32 dense, 32·57 + 57 output
        ("window", 57, 101_009),
    ],
)
def test_the_recipes_networks_have_these_many_parameters(name: str, symbols: int, expected: int) -> None:
    preset = PRESETS[name]
    vocabulary = Vocabulary.of(NIETZSCHE.lower() if preset.lowercase else NIETZSCHE)
    assert len(vocabulary) == symbols
    model = build_model(preset, preset.training, vocabulary, 100, seed=0)
    assert parameters(float_weights(model)) == expected
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == expected
    assert architecture_of(float_weights(model)) == preset.architecture


# ---- the layers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "theirs"),
    [
        ("lstm", keras.layers.LSTM(5, return_sequences=True, stateful=True)),
        ("gru", keras.layers.GRU(5, return_sequences=True, stateful=True, reset_after=True)),
    ],
)
def test_a_layer_does_what_kerass_does_and_so_do_its_gradients(cell: CellKind, theirs: keras.layers.Layer) -> None:
    random = np.random.default_rng(0)
    inputs = [random.normal(size=(4, 9, 6)).astype(np.float32) for _ in range(3)]
    targets = [random.normal(size=(4, 9, 5)).astype(np.float32) for _ in range(3)]
    weights = None
    outputs, after = [], []
    for layer in (StatefulRNN(cell, 5), theirs):
        model = keras.Sequential([keras.Input(batch_shape=(4, 9, 6)), layer])
        weights = weights or [random.normal(0, 0.5, v.shape).astype(np.float32) for v in model.trainable_variables]
        for variable, value in zip(model.trainable_variables, weights, strict=True):
            variable.assign(value)
        model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
        losses = [float(model.train_on_batch(x, y)) for x, y in zip(inputs, targets, strict=True)]
        outputs.append(losses)
        after.append([keras.ops.convert_to_numpy(v) for v in model.trainable_variables])
    # Three steps of gradient descent, with the state carried from each to the next, end at the same weights.
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-5)
    for mine, kerass in zip(*after, strict=True):
        np.testing.assert_allclose(mine, kerass, atol=1e-5)


@EVERY
def test_training_learns_in_bfloat16(architecture: str) -> None:
    preset = replace(TINY[architecture], units=16)
    preset = replace(preset, dense=(16, 16) if preset.dense else ())
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build_model(preset, replace(preset.training, learning_rate=5e-2), FEW, 100, seed=0)
        fed = batches(np.arange(400) % SYMBOLS, preset, preset.training.order, np.random.default_rng(0))
        batch = next(iter(fed))
        losses = [model.train_on_batch(*batch, return_dict=True)["loss"] for _ in range(20)]
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert min(losses) < 0.8 * losses[0]


# ---- the exported step ----------------------------------------------------------------------------------------------


TEXT = np.random.default_rng(2).integers(SYMBOLS, size=(3, 55))
"""Three texts, each longer than a window and than several times the steps of a batch."""


def keras_logits(architecture: str) -> tuple[FloatWeights, NDArray[np.float32]]:
    """Random weights, and what Keras foretells with them after each character of `TEXT`: `[3, 55, symbols]`."""
    steps = TINY[architecture].steps
    if architecture != "window":
        model, weights = random_network(architecture)
        chunks = [keras.ops.convert_to_numpy(model(TEXT[:, s : s + steps])) for s in range(0, TEXT.shape[1], steps)]
        return weights, np.concatenate(chunks, axis=1)
    model, weights = random_network(architecture, batch=TEXT.size)
    padded = np.concatenate([np.full((len(TEXT), steps - 1), -1), TEXT], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, steps, axis=1).reshape(-1, steps)
    return weights, keras.ops.convert_to_numpy(model(windows)).reshape(*TEXT.shape, SYMBOLS)


@EVERY
def test_the_exported_step_gives_the_logits_that_keras_gives(architecture: str) -> None:
    weights, expected = keras_logits(architecture)
    for quantised, tolerance in ((False, 1e-4), (True, 0.1)):
        network = Network(step_model(weights, quantised=quantised), SYMBOLS)
        state = network.zero_state(len(TEXT))
        for position in range(TEXT.shape[1]):
            logits, state = network.step(TEXT[:, position].copy(), state)
            np.testing.assert_allclose(logits, expected[:, position], atol=tolerance)


@EVERY
def test_weights_come_back_by_name(architecture: str) -> None:
    model, weights = random_network(architecture)
    for name, array in float_weights(model).items():
        np.testing.assert_array_equal(array, weights[name])


@EVERY
def test_a_version_stores_each_weight_once_and_its_model_can_be_made_again(architecture: str) -> None:
    _, weights = random_network(architecture)
    model = step_model(weights, quantised=True)
    stored = from_bytes(to_bytes(weights, model), model)
    assert stored.keys() == weights.keys()
    held = weights.keys() - load(to_bytes(weights, model)).keys()
    expected = {f"{architecture}.{each}" for each in ("0.recurrent_kernel", "1.recurrent_kernel", "1.kernel")}
    assert held == {"window": set(), "ngram": {TABLE, *expected}}.get(architecture, expected)
    for name in weights.keys() - held:
        np.testing.assert_array_equal(stored[name], weights[name].astype(np.float16))
    for name in held:
        # Half a step of the scale of seven bits, and of the table's.
        bound = 1 / 256 if name == TABLE else np.abs(weights[name]).max() / WEIGHT_LIMIT
        np.testing.assert_allclose(stored[name], weights[name], atol=bound)
        if name == TABLE:
            np.testing.assert_array_equal(quantised_table(stored[name]), quantised_table(weights[name]))
    served = step_model(stored, quantised=True)
    again = step_model(from_bytes(to_bytes(stored, served), served), quantised=True)
    for one, other in zip(*(onnx.load_from_string(each).graph.initializer for each in (served, again)), strict=True):
        # The scale of a matrix that is read from the model is divided and multiplied: its last bit may differ.
        tolerance = 1e-6 if re.fullmatch(r"\d(\.below)?\.matrix\.scale", one.name) else 0
        np.testing.assert_allclose(onnx.numpy_helper.to_array(one), onnx.numpy_helper.to_array(other), rtol=tolerance)


@pytest.mark.parametrize("architecture", ["lstm", "gru"])
def test_little_is_lost_by_integers_at_a_real_size(architecture: str) -> None:
    preset = replace(PRESETS[architecture], units=256, embedding=64)
    model = build_model(preset, preset.training, FEW, 100, seed=0)
    floating, served = (
        Network(step_model(float_weights(model), quantised=quantised), SYMBOLS) for quantised in (False, True)
    )
    text = np.random.default_rng(4).integers(SYMBOLS, size=400)
    assert bits_per_character(served, text) == pytest.approx(bits_per_character(floating, text), abs=0.002)


@pytest.mark.parametrize(
    ("architecture", "shapes"), [("lstm", [(7, 28), (14, 28), (7, 13)]), ("gru", [(7, 21), (7, 21), (7, 21), (7, 13)])]
)
def test_the_served_graph_is_standard_onnx_with_7_bit_integers(
    architecture: str, shapes: list[tuple[int, int]]
) -> None:
    graph = onnx.load_model_from_string(step_model(random_network(architecture)[1], quantised=True))
    assert [opset.domain for opset in graph.opset_import] == [""]
    integers = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in graph.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8
    ]
    assert [array.shape for array in integers] == shapes
    assert all(np.abs(array.astype(int)).max() <= WEIGHT_LIMIT for array in integers)


@EVERY
def test_a_row_is_the_same_bit_for_bit_alone_and_in_any_batch(architecture: str) -> None:
    rows, steps = 33, 12
    sizes = {"lstm": {"units": 48}, "gru": {"units": 48}, "ngram": {"units": 48}, "window": {"units": 128}}[
        architecture
    ]
    model = step_model(random_network(architecture, 57, **sizes)[1], quantised=True)
    random = np.random.default_rng(5)
    characters = random.integers(57, size=(steps, rows))

    def run(network: Network, chosen: list[int]) -> list[bytes]:
        state: State = network.zero_state(len(chosen))
        seen = []
        for fed in characters:
            logits, state = network.step(fed[chosen], state)
            seen.append(logits)
        kept = [b"".join(part[i].tobytes() for part in state) for i in range(len(chosen))]
        return [row.tobytes() + after for row, after in zip(np.stack(seen, axis=1), kept, strict=True)]

    one = Network(model, 57)
    alone = [run(one, [row])[0] for row in range(rows)]
    assert len(set(alone)) == rows
    for size in (1, 2, 3, 8, 17, 32, 33):
        chosen = random.permutation(rows)[:size].tolist()
        assert run(one, chosen) == [alone[row] for row in chosen]


# ---- what is the window's own ---------------------------------------------------------------------------------------


def test_the_windows_state_is_the_last_40_characters_and_zeros_where_there_are_none_yet() -> None:
    network = Network(step_model(random_network("window")[1], quantised=True), SYMBOLS)
    text = np.random.default_rng(6).integers(SYMBOLS, size=90)
    state = network.zero_state(1)
    assert state[0].shape == (1, WINDOW_LENGTH)
    for read in range(1, len(text) + 1):
        _, state = network.step(text[read - 1 : read], state)
        last = text[max(0, read - WINDOW_LENGTH) : read] + 1
        np.testing.assert_array_equal(state[0][0], np.pad(last, (WINDOW_LENGTH - len(last), 0)))


def test_the_window_forgets_what_is_more_than_40_characters_ago() -> None:
    network = Network(step_model(random_network("window")[1], quantised=True), SYMBOLS)
    same = np.random.default_rng(7).integers(SYMBOLS, size=WINDOW_LENGTH)
    after = []
    for before in ([], [1], [2, 3, 4]):
        state = network.zero_state(1)
        for character in [*before, *same]:
            logits, state = network.step(np.array([character]), state)
        after.append(logits.tobytes())
    assert len(set(after)) == 1


# ---- from a text to a version that writes ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 9,000 characters that are easy to learn, with a capital at every line's beginning."""
    draw = stdlib_random.Random(7)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "slept", "all", "day", "long", "while", "rain", "fell"]
    lines = [" ".join(draw.choices(words, k=11)).capitalize() + "." for _ in range(160)]
    path = tmp_path_factory.mktemp("corpus") / "cats.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def shrunken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipes with networks small enough for a test."""
    for name, sizes in {
        "lstm": {"embedding": 8, "units": 24, "steps": 20},
        "gru": {"embedding": 8, "units": 24, "steps": 20},
        "ngram": {"embedding": 8, "units": 24, "steps": 20, "ngram_width": 8},
        "window": {"units": 24},
    }.items():
        monkeypatch.setitem(PRESETS, name, replace(PRESETS[name], sample_length=30, **sizes))


def changed(book: Path, other: Path) -> Path:
    """The book with a letter that it does not have."""
    other.write_text(book.read_text().replace("rain", "Ωain"), encoding="utf-8")
    return other


def run(preset: str, book: Path, out: Path, name: str, *more: str) -> int:
    arguments = ["--corpus", str(book), "--preset", preset, "--out", str(out), "--name", name, "--dtype", "float32"]
    return train.main([*arguments, *more])


@pytest.mark.usefixtures("shrunken")
@pytest.mark.parametrize("preset", ["lstm", "gru", "ngram", "window"])
async def test_a_recipe_gives_a_version_that_writes_and_that_another_text_can_start_from(
    preset: str, book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(preset, book, tmp_path, "cats", "--epochs", "2", "--from-scratch") == 0

    # Its figures are those of what is served; samples came at the recipe's own temperatures.
    model = load_model(tmp_path)
    manifest = model.weights.manifest
    corpus = read_corpus(book, lowercase=preset == "window")
    assert manifest.lowercase == (preset == "window")
    assert manifest.corpus == corpus.note
    assert manifest.vocabulary == corpus.vocabulary
    assert bits_per_character(model.network, corpus.splits[1]) == pytest.approx(
        manifest.metrics["valid_bits_per_character"], abs=1e-4
    )
    printed = capsys.readouterr().err
    for temperature in PRESETS[preset].temperatures:
        assert printed.count(f"\n{temperature:<5} ") == 2
    rows = list(csv.DictReader((tmp_path / "cats" / "history.csv").read_text().splitlines()))
    assert float(rows[1]["train_bits_per_character"]) < float(rows[0]["train_bits_per_character"])
    if preset == "window":
        assert 0 < float(rows[0]["train_accuracy"]) < float(rows[1]["train_accuracy"]) < 1
        assert "% right)" in printed
        assert "lower-cased" in manifest.architecture
    else:
        assert "train_accuracy" not in rows[0]

    # The generator writes with it, and goes on from a prompt in capitals.
    prompt = fit_prompt("THE CAT", manifest)
    assert prompt.text.lower() == "the cat"
    async with ThreadedGenerator.open(tmp_path, threads=1) as generator:
        generation = await generator.generate(GenerationRequest(60, seed=2, prompt=prompt.text))
        assert len(generation.text) >= 30
        assert await generator.generate(GenerationRequest(60, seed=2, prompt=prompt.text)) == generation

    # Another text with other characters starts from it, and is better off than without.
    other = changed(book, tmp_path / "other.txt")
    version = str(tmp_path / "cats")
    assert run(preset, other, tmp_path, "second", "--epochs", "1", "--no-activate", "--from", version) == 0
    assert run(preset, other, tmp_path, "alone", "--epochs", "1", "--no-activate", "--from-scratch") == 0
    second, alone = (load_weights(tmp_path, name).manifest for name in ("second", "alone"))
    assert ("ω" if preset == "window" else "Ω") in second.vocabulary
    assert second.metrics["valid_bits_per_character"] < alone.metrics["valid_bits_per_character"]


@pytest.mark.usefixtures("shrunken")
def test_a_network_of_another_kind_cannot_be_started_from_and_that_is_said_in_one_line(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("gru", book, tmp_path, "cats", "--epochs", "1") == 0
    capsys.readouterr()
    for preset in ("lstm", "window"):
        assert run(preset, book, tmp_path, f"second-{preset}", "--from", str(tmp_path / "cats")) == 2
        assert "use --preset gru, which made it" in capsys.readouterr().err.splitlines()[-1]

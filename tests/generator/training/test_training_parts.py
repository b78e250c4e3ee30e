"""The pieces of training, each against something that is known to be right."""

from __future__ import annotations

import hashlib
import http.server
import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from conftest import in_background
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from generator.training import TrainingError, model, progress
from generator.training.backend import keras
from generator.training.checkpoint import Epoch, TrainingState, load_checkpoint, save_checkpoint
from generator.training.corpus import Batch, Corpus, batches, read_corpus, steps_per_epoch
from generator.training.loop import one_epoch
from generator.training.model import averaged_weights, build_model, float_weights
from generator.training.muon import Muon
from generator.training.onnx_export import WEIGHT_LIMIT, quantise
from generator.training.presets import WINDOW_STRIDE, Preset, TrainingConfig
from generator.training.texts import download
from generator.training.texts.lines import look_at
from generator.vocabulary import Vocabulary
from generator.weights.manifest import CorpusNote
from generator.weights.versions import load_weights
from testing.proxy import ProxyServer

TINY_CONFIG = TrainingConfig(epochs=1, learning_rate=1e-2)
TINY = Preset("", 5, 7, TINY_CONFIG, layers=2, batch=3, steps=11)
"""Two layers of 7 units, 3 rows of 11 steps."""
SYMBOLS = Vocabulary.of("abcdefghijklm")


@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1e3))
def test_a_quantised_matrix_is_within_half_a_step_of_itself(seed: int, scale: float) -> None:
    matrix = np.random.default_rng(seed).normal(0, scale, (6, 4)).astype(np.float32)
    matrix[:, 0] = 0.0
    integers, scales = quantise(matrix)
    assert np.abs(integers.astype(int)).max() <= WEIGHT_LIMIT
    assert (np.abs(integers * scales - matrix) <= scales * 0.501).all()


@given(st.integers(200, 3000), st.integers(1, 6), st.integers(2, 20), st.integers(0, 1000))
def test_contiguous_rows_go_on_where_they_stopped(characters: int, batch: int, steps: int, seed: int) -> None:
    preset = replace(TINY, batch=batch, steps=steps)
    read = list(batches(np.arange(characters), preset, "contiguous", np.random.default_rng(seed)))
    assert len(read) == steps_per_epoch(characters, preset, "contiguous")
    for inputs, targets in read:
        assert inputs.shape == targets.shape == (batch, steps)
        np.testing.assert_array_equal(targets, inputs + 1)
    for (_, targets), (inputs, _) in itertools.pairwise(read):
        np.testing.assert_array_equal(inputs[:, 0], targets[:, -1])
    everything = np.concatenate([inputs.ravel() for inputs, _ in read])
    assert len(set(everything.tolist())) == everything.size


@given(st.integers(200, 3000), st.integers(1, 6), st.integers(2, 20), st.integers(0, 1000))
def test_shuffled_sequences_are_each_read_once(characters: int, batch: int, steps: int, seed: int) -> None:
    preset = replace(TINY, batch=batch, steps=steps)
    read = list(batches(np.arange(characters), preset, "shuffled", np.random.default_rng(seed)))
    assert len(read) == steps_per_epoch(characters, preset, "shuffled")
    starts = [int(start) for inputs, _ in read for start in inputs[:, 0]]
    assert len(set(starts)) == len(starts)
    assert all(start % (steps + 1) == 0 for start in starts)
    for inputs, targets in read:
        np.testing.assert_array_equal(targets, inputs + 1)


@given(st.integers(200, 3000), st.integers(1, 6), st.integers(2, 40), st.integers(0, 1000))
def test_windows_lie_three_characters_apart_and_foretell_what_follows(
    characters: int, batch: int, steps: int, seed: int
) -> None:
    preset = replace(TINY, batch=batch, steps=steps)
    read = list(batches(np.arange(characters), preset, "windows", np.random.default_rng(seed)))
    assert len(read) == steps_per_epoch(characters, preset, "windows")
    starts = [int(start) for inputs, _ in read for start in inputs[:, 0]]
    assert len(set(starts)) == len(starts)
    assert all(start % WINDOW_STRIDE == 0 for start in starts)
    windows = -(-(characters - steps) // WINDOW_STRIDE)
    assert windows - batch < len(starts) <= windows
    for inputs, targets in read:
        assert inputs.shape == (batch, steps)
        np.testing.assert_array_equal(inputs, inputs[:, :1] + np.arange(steps))
        np.testing.assert_array_equal(targets, inputs[:, -1] + 1)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_checkpoint_brings_back_weights_optimiser_random_numbers_and_states(
    optimizer: Literal["adam", "muon"], tmp_path: Path
) -> None:
    reading = TrainingConfig(
        epochs=1,
        learning_rate=1e-2,
        warmup=0.1,
        clip_norm=1.0,
        weight_decay=0.1,
        average=0.9,
        embedding_dropout=0.3,
        hidden_dropout=0.3,
        dropconnect=0.3,
        output_dropout=0.3,
        optimizer=optimizer,
    )
    read = list(batches(np.arange(400) % 13, TINY, "contiguous", np.random.default_rng(0)))
    model = build_model(TINY, reading, SYMBOLS, 50, seed=0)
    for batch in read[:4]:
        model.train_on_batch(*batch)
    row = Epoch(1, 2.6, None, 2.5, 1e-2, 3.0)
    save_checkpoint(tmp_path, model, TrainingState([row], 1, float_weights(model)))
    expected = [float(model.train_on_batch(*batch)) for batch in read[4:]]

    other = build_model(TINY, reading, SYMBOLS, 50, seed=99)
    state = load_checkpoint(tmp_path, other)
    assert state.history == [row]
    assert state.best_epoch == 1
    assert [float(other.train_on_batch(*batch)) for batch in read[4:]] == expected
    for name, array in averaged_weights(other).items():
        np.testing.assert_array_equal(array, averaged_weights(model)[name])


def test_muon_turns_and_scales_each_gate_alike_and_leaves_other_weights_to_adam() -> None:
    random = np.random.default_rng(0)
    kernel = keras.Variable(np.zeros((24, 4 * 16), np.float32), name="kernel")
    output = keras.Variable(np.zeros((16, 13), np.float32), name="output_kernel")
    gradients = [random.normal(size=each.shape).astype(np.float32) for each in (kernel, output)]
    gradients[0][:, 16:32] *= 1000  # a gate whose gradient is a thousand times that of the others
    Muon(0.1, 16, weight_decay=None).apply(gradients, [kernel, output])
    step = 0.1 * 0.2 * 24**0.5
    for gate, gradient in zip(np.split(kernel.numpy(), 4, axis=1), np.split(gradients[0], 4, axis=1), strict=True):
        np.testing.assert_allclose(np.linalg.svd(gate)[1], step, rtol=0.4)  # five rounds, in bfloat16
        left, _, right = np.linalg.svd(gradient, full_matrices=False)
        assert np.vdot(gate, left @ right) < -0.95 * np.linalg.norm(gate) * 16**0.5
    np.testing.assert_allclose(output.numpy(), -0.1 * np.sign(gradients[1]), rtol=1e-3)


def test_states_begin_at_zero_again_after_so_many_batches() -> None:
    still = build_model(TINY, replace(TINY_CONFIG, learning_rate=0.0), SYMBOLS, 50, seed=0)
    read = list(batches(np.arange(400) % 13, TINY, "contiguous", np.random.default_rng(0)))[:4]

    def bits(some: list[Batch], carried: int) -> float:
        with progress.TrainingBar(len(some), 1, 0, 1) as bar:
            return one_epoch(still, some, bar, carried)[0] * len(some)

    assert bits(read, 2) == pytest.approx(bits(read[:2], 2) + bits(read[2:], 2))
    assert bits(read, 4) != pytest.approx(bits(read, 2), rel=1e-6)


def test_the_running_average_is_of_the_weights_after_each_step_and_leaves_them_alone() -> None:
    reading = replace(TINY_CONFIG, average=0.5)
    model = build_model(TINY, reading, SYMBOLS, 50, seed=0)
    expected: dict[str, NDArray[np.float32]] = {}
    for batch in batches(np.arange(400) % 13, TINY, "contiguous", np.random.default_rng(0)):
        model.train_on_batch(*batch)
        last = float_weights(model)
        expected = {name: 0.5 * expected[name] + 0.5 * array for name, array in last.items()} if expected else last
        for name, array in averaged_weights(model).items():
            np.testing.assert_allclose(array, expected[name], atol=1e-6)
        for name, array in float_weights(model).items():
            np.testing.assert_array_equal(array, last[name])


def test_characters_new_to_a_network_begin_as_improbable_as_its_rarest(weights_folder: Path) -> None:
    version = load_weights(weights_folder)
    known = version.manifest.vocabulary.characters
    before = model.transfer_weights(version, version.manifest.vocabulary)["output_bias"]
    after = model.transfer_weights(version, Vocabulary.of(known + "#{}"))["output_bias"]
    assert len(after) == len(known) + 3
    assert sorted(after) == pytest.approx(sorted([*before, *[before.min()] * 3]))


@given(st.integers(1, 100_000), st.integers(1, 5000), st.integers(0, 5))
def test_a_shorter_text_is_read_more_often_within_bounds(epochs: int, steps: int, patience: int) -> None:
    reading = TrainingConfig(epochs=epochs, learning_rate=0.1, patience=patience)
    fitted = reading.epochs_for(steps)
    if patience:
        assert max(1, epochs // 3) <= fitted <= epochs * 2
        assert fitted >= reading.epochs_for(steps + 1)
    else:
        assert fitted == epochs


def test_the_split_is_contiguous_and_cut_where_the_contract_says() -> None:
    text = "".join(chr(65 + i % 26) for i in range(1009))
    corpus = Corpus(CorpusNote("a", len(text), ""), text, look_at(text))
    training, validation, test = corpus.splits
    assert [len(training), len(validation), len(test)] == [908, 50, 51]
    assert corpus.vocabulary.decode(np.concatenate([training, validation, test])) == text


def test_line_ends_of_every_system_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "dos.txt"
    path.write_bytes(b"\xef\xbb\xbf" + b"A line of text.\r\n" * 300)
    assert read_corpus(path).text == "A line of text.\n" * 300


def test_a_hard_wrapped_book_is_told_from_one_line_per_paragraph() -> None:
    wrapped = ("a line of some sixty characters or so of running prose text\n" * 9 + "its last.\n\n") * 30
    assert look_at(wrapped).wrapped
    assert not look_at(("One paragraph on one line, " * 20 + "\n") * 30).wrapped
    assert not look_at("Short.\nAnd then a longer one.\nOh\n\nI see, said he, and left.\n" * 60).wrapped


class _Archive(http.server.BaseHTTPRequestHandler):
    body = b"Of the text that everybody learns from. " * 200
    announced = len(body)
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        self.send_response(200)
        self.send_header("Content-Length", str(self.announced))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Archive]]:
    class Archive(_Archive):
        pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Archive) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}/nietzsche.txt"
        monkeypatch.setattr(download, "DEFAULT_URL", address)
        monkeypatch.setattr(download, "DEFAULT_SHA256", hashlib.sha256(Archive.body).hexdigest())
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield Archive
        server.shutdown()
        thread.join()


def test_the_default_text_is_downloaded_once(archive: type[_Archive]) -> None:
    assert download.default_corpus().read_bytes() == archive.body
    assert download.default_corpus().read_bytes() == archive.body
    assert archive.requests == 1


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_the_default_text_is_downloaded_through_the_proxy_of_the_environment(
    archive: type[_Archive], monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    port = int(download.DEFAULT_URL.rpartition(":")[2].partition("/")[0])
    monkeypatch.setattr(download, "DEFAULT_URL", "http://archive.bot.example/nietzsche.txt")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    proxy = ProxyServer({"archive.bot.example": ("127.0.0.1", port)}, "ada:hush")
    with in_background(proxy.running()):
        monkeypatch.setenv("http_proxy", proxy.address(scheme).replace("hush", "wrong"))
        with pytest.raises(TrainingError, match=r"archive\.bot\.example") as caught:
            download.default_corpus()
        assert "wrong" not in str(caught.value)
        monkeypatch.setenv("http_proxy", proxy.address(scheme))
        assert download.default_corpus().read_bytes() == archive.body
    assert proxy.requests


def test_a_download_that_breaks_off_leaves_nothing_behind(archive: type[_Archive], tmp_path: Path) -> None:
    archive.announced = len(archive.body) + 5
    with pytest.raises(TrainingError, match="--corpus FILE"):
        download.default_corpus()
    assert not (tmp_path / "cache").exists()


def test_a_download_of_another_text_is_refused(archive: type[_Archive], tmp_path: Path) -> None:
    archive.body = b"Something else. " * 1000
    archive.announced = len(archive.body)
    with pytest.raises(TrainingError, match="sha256 differs"):
        download.default_corpus()
    assert not (tmp_path / "cache").exists()


def test_without_a_network_the_way_round_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "DEFAULT_URL", "http://127.0.0.1:9/nietzsche.txt")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(TrainingError, match=r"python train\.py --corpus FILE"):
        download.default_corpus()

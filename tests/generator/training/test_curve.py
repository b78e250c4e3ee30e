"""The picture at the end of a training: curves, and texts of the served form shaded by its own probabilities."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_VOCABULARY, add_random_version, random_weights
from msgspec import structs
from PIL import Image
from rich.console import Console

from generator.serving.loading import load_model
from generator.training import progress, report
from generator.training.architectures import step_model
from generator.training.checkpoint import Epoch, TrainingState
from generator.training.corpus import Corpus, read_corpus
from generator.training.report import curve_png, history_csv
from generator.training.samples import SHADED_LENGTH, SHADED_TEMPERATURES, bot_text, samples, shaded_samples
from generator.types import Surprisal
from generator.vocabulary import Vocabulary
from generator.weights.manifest import MODEL
from generator.weights.session import Network
from generator.weights.versions import load_weights

HISTORY = [Epoch(e, 5 / e, None, 4 / e + 0.1 * e, 1e-3, 2.0) for e in range(1, 7)]
TELEGRAM_SHRINKS_FROM = 2560


def corpus_of(text: str, tmp_path: Path) -> Corpus:
    path = tmp_path / "book.txt"
    path.write_text(text, encoding="utf-8")
    return read_corpus(path)


@pytest.fixture
def book(tmp_path: Path, weights_folder: Path) -> Corpus:
    """A text of all the characters that the shipped network knows, since a run measures on its own corpus."""
    vocabulary = load_weights(weights_folder).manifest.vocabulary.characters
    sentences = "The philosopher is a man of the day after. What is noble? Is it not thus? " * 120
    return corpus_of("".join(c for c in vocabulary if c != "\n") + "\n" + sentences, tmp_path)


def test_the_texts_go_on_from_a_sentence_of_the_validation_split(book: Corpus, weights_folder: Path) -> None:
    network = Network(load_weights(weights_folder).folder / MODEL, len(book.vocabulary))
    found = shaded_samples(network, book, seed=3)
    assert [label for label, _ in found] == [f"temperature {t}" for t in SHADED_TEMPERATURES]
    for _, surprise in found:
        assert surprise.given in book.vocabulary.decode(book.splits[1])
        assert surprise.given.startswith(("The philosopher is", "What is noble?", "Is it not"))
        assert SHADED_LENGTH * 0.4 < len(surprise.text) <= SHADED_LENGTH
        assert not surprise.text[-1].isspace()
        assert min(surprise.bits) >= 0
    again = shaded_samples(network, book, seed=3)
    assert [s.text for _, s in again] == [s.text for _, s in found]
    assert all(a.bits == b.bits for (_, a), (_, b) in zip(again, found, strict=True))
    content = curve_png(TrainingState(HISTORY, 3), found, hard_wrapped=True)  # as the network's own corpus is
    picture = Image.open(io.BytesIO(content))
    assert (picture.format, picture.width) == ("PNG", 1080)
    assert 1200 < picture.height <= TELEGRAM_SHRINKS_FROM
    assert len(content) < 400_000


def test_no_sample_has_a_control_character_that_a_terminal_would_obey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network learns what its corpus has: here ESC and BEL in place of the two likeliest characters."""
    learnt = Vocabulary(TINY_VOCABULARY.characters.translate({ord(" "): "\x1b", ord("."): "\x07", ord("b"): " "}))
    add_random_version(tmp_path, "odd-1", seed=1, vocabulary=learnt)
    written = load_model(tmp_path, "odd-1")
    raw = samples(written.network, learnt, "a", [0.7], np.random.default_rng(1), length=200)
    assert {"\x1b", "\x07"} < set(raw[0].text)
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen))
    progress.TrainingBar(1, 1, 0, 1).epoch_done(TrainingState(HISTORY[:1], 1), "a\x1b[2J", {0.7: raw[0]})
    shown = screen.getvalue() + bot_text(written, seed=1)
    assert "validation" in shown
    assert [c for c in shown if c in "\x1b\x07"] == []


@pytest.mark.parametrize("worse", [0.1, -0.1])
def test_an_epoch_is_called_the_best_only_while_none_validated_better(
    worse: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the last epoch is the one that is kept, as in pretraining."""
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen))
    last = structs.replace(HISTORY[-1], valid_bits_per_character=HISTORY[-2].valid_bits_per_character + worse)
    progress.TrainingBar(1, 6, 5, 1).epoch_done(TrainingState([HISTORY[-2], last], last.epoch), "a", {})
    assert ("(best so far)" in screen.getvalue()) == (worse < 0)


def test_a_line_stays_whole_so_that_its_command_can_be_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, width=80))
    line = (
        "talk to the best epoch so far: python -m bot chat --weights /home/ada/novels/weights-bovary/.training/bovary"
    )
    progress.show(line)
    assert screen.getvalue() == f"{line}\n"


@pytest.mark.parametrize("text", ["abc" * 1200, "abc \n" * 800, "漢字かな" * 900])
def test_a_book_without_sentences_or_without_words_has_its_texts_too(text: str, tmp_path: Path) -> None:
    corpus = corpus_of(text, tmp_path)
    weights = random_weights(1)
    symbols = len(corpus.vocabulary)
    weights["embedding"] = weights["embedding"][:symbols]
    weights["output_kernel"] = weights["output_kernel"][:, :symbols]
    weights["output_bias"] = weights["output_bias"][:symbols]
    found = shaded_samples(Network(step_model(weights, quantised=True), symbols), corpus, seed=0)
    assert all(surprise.given and surprise.text and math.isfinite(surprise.mean) for _, surprise in found)
    assert curve_png(TrainingState(HISTORY, 1), found, hard_wrapped=False).startswith(b"\x89PNG")


def test_pretraining_is_part_of_the_curve() -> None:
    state, texts = TrainingState(HISTORY, 3), [("0.7", Surprisal("Thus.", (1.0,) * 5))]
    with_it = curve_png(state, texts, HISTORY[:2], hard_wrapped=True)
    assert with_it != curve_png(state, texts, hard_wrapped=True)


@pytest.mark.parametrize(("epochs", "before", "kept"), [(1, 0, 1), (6, 0, 6), (9, 0, 9), (36, 30, 6), (40, 1, 1)])
def test_every_label_is_inside_of_the_picture_and_the_kept_epoch_has_its_number(
    epochs: int, before: int, kept: int
) -> None:
    rows = [structs.replace(HISTORY[0], epoch=e, valid_bits_per_character=1 + 1 / e) for e in range(1, epochs + 1)]
    figure = report._figure(rows, before, kept)
    figure.draw_without_rendering()
    [axes] = figure.axes
    assert before + kept in [round(tick) for tick in axes.get_xticks()]
    for label in axes.texts:  # the names of the parts and the figure of the kept epoch
        left, right = (axes.bbox.x0, axes.bbox.x1)
        box = label.get_window_extent()
        assert left < box.x0 < box.x1 < right, label.get_text()
    assert 0 < axes.title.get_window_extent().x0 < axes.title.get_window_extent().x1 < figure.bbox.x1


def test_accuracy_stands_in_the_history_where_it_is_known() -> None:
    assert history_csv(HISTORY).decode().splitlines()[0] == (
        "epoch,train_bits_per_character,valid_bits_per_character,learning_rate,seconds"
    )
    with_accuracy = [structs.replace(row, train_accuracy=0.5) for row in HISTORY]
    lines = history_csv(with_accuracy).decode().splitlines()
    assert lines[0].split(",")[2] == "train_accuracy"
    assert lines[1].split(",")[2] == "0.5"
    assert len(lines) == len(HISTORY) + 1

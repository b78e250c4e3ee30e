"""Trained weights are averaged with earlier ones where that is better on validation, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_training import run

from generator.serving.scoring import bits_per_character
from generator.training.architectures import step_model
from generator.training.checkpoint import Epoch, TrainingState
from generator.training.corpus import Corpus, read_corpus
from generator.training.model import from_bytes
from generator.training.onnx_export import FloatWeights
from generator.training.publish import average
from generator.weights.manifest import FLOAT_WEIGHTS, MODEL
from generator.weights.session import Network
from generator.weights.versions import load_weights


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    path = tmp_path_factory.mktemp("corpus") / "cats.txt"
    path.write_text("The cat sat on the mat, and the dog sat on the log.\n\nWho sat on the cat? A hat.\n\n" * 100)
    return read_corpus(path)


@pytest.fixture(scope="module")
def trained(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> FloatWeights:
    """Weights that know the corpus."""
    folder = tmp_path_factory.mktemp("weights")
    text = folder / "cats.txt"
    text.write_text(corpus.text)
    assert run(text, folder, "--epochs", "3", "--name", "cats") == 0
    return from_bytes((folder / "cats" / FLOAT_WEIGHTS).read_bytes(), (folder / "cats" / MODEL).read_bytes())


def noise(weights: FloatWeights, seed: int, size: float = 0.3) -> FloatWeights:
    random = np.random.default_rng(seed)
    return {name: random.normal(0.0, size, array.shape).astype(np.float32) for name, array in weights.items()}


def trained_to(weights: FloatWeights, corpus: Corpus) -> TrainingState:
    """A run whose only epoch has ended with these weights."""
    served = Network(step_model(weights, quantised=True), len(corpus.vocabulary))
    validated = bits_per_character(served, corpus.splits[1])
    return TrainingState([Epoch(1, validated, None, validated, 0.0, 0.0)], 1, weights)


def test_the_mean_of_two_that_err_in_opposite_directions_is_taken(trained: FloatWeights, corpus: Corpus) -> None:
    away = noise(trained, 1)
    state = trained_to({name: array + away[name] for name, array in trained.items()}, corpus)
    opposite = {name: array - away[name] for name, array in trained.items()}
    strange = noise(trained, 2, 3.0)
    average(state, "training", {"strange": strange, "opposite": opposite}, corpus)
    assert state.averaged == ("training", "opposite")
    for name, array in trained.items():
        np.testing.assert_allclose(state.best[name], array, atol=1e-5)


def test_what_an_earlier_network_does_not_know_stays_as_it_was_trained(trained: FloatWeights, corpus: Corpus) -> None:
    away = noise(trained, 1)
    state = trained_to({name: array + away[name] for name, array in trained.items()}, corpus)
    before = state.best["embedding"][0].copy()
    opposite = {name: array - away[name] for name, array in trained.items()}
    opposite["embedding"][0] = np.nan
    average(state, "training", {"opposite": opposite}, corpus)
    assert state.averaged == ("training", "opposite")
    np.testing.assert_allclose(state.best["embedding"][0], before, atol=1e-6)
    assert not any(np.isnan(array).any() for array in state.best.values())


def test_the_manifest_says_with_what_a_version_was_averaged(corpus: Corpus, tmp_path: Path) -> None:
    text = tmp_path / "cats.txt"
    text.write_text(corpus.text)
    assert run(text, tmp_path, "--epochs", "1", "--name", "base") == 0
    start = "--from", str(tmp_path / "base")
    assert run(text, tmp_path, *start, "--epochs", "2", "--pretrain", str(text), "--name", "on-top") == 0
    base, on_top = (load_weights(tmp_path, name).manifest.training for name in ("base", "on-top"))
    assert base["averaged"] == base["pretraining_averaged"] == []
    for stage, members in (
        ("averaged", {"base", "pretraining", "training"}),
        ("pretraining_averaged", {"base", "pretraining"}),
    ):
        assert set(on_top[stage]) <= members
        assert len(on_top[stage]) != 1

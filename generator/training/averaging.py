"""The average of trained weights and of those that they started from, which is often better than either."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final

import numpy as np

from generator.serving.scoring import bits_per_character
from generator.training.architectures import step_model
from generator.training.architectures.ngrams import CONSTANTS
from generator.training.checkpoint import TrainingState
from generator.training.corpus import Corpus
from generator.training.onnx_export import FloatWeights
from generator.weights.session import Network

TRAINED: Final = "training"
"""The name of the weights of the best epoch, beside those of earlier ones."""


def average(state: TrainingState, earlier: Mapping[str, FloatWeights], corpus: Corpus) -> None:
    """Replaces the best weights by the mean of several, of these and of earlier ones by name, if that is better.

    Every combination is validated, in the served form: a model soup (https://arxiv.org/abs/2203.05482). Raises
    `WeightsError`.
    """
    trained = state.best
    weights = {TRAINED: trained, **earlier}
    combinations = (names for size in range(2, len(weights) + 1) for names in itertools.combinations(weights, size))
    least = _validated(trained, corpus)
    for names in combinations:
        mean = _mean([weights[name] for name in names], trained)
        if (bits := _validated(mean, corpus)) < least:
            state.best, state.averaged, least = mean, names, bits


def _mean(members: list[FloatWeights], trained: FloatWeights) -> FloatWeights:
    """Returns the mean of weights. Where one has NaN, for a character that it does not know, the trained one counts."""
    found = dict(trained)
    for name in trained.keys() - CONSTANTS:
        arrays = [np.where(np.isnan(each[name]), trained[name], each[name]) for each in members]
        found[name] = np.mean(arrays, axis=0, dtype=np.float32)
    return found


def _validated(weights: FloatWeights, corpus: Corpus) -> float:
    return bits_per_character(Network(step_model(weights, quantised=True), len(corpus.vocabulary)), corpus.splits[1])

"""Logits -> the next character."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from generator.sampling_params import SETTINGS, UNMODIFIED, SamplingParams
from generator.vocabulary import Indices

Column = NDArray[np.float64]
"""One number per row, `[rows, 1]`."""

NO_CHARACTER: Final = -1
"""Drawn for a row that is no distribution: a logit is NaN or +inf, or none is above -inf."""


def word_temperature(temperature: float) -> float:
    """Returns the temperature of a word's first character: which word comes. 0.7 is 1.13 there, 1 is 1.38, 2 is 1.98.

    With the default `min_p`, texts at 1 are then as varied as the corpus and have as many attested words
    (docs/training.md).
    """
    return 1.38 * math.pow(min(temperature, 1.0), 0.56) + 0.6 * max(temperature - 1.0, 0.0)


def letter_temperature(temperature: float) -> float:
    """Returns the temperature inside a word: how it is spelled, and where it ends. Never above 1, so that words stay
    words however freely they are chosen."""
    return 0.96 * math.sqrt(min(temperature, 1.0)) + 0.03 * max(temperature - 1.0, 0.0)


def column(numbers: Sequence[float]) -> Column:
    """Returns one number per row as an array `[rows, 1]`."""
    return np.array(numbers, np.float64, ndmin=2).T


def cuts(params: Sequence[SamplingParams]) -> dict[str, Column]:
    """Collects the settings of a batch's rows that leave characters out, without those that no row uses; they are
    keyword arguments of `draw`."""
    columns = {name: [getattr(row, name) for row in params] for name in SETTINGS if name != "temperature"}
    return {
        name: column(values)
        for name, values in columns.items()
        if any(value != getattr(UNMODIFIED, name) for value in values)
    }


def draw(
    logits: NDArray[np.floating],
    temperature: Column,
    uniform: Column,
    *,
    top_p: Column | None = None,
    min_p: Column | None = None,
    top_k: Column | None = None,
    stops: Sequence[int] = (),
) -> Indices:
    """Draws one character per row, int64 `[rows]`, by inverting the cumulative distribution at `uniform`.

    `logits` `[rows, vocabulary]`; −inf forbids a character. `temperature` > 0; towards 0 this becomes the arg-max.
    `uniform` in [0, 1). `top_p`, `min_p` and `top_k` as in `SamplingParams`, None where no row uses them. A row's
    result depends on that row alone, bit for bit. A row that is no distribution makes NumPy warn, unless the caller
    sets `numpy.errstate`: it costs as much as the rest, after each step of a network.

    The full stops `stops` keep the odds against the most probable character that they have at temperature 1. A
    temperature below 1 makes every improbable character rarer, and at most places a full stop is improbable: at 0.7
    sentences were 60 % longer than those of the corpus.
    """
    # In float64 and from the maximum down: no temperature above 0 overflows, and ties stay exact.
    # Called once per character, so ufuncs' own methods stand here: NumPy's functions around them cost as much again.
    x = np.subtract(logits, np.maximum.reduce(logits, axis=1, keepdims=True), dtype=np.float64)
    for stop in stops:
        x[:, stop : stop + 1] *= temperature
    x /= temperature
    weights = np.exp(x, out=x)
    if min_p is not None:
        weights[weights < min_p] = 0.0  # the most probable one has 1
    if top_p is not None or top_k is not None:
        _keep_most_probable(weights, top_p, top_k)
    cumulative = np.add.accumulate(weights, axis=1)
    total = cumulative[:, -1:]
    # uniform is at most 1 − 2^−53, so its product with the total is rounded to less than the total: there always is a
    # first character above it.
    chosen: Indices = (cumulative > uniform * total).argmax(axis=1)
    if not math.isfinite(np.add.reduce(total, axis=None)):
        chosen[~np.isfinite(total[:, 0])] = NO_CHARACTER
    return chosen


def _keep_most_probable(weights: NDArray[np.float64], top_p: Column | None, top_k: Column | None) -> None:
    """Sets to zero, in place, what `top_k` and then `top_p` leave out. Among equals the first stay."""
    order = np.argsort(-weights, axis=1, kind="stable")
    ranked = np.take_along_axis(weights, order, axis=1)
    if top_k is not None:
        most = np.where(top_k == UNMODIFIED.top_k, np.inf, top_k)
        ranked[np.arange(ranked.shape[1]) >= most] *= 0.0  # NaN stays NaN
    if top_p is not None:
        reached = np.add.accumulate(ranked, axis=1)
        share = np.where(top_p == UNMODIFIED.top_p, np.inf, top_p * reached[:, -1:])
        # A character stays while those before it have not reached the share; so the first always stays.
        ranked[:, 1:][reached[:, :-1] >= share] = 0.0
    np.put_along_axis(weights, order, ranked, axis=1)

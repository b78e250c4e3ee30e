"""Logits -> the next character."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from generator.vocabulary import Indices

Rows = NDArray[np.float64]
"""One number per row, `[rows]`."""

NO_CHARACTER: Final = -1
"""Drawn for a row that is no distribution: a logit is NaN or +inf, or none is above -inf."""


def draw(
    logits: NDArray[np.floating],
    temperature: Rows,
    uniform: Rows,
    top_p: Rows | None = None,
    min_p: Rows | None = None,
) -> Indices:
    """Draws one character per row, int64 `[rows]`, by inverting the cumulative distribution at `uniform`.

    `logits` `[rows, vocabulary]`; −inf forbids a character. `temperature` > 0; towards 0 this becomes the arg-max.
    `uniform` in [0, 1). `top_p` and `min_p` as in `SamplingParams`, None where no row uses them. A row's result
    depends on that row alone, bit for bit.
    """
    # In float64 and from the maximum down: no temperature above 0 overflows, and ties stay exact.
    # Called once per character, so ufuncs' own methods stand here: NumPy's functions around them cost as much again.
    x = logits.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        x -= np.maximum.reduce(x, axis=1, keepdims=True)
        x /= temperature[:, None]
        weights = np.exp(x, out=x)
        if min_p is not None:
            weights[weights < min_p[:, None]] = 0.0  # the most probable character weighs 1
        if top_p is not None:
            _keep_top_p(weights, top_p)
        cumulative = np.add.accumulate(weights, axis=1)
        total = cumulative[:, -1]
        # uniform is at most 1 − 2^−53, so its product with the total is rounded to less than the total: there always
        # is a first character above it.
        chosen: Indices = (cumulative > (uniform * total)[:, None]).argmax(axis=1)
    if not math.isfinite(np.add.reduce(total)):
        chosen[~np.isfinite(total)] = NO_CHARACTER
    return chosen


def _keep_top_p(weights: NDArray[np.float64], top_p: Rows) -> None:
    """Sets to zero, in place, all but the most probable characters that together reach `top_p` of the weight."""
    for row in np.flatnonzero(top_p < 1.0):
        order = np.argsort(-weights[row], kind="stable")
        before = np.cumsum(weights[row, order])
        # A character stays while those before it have not reached the share; so the first always stays.
        reached = np.searchsorted(before, top_p[row] * before[-1], side="left")
        weights[row, order[reached + 1 :]] = 0.0

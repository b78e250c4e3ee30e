"""The pictures of replies: a text shaded by surprisal, and the training curve of the weights."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from bot.core import messages
from bot.core.reply import Picture
from generator import Surprisal, Weights, WeightsError

CURVE: Final = "curve.png"
_HEATMAP: Final = "surprise.png"
log = logging.getLogger(__name__)


async def heatmap(surprisal: Surprisal, *, hard_wrapped: bool) -> Picture:
    """Returns the picture of a text."""
    content = await asyncio.to_thread(_draw, surprisal, hard_wrapped=hard_wrapped)
    return Picture(content, _HEATMAP, messages.shading(surprisal))


async def curve(weights: Weights) -> Picture | None:
    """Returns the training curve beside the weights; `None` where there is none, or it cannot be read."""
    try:
        content = await asyncio.to_thread(weights.beside, CURVE)
    except WeightsError as error:
        log.warning("curve.unreadable reason=%s", error)
        return None
    if content is None:
        return None
    return Picture(content, CURVE, messages.curve(weights.manifest), weights.folder / CURVE)


def _draw(surprisal: Surprisal, *, hard_wrapped: bool) -> bytes:
    from generator.scoring import heatmap  # noqa: PLC0415 - Pillow, for this alone: 4 MB that most processes never need

    return heatmap.png(heatmap.draw([("", surprisal)], hard_wrapped=hard_wrapped))

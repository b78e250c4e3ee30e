"""The recipes: a network and how it is trained, each as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

TRAINING_SHARE: Final = 0.90


@dataclass(frozen=True, slots=True)
class Preset:
    """One recipe. Rates are fractions, `learning_rate` is Adam's, `clip_norm` the largest gradient norm (0: none).

    `order` says how the text is fed: `shuffled` sequences, or `contiguous` streams whose state is carried over.
    `warmup` is the fraction of all steps over which the learning rate rises; it then falls along a cosine to a
    hundredth. Without a warm-up the rate is constant.
    """

    name: str
    description: str
    embedding: int
    units: int
    batch: int
    steps: int
    epochs: int
    learning_rate: float
    order: Literal["shuffled", "contiguous"]
    keep: Literal["last", "best"]
    warmup: float = 0.0
    clip_norm: float = 0.0
    embedding_dropout: float = 0.0
    dropconnect: float = 0.0
    output_dropout: float = 0.0

    def fitted(self, characters: int, epochs: int) -> Preset:
        """This recipe for a text of so many characters: a short one in fewer rows, so that an epoch has eight steps."""
        rows = int(characters * TRAINING_SHARE) // (self.steps + 1) // 8
        return replace(self, batch=max(1, min(self.batch, rows)), epochs=epochs)


PRESETS: Final = {
    preset.name: preset
    for preset in (
        Preset(
            name="lstm",
            description="the classic stateful LSTM, as the old examples train it: shuffled sequences, constant rate",
            embedding=256,
            units=1024,
            batch=64,
            steps=100,
            epochs=20,
            learning_rate=1e-3,
            order="shuffled",
            keep="last",
        ),
        Preset(
            name="lstm-tbptt",
            description="the same network, trained as a stateful one has to be: contiguous streams, regularised",
            embedding=256,
            units=1024,
            batch=64,
            steps=100,
            epochs=24,
            learning_rate=3e-3,
            order="contiguous",
            keep="best",
            warmup=0.05,
            clip_norm=1.0,
            embedding_dropout=0.2,
            dropconnect=0.3,
            output_dropout=0.4,
        ),
        Preset(
            name="small",
            description="a quick one of 128 units, to see that everything works; its texts are poor",
            embedding=32,
            units=128,
            batch=32,
            steps=50,
            epochs=10,
            learning_rate=1e-2,
            order="contiguous",
            keep="best",
            warmup=0.05,
            clip_norm=1.0,
            dropconnect=0.1,
        ),
    )
}
DEFAULT: Final = "lstm-tbptt"
SHUFFLE_BUFFER: Final = 10_000
"""Sequences held back to be drawn from at random, as in the classic recipe's `Dataset.shuffle(10000)`."""

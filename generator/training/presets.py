"""The recipes: a network and how it is trained, each as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

TRAINING_SHARE: Final = 0.90
Order = Literal["shuffled", "contiguous"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a text is read. Dropouts are fractions, `clip_norm` is the largest gradient norm (0: none).

    `order` says how the text is fed: `shuffled` sequences, or `contiguous` streams whose state is carried over.
    `warmup` is the fraction of all steps over which the learning rate rises; it then falls along a cosine to a
    hundredth. Without a warm-up the rate is constant. `weight_decay` is AdamW's (0: plain Adam). `average` is the
    momentum of a running average of the weights, which is what is validated and kept (0: the last weights are).
    """

    epochs: int
    learning_rate: float
    order: Order = "contiguous"
    keep: Literal["last", "best"] = "best"
    warmup: float = 0.0
    clip_norm: float = 0.0
    weight_decay: float = 0.0
    average: float = 0.0
    embedding_dropout: float = 0.0
    hidden_dropout: float = 0.0
    dropconnect: float = 0.0
    output_dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class Preset:
    """One recipe: the network's sizes, and how the corpus, and before it the texts of `--pretrain`, are read."""

    name: str
    description: str
    embedding: int
    units: int
    layers: int
    batch: int
    steps: int
    reading: Reading
    pretraining: Reading

    def fitted(self, characters: int) -> Preset:
        """This recipe for a text of so many characters: a short one in fewer rows, so that an epoch has eight steps."""
        rows = int(characters * TRAINING_SHARE) // (self.steps + 1) // 8
        return replace(self, batch=max(1, min(self.batch, rows)))


# More English is read than these networks can learn by heart: nothing is dropped out, and the last weights are kept.
_PRETRAINING: Final = Reading(
    epochs=3,
    learning_rate=3e-3,
    keep="last",
    warmup=0.02,
    clip_norm=1.0,
    weight_decay=0.01,
    average=0.99,
)

PRESETS: Final = {
    preset.name: preset
    for preset in (
        Preset(
            name="best",
            description="two layers, made to be pretrained on other books; what ships",
            embedding=128,
            units=640,
            layers=2,
            batch=64,
            steps=100,
            reading=Reading(
                epochs=12,
                learning_rate=1.5e-3,
                warmup=0.05,
                clip_norm=1.0,
                weight_decay=0.02,
                average=0.98,
                embedding_dropout=0.1,
                hidden_dropout=0.3,
                dropconnect=0.2,
                output_dropout=0.3,
            ),
            pretraining=_PRETRAINING,
        ),
        Preset(
            name="lstm",
            description="the classic stateful LSTM, as the old examples train it: shuffled sequences, constant rate",
            embedding=256,
            units=1024,
            layers=1,
            batch=64,
            steps=100,
            reading=Reading(epochs=20, learning_rate=1e-3, order="shuffled", keep="last"),
            pretraining=_PRETRAINING,
        ),
        Preset(
            name="lstm-tbptt",
            description="the same network, trained as a stateful one has to be: contiguous streams, regularised",
            embedding=256,
            units=1024,
            layers=1,
            batch=64,
            steps=100,
            reading=Reading(
                epochs=24,
                learning_rate=3e-3,
                warmup=0.05,
                clip_norm=1.0,
                embedding_dropout=0.2,
                dropconnect=0.3,
                output_dropout=0.4,
            ),
            pretraining=_PRETRAINING,
        ),
        Preset(
            name="small",
            description="a quick one of 128 units, to see that everything works; its texts are poor",
            embedding=32,
            units=128,
            layers=1,
            batch=32,
            steps=50,
            reading=Reading(epochs=10, learning_rate=1e-2, warmup=0.05, clip_norm=1.0, dropconnect=0.1),
            pretraining=_PRETRAINING,
        ),
    )
}
DEFAULT: Final = "best"
SHUFFLE_BUFFER: Final = 10_000
"""Sequences held back to be drawn from at random, as in the classic recipe's `Dataset.shuffle(10000)`."""

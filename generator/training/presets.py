"""The recipes: a network and how it is trained, each as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

Order = Literal["shuffled", "contiguous", "windows"]
_LEAST_STEPS: Final = 40
_USUAL_STEPS: Final = 84
"""In an epoch of nietzsche.txt, read in 64 rows by 100 characters."""
SHUFFLE_BUFFER: Final = 10_000
"""Sequences held back to be drawn from at random, as in the classic recipe's `Dataset.shuffle(10000)`."""
WINDOW_LENGTH: Final = 40
WINDOW_STRIDE: Final = 3
"""Characters in a window, and from one window's beginning to the next one's, as in the older Keras examples."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a text is read. Dropouts are fractions, `clip_norm` is the largest gradient norm (0: none).

    `order` says how the text is fed: `shuffled` sequences, `contiguous` streams, or overlapping `windows` in any
    order, of which only the character after the last one is foretold. `carry_state`: a row of a batch goes on from
    the state that the row before it left; else from zero.
    `warmup` is the fraction of all steps over which the learning rate rises; it then falls along a cosine to a
    hundredth. Without a warm-up the rate is constant. `patience` is the number of epochs without a better validation
    after which training stops (0: never); the number of epochs is then fitted to the text's length. `weight_decay` is
    AdamW's (0: the plain `optimizer`). `average` is the momentum of a running average of the weights, which is what is
    validated and kept (0: the last weights are).
    """

    epochs: int
    learning_rate: float
    order: Order = "contiguous"
    keep: Literal["last", "best"] = "best"
    patience: int = 0
    warmup: float = 0.0
    clip_norm: float = 0.0
    weight_decay: float = 0.0
    average: float = 0.0
    embedding_dropout: float = 0.0
    hidden_dropout: float = 0.0
    dropconnect: float = 0.0
    output_dropout: float = 0.0
    optimizer: Literal["adam", "rmsprop"] = "adam"
    carry_state: bool = True

    def epochs_for(self, steps_per_epoch: int) -> int:
        """Times that a text is read: with `patience`, as many steps in all as nietzsche.txt takes, within bounds."""
        if not self.patience:
            return self.epochs
        fitted = round(self.epochs * _USUAL_STEPS / max(1, steps_per_epoch))
        return max(1, self.epochs // 3, min(fitted, self.epochs * 2))


@dataclass(frozen=True, slots=True)
class Preset:
    """One recipe: the network's sizes, and how the texts are read.

    `reading` is for a new network; `pretraining` for the texts of `--pretrain`; `tuning` for the corpus when the
    network can spell already, because it read those or starts from a version.

    `architecture` is one of `architectures.ARCHITECTURES`; `dense` are the widths of what `window` has between its
    recurrent layer and its output. `lowercase`: it learns the text lower-cased. `accuracy`: training tells the
    fraction of characters that were foretold, too. After every epoch it writes `sample_length` characters at each of
    the `temperatures`.
    """

    name: str
    description: str
    embedding: int
    units: int
    layers: int
    batch: int
    steps: int
    reading: Reading
    pretraining: Reading
    tuning: Reading
    architecture: str = "lstm"
    dense: tuple[int, ...] = ()
    lowercase: bool = False
    accuracy: bool = False
    temperatures: tuple[float, ...] = (0.2, 0.5, 1.0, 1.2)
    sample_length: int = 240

    def fitted(self, characters: int) -> Preset:
        """This recipe for reading so many characters: few in fewer rows, so that an epoch has forty steps."""
        apart = WINDOW_STRIDE if self.reading.order == "windows" else self.steps + 1
        rows = characters // apart // _LEAST_STEPS
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
_TUNING: Final = Reading(
    epochs=8,
    learning_rate=7e-4,
    patience=3,
    warmup=0.05,
    clip_norm=1.0,
    weight_decay=0.02,
    average=0.98,
    embedding_dropout=0.05,
    hidden_dropout=0.15,
    dropconnect=0.15,
    output_dropout=0.2,
)

_WINDOWS: Final = Reading(
    epochs=64,
    learning_rate=1e-3,
    order="windows",
    keep="last",
    hidden_dropout=0.2,
    output_dropout=0.3,
    optimizer="rmsprop",
    carry_state=False,
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
                epochs=24,
                learning_rate=3e-3,
                patience=4,
                warmup=0.05,
                clip_norm=1.0,
                weight_decay=0.02,
                average=0.98,
                embedding_dropout=0.2,
                hidden_dropout=0.4,
                dropconnect=0.3,
                output_dropout=0.4,
            ),
            pretraining=_PRETRAINING,
            tuning=_TUNING,
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
            tuning=_TUNING,
            temperatures=(0.5, 0.6, 0.7, 0.8, 0.9),
            sample_length=1000,
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
            tuning=_TUNING,
        ),
        Preset(
            name="gru",
            description="TensorFlow's text generation tutorial: one GRU layer, shuffled sequences, constant rate",
            architecture="gru",
            embedding=256,
            units=1024,
            layers=1,
            batch=64,
            steps=100,
            reading=Reading(epochs=10, learning_rate=1e-3, order="shuffled", keep="last", carry_state=False),
            pretraining=_PRETRAINING,
            tuning=_TUNING,
        ),
        Preset(
            name="window",
            description="the older Keras examples: lower-cased, windows of 40 characters, one small LSTM layer",
            architecture="window",
            embedding=0,
            units=128,
            layers=1,
            dense=(24, 32),
            batch=96,
            steps=WINDOW_LENGTH,
            reading=_WINDOWS,
            pretraining=replace(_WINDOWS, epochs=3, learning_rate=1e-3, hidden_dropout=0.0, output_dropout=0.0),
            tuning=replace(_WINDOWS, epochs=12, learning_rate=1e-3, keep="best"),
            lowercase=True,
            accuracy=True,
            sample_length=400,
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
            tuning=_TUNING,
        ),
    )
}
DEFAULT: Final = "best"

"""The recipes: a network and how it is trained, each as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from generator.training import TrainingError

Order = Literal["shuffled", "contiguous", "windows", "once"]
Count = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(ge=0.0)]
Fraction = Annotated[float, Meta(ge=0.0, lt=1.0)]
_LEAST_STEPS: Final = 40
_USUAL_STEPS: Final = 84
"""In an epoch of nietzsche.txt, read in 64 rows by 100 characters."""
WINDOW_LENGTH: Final = 40
WINDOW_STRIDE: Final = 3
"""Characters in a window, and between the starts of two windows, as in the older Keras examples."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How a text is read. Dropouts are fractions, `clip_norm` is the largest gradient norm (0: no clipping).

    `order`: `shuffled` sequences, `contiguous` streams, or overlapping `windows` in random order, of which only the
    character after the last one is predicted. With `once`, each epoch reads the next part of the text, so that all
    epochs together read it one time, from its beginning to its end. `carry_state`: each row of a batch continues from
    the state of the same row in the batch before, for `loop.CARRIED` characters; else from zero. `warmup` is the
    fraction of all steps over which the learning rate rises; it then falls along a cosine to a hundredth. Without
    warm-up the rate is constant.
    `patience`: epochs without a better validation after which training stops (0: never); the number of epochs is then
    fitted to the length of the text. `weight_decay` is as in AdamW (0: none). `average` is the momentum
    of a running average of the weights, which is what is validated and kept (0: no average). With `muon`, Adam updates
    all weights but the matrices of the recurrent layers. `ngram_dropout` is the fraction of n-grams that are not looked
    up; their embeddings are trained by Adagrad at `ngram_rate` times the learning rate.
    """

    epochs: Count
    learning_rate: Rate
    order: Order = "contiguous"
    keep: Literal["last", "best"] = "best"
    patience: Annotated[int, Meta(ge=0)] = 0
    warmup: Fraction = 0.0
    clip_norm: Rate = 0.0
    weight_decay: Rate = 0.0
    average: Fraction = 0.0
    embedding_dropout: Fraction = 0.0
    hidden_dropout: Fraction = 0.0
    dropconnect: Fraction = 0.0
    output_dropout: Fraction = 0.0
    optimizer: Literal["adam", "muon", "rmsprop"] = "adam"
    carry_state: bool = True
    ngram_dropout: Fraction = 0.0
    ngram_rate: Rate = 10.0

    def epochs_for(self, steps_per_epoch: int) -> int:
        """Returns how often to read a text: with `patience`, for about as many steps as nietzsche.txt."""
        if not self.patience:
            return self.epochs
        fitted = round(self.epochs * _USUAL_STEPS / steps_per_epoch)
        return max(1, self.epochs // 3, min(fitted, self.epochs * 2))


_REGULARISED: Final = TrainingConfig(
    epochs=24,
    learning_rate=3e-3,
    warmup=0.05,
    clip_norm=1.0,
    embedding_dropout=0.2,
    dropconnect=0.3,
    output_dropout=0.4,
)
_LONG: Final = replace(_REGULARISED, patience=4, weight_decay=0.02, average=0.98)
# These networks cannot memorise so much English: no dropout, and the last weights are kept.
_PRETRAINING: Final = TrainingConfig(
    epochs=3,
    learning_rate=3e-3,
    keep="last",
    warmup=0.02,
    clip_norm=1.0,
    weight_decay=0.01,
    average=0.99,
)
_TUNING: Final = TrainingConfig(
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
_WINDOWS: Final = TrainingConfig(
    epochs=64,
    learning_rate=1e-3,
    order="windows",
    keep="last",
    hidden_dropout=0.2,
    output_dropout=0.3,
    optimizer="rmsprop",
    carry_state=False,
)


@dataclass(frozen=True, slots=True)
class Preset:
    """One recipe: the sizes of the network, and how it is trained.

    `training` is for a new network; `pretraining` for the texts of `--pretrain`; `fine_tuning` for the corpus when the
    network has read those, or starts from a version. `architecture` is one of `architectures.ARCHITECTURES`; `dense`
    are the widths of the layers that `window` has between its recurrent layer and its output. `ngram_bits`
    are the n-grams that `ngram` looks up, and the bits of their hashes; `ngram_width` is the width of their embeddings.
    `lowercase`: the text is lower-cased. `accuracy`: training also reports the fraction of characters that were
    predicted. After every epoch it writes `sample_length` characters at each of the `temperatures`.
    """

    description: str
    embedding: Annotated[int, Meta(ge=0)]
    units: Count
    training: TrainingConfig
    pretraining: TrainingConfig = _PRETRAINING
    fine_tuning: TrainingConfig = _TUNING
    architecture: str = "lstm"
    layers: Count = 1
    batch: Count = 64
    steps: Count = 100
    dense: tuple[Count, ...] = ()
    ngram_bits: tuple[tuple[str, Count], ...] = ()
    ngram_width: Annotated[int, Meta(ge=0)] = 0
    lowercase: bool = False
    accuracy: bool = False
    temperatures: tuple[float, ...] = (0.2, 0.5, 1.0, 1.2)
    sample_length: Count = 240

    @property
    def network(self) -> str:
        """What the network is made of. Two presets of which this is the same have weights of the same shapes."""
        if self.architecture == "window":
            dense = ", ".join(f"dense {width}" for width in self.dense)
            case = "lower-cased text, " if self.lowercase else ""
            return f"{case}windows of {self.steps} one-hot characters, LSTM {self.units}, {dense}"
        cell = "GRU" if self.architecture == "gru" else "LSTM"
        layers = f"embedding {self.embedding}, {self.layers} × {cell} {self.units}"
        if self.architecture != "ngram":
            return layers
        features = ", ".join(name for name, _ in self.ngram_bits)
        rows = sum(1 << bits for _, bits in self.ngram_bits)
        return f"{layers}, n-gram embeddings ({features}): {rows:,} × {self.ngram_width}"

    def fitted(self, characters: int) -> Preset:
        """Returns this recipe for a text of so many characters: a short one in fewer rows, for forty steps an epoch."""
        apart = WINDOW_STRIDE if self.training.order == "windows" else self.steps + 1
        rows = characters // apart // _LEAST_STEPS
        return replace(self, batch=max(1, min(self.batch, rows)))

    def multiply_adds(self, symbols: int) -> int:
        """Returns about how many multiply-adds one character costs in training, forwards."""
        inputs = (self.embedding or symbols) + self.ngram_width + self.units + (self.layers - 1) * 2 * self.units
        recurrent = (3 if self.architecture == "gru" else 4) * self.units * inputs
        return recurrent * (self.steps // WINDOW_STRIDE if self.architecture == "window" else 1) + self.units * symbols

    def overridden(self, settings: Mapping[str, str]) -> Preset:
        """Returns this recipe with hyperparameters replaced: `units`, `pretraining.epochs`, or `learning_rate` in all.

        Raises `TrainingError`.
        """
        values: dict[str, Any] = msgspec.to_builtins(self)
        for name, value in settings.items():
            stage, _, key = name.rpartition(".")
            targets = [values[each] for each in _STAGES if stage in {"", each}]
            if key in SIZES and not stage:
                targets = [values]
            if not targets or key not in targets[0]:
                known = ", ".join([*SIZES, *values["training"]])
                raise TrainingError(f"--set {name}: no such hyperparameter; there are {known}")
            for target in targets:
                target[key] = value.split(",") if isinstance(target[key], list | tuple) else value
        try:
            return msgspec.convert(values, Preset, strict=False)
        except msgspec.ValidationError as error:
            raise TrainingError(f"--set: {error}") from error


_STAGES: Final = ("training", "pretraining", "fine_tuning")
_FIXED: Final = ("description", "architecture", "temperatures", *_STAGES)
SIZES: Final = sorted(Preset.__dataclass_fields__.keys() - _FIXED)
"""The hyperparameters of a preset itself; the others are of one of its stages."""
PRESETS: Final = {
    "best": Preset(
        description="two larger layers without n-grams, pretrained on other books",
        embedding=128,
        units=640,
        layers=2,
        training=replace(_LONG, hidden_dropout=0.4),
    ),
    "ngram": Preset(
        description="two layers with n-gram embeddings, which read a library once; the one that ships",
        architecture="ngram",
        embedding=128,
        units=640,
        layers=2,
        batch=128,
        steps=64,
        ngram_bits=(("2", 14), ("3", 15), ("4", 16), ("5", 17), ("word", 16), ("words", 17)),
        ngram_width=64,
        training=replace(_LONG, hidden_dropout=0.3, ngram_dropout=0.1),
        pretraining=replace(
            _PRETRAINING, order="once", epochs=12, optimizer="muon", learning_rate=8e-3, ngram_rate=5.0
        ),
        fine_tuning=replace(_TUNING, ngram_dropout=0.1),
    ),
    "lstm": Preset(
        description="the classic stateful LSTM, as the old examples train it: shuffled sequences, constant rate",
        embedding=256,
        units=1024,
        training=TrainingConfig(epochs=20, learning_rate=1e-3, order="shuffled", keep="last"),
        temperatures=(0.5, 0.6, 0.7, 0.8, 0.9),
        sample_length=1000,
    ),
    "lstm-tbptt": Preset(
        description="the same network, trained as a stateful one: contiguous streams, regularised",
        embedding=256,
        units=1024,
        training=_REGULARISED,
    ),
    "gru": Preset(
        description="TensorFlow's text generation tutorial: one GRU layer, shuffled sequences, constant rate",
        architecture="gru",
        embedding=256,
        units=1024,
        training=TrainingConfig(epochs=10, learning_rate=1e-3, order="shuffled", keep="last", carry_state=False),
    ),
    "window": Preset(
        description="the older Keras examples: lower-cased, windows of 40 characters, one small LSTM layer",
        architecture="window",
        embedding=0,
        units=128,
        dense=(24, 32),
        batch=96,
        steps=WINDOW_LENGTH,
        training=_WINDOWS,
        pretraining=replace(_WINDOWS, epochs=3, hidden_dropout=0.0, output_dropout=0.0),
        fine_tuning=replace(_WINDOWS, epochs=12, keep="best"),
        lowercase=True,
        accuracy=True,
        sample_length=400,
    ),
    "small": Preset(
        description="a quick one of 128 units, to see that everything works; its texts are poor",
        embedding=32,
        units=128,
        batch=32,
        steps=50,
        training=TrainingConfig(epochs=10, learning_rate=1e-2, warmup=0.05, clip_norm=1.0, dropconnect=0.1),
    ),
}
DEFAULT: Final = "ngram"

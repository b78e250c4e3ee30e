"""Hashed n-gram embeddings: what the last characters, and the last words, look up in a table.

Beside the current character, a network is given the sum of a few rows of one table: those of the last 2, 3, 4 and 5
characters, of the word so far, and of the word so far with the word before it. So it does not have to spend its units
on spelling (docs/training.md has the measurements). Which rows, integers alone decide: the same in training
and in the served graph, which keeps the last characters and the two words' hashes in its state.

A character's code is made of its code point, so that a table means the same under another vocabulary. Code 0 stands
for "nothing yet", which is what a state of zeros holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from generator.training.backend import ON_TENSORFLOW, keras
from generator.training.onnx_export import FloatWeights
from generator.training.presets import Preset
from generator.vocabulary import Vocabulary

ops = keras.ops
TABLE: Final = "ngrams.table"
"""The weights that are most of such a network; the step graph holds them under this name."""
CONSTANTS: Final = frozenset({"ngrams.symbols", "ngrams.bits"})
"""What is not trained."""
CHARACTERS: Final = 5
"""Codes that the state keeps, the latest last. After them it keeps the hashes of the word so far and the one before."""
STATE: Final = CHARACTERS + 2
_CODES: Final = 2039
"""Fewer than 2048, below which float16 holds every integer."""
WORD_MODULUS: Final = 1 << 24
"""Below it float32, which the state is kept in, holds every integer."""
WORD_FACTOR: Final = 0x5BD1E9
HASH_MODULUS: Final = 1 << 32
_FACTORS: Final = (0x165667B1, 0x27D4EB2F, 0xC2B2AE3D, 0x85EBCA77, 0x9E3779B1, 0xD6E8FEB9, 0xA2B3C1D5, 0xF1357AEB)
"""Odd numbers (xxHash's primes and others), one for each number that a hash is made of: the state's, and the latest
character's code if it is no letter. Each feature turns them by its own amount."""
_WORD, _BEFORE, _OTHER = CHARACTERS, CHARACTERS + 1, CHARACTERS + 2
FEATURES: Final[Mapping[str, tuple[int, ...]]] = {
    **{str(order): tuple(range(CHARACTERS - order, CHARACTERS)) for order in range(2, CHARACTERS + 1)},
    "word": (_WORD, _OTHER),
    "words": (_WORD, _BEFORE, _OTHER),
}
"""By name: the places of the numbers that its hash is made of."""

TABLE_SCALE: Final = np.float32(1 / 128)
SUM_SCALE: Final = np.float32(1 / 48)
"""Of the served form's integers: rows as int8, their sum as uint8 with zero point 128. In the shipped network the
largest number of a row is 0.8, and one of half a million sums is above 2."""


class NGrams:
    """The features of a network, and how many bits the hash of each has: 2^bits rows of the table.

    `multipliers` `[numbers, features]`: numbers @ multipliers, modulo `HASH_MODULUS`, are the hashes. A hash divided by
    `divisors` is the row within the feature's part of the table, which has `sizes` rows and begins at `offsets`; all
    three are `[features]`.
    """

    def __init__(self, bits: Mapping[str, int]) -> None:
        self.bits = bits
        self.sizes = np.array([1 << count for count in bits.values()], np.int64)
        self.divisors = HASH_MODULUS // self.sizes
        self.offsets = np.cumsum(self.sizes) - self.sizes
        self.multipliers = np.zeros((len(_FACTORS), len(bits)), np.int64)
        for column, name in enumerate(bits):
            turn = list(FEATURES).index(name)
            for place in FEATURES[name]:
                self.multipliers[place, column] = _FACTORS[place] * (2 * turn + 1) * 0x2545F491 % HASH_MODULUS | 1

    @classmethod
    def of(cls, weights: FloatWeights) -> NGrams:
        """Returns those of a network."""
        return cls({name: int(n) for name, n in zip(FEATURES, weights["ngrams.bits"], strict=True) if n})


def symbols_of(vocabulary: Vocabulary) -> NDArray[np.float32]:
    """Returns each character's code, and the code of its lower case if it is a letter, else 0: `[vocabulary, 2]`."""

    def code(character: str) -> int:
        return 1 + ord(character) % _CODES

    pairs = [(code(c), code(c.lower()[0]) if c.isalpha() else 0) for c in vocabulary.characters]
    return np.array(pairs, np.float32)


def indices(ngrams: NGrams, pairs: Any, state: Any) -> tuple[Any, Any]:
    """Returns rows of the table for every position, int64 `[batch, steps, features]`, and the state after the last one.

    `pairs` are rows of `symbols_of`, int64 `[batch, steps, 2]`; `state` int64 `[batch, STATE]`.
    """
    states = []
    for pair in ops.unstack(pairs, axis=1):
        _, *recent, word, before = ops.unstack(state, axis=1)
        code, letter = ops.unstack(pair, axis=1)
        # The word so far is its letters as digits; a character that is no letter ends it.
        before = ops.where(ops.logical_and(letter == 0, word > 0), word, before)
        word = ops.where(letter > 0, (word * WORD_FACTOR + letter) % WORD_MODULUS, ops.zeros_like(word))
        state = ops.stack([*recent, code, word, before], axis=1)
        states.append(state)
    codes, letters = pairs[..., :1], pairs[..., 1:]
    others = ops.where(letters > 0, ops.zeros_like(codes), codes)
    numbers = ops.concatenate([ops.stack(states, axis=1), others], axis=-1)
    # Keras computes a product of integers in floating point, which is not exact.
    hashes = ops.sum(numbers[..., None] * ngrams.multipliers, axis=-2) % HASH_MODULUS
    return hashes // ngrams.divisors + ngrams.offsets, state


class NGramEmbedding(keras.layers.Layer):
    """Characters int32 `[batch, steps]` -> the sums of their n-grams' rows, float32 `[batch, steps, width]`.

    The optimiser does not train the table: a dense gradient of it would cost more than the rest of the step. The
    backward pass itself updates the rows that the batch touched, by Adagrad (Duchi et al. 2011); a row that no text
    touched stays zero. `learning_rate` is set when the model is compiled. `dropout` is the fraction of looked-up rows
    that training leaves out. On other backends than TensorFlow the optimiser trains the table as any other weight.
    """

    def __init__(self, preset: Preset, dropout: float, vocabulary: Vocabulary, seed: int) -> None:
        super().__init__(dtype="float32", name="ngrams")
        self.ngrams = NGrams(dict(preset.ngram_bits))
        self.width = preset.ngram_width
        self.vocabulary = vocabulary
        self.dropout = dropout
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.learning_rate: Any = lambda: 0.0

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Makes the table, what Adagrad remembers of it, and the carried state."""
        shape = (int(self.ngrams.sizes.sum()), self.width)

        def kept(name: str, shape: tuple[int, ...], dtype: str = "float32", *, trainable: bool = False) -> Any:
            return self.add_weight(shape=shape, initializer="zeros", trainable=trainable, dtype=dtype, name=name)

        self.table = kept("table", shape, trainable=not ON_TENSORFLOW)
        self.squares = kept("squares", shape)
        self.symbols = kept("symbols", (len(self.vocabulary), 2))
        self.symbols.assign(symbols_of(self.vocabulary))
        self.bits = kept("bits", (len(FEATURES),))
        self.bits.assign([float(self.ngrams.bits.get(name, 0)) for name in FEATURES])
        self.states = [kept("state", (input_shape[0], STATE), "int64")]
        # The backward pass comes here for its gradient, which is zero.
        self.hook = kept("hook", (), trainable=True)

    def call(self, characters: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (Keras's signature)
        """Looks up, and leaves the state for the next call."""
        pairs = ops.cast(ops.take(self.symbols, characters, axis=0), "int64")
        (state,) = self.states
        found, after = indices(self.ngrams, pairs, ops.copy(state.value))
        state.assign(after)
        kept = ops.ones(found.shape, "float32")
        if training and self.dropout:
            kept = keras.random.dropout(kept, self.dropout, seed=self.seed_generator)
        return self._summed(found, kept)

    def _summed(self, found: Any, kept: Any) -> Any:
        """The sum of the rows, each times what is kept of it; its gradient updates the rows."""
        if not ON_TENSORFLOW:
            return ops.sum(ops.take(self.table, found, axis=0) * kept[..., None], axis=-2)
        import tensorflow as tf  # noqa: PLC0415 (the update of single rows is TensorFlow's)

        table, squares = self.table.value, self.squares.value

        @tf.custom_gradient
        def look_up(hook: Any) -> Any:
            rows = tf.gather(table, found) * kept[..., None]

            def gradient(upstream: Any) -> Any:
                spread = tf.reshape(upstream[..., None, :] * kept[..., None], (-1, self.width))
                touched, place = tf.unique(tf.reshape(found, (-1,)))
                summed = tf.math.unsorted_segment_sum(spread, place, tf.size(touched))
                tf.raw_ops.ResourceSparseApplyAdagradV2(
                    var=table.handle,
                    accum=squares.handle,
                    lr=tf.cast(self.learning_rate(), tf.float32),
                    epsilon=1e-10,
                    grad=summed,
                    indices=touched,
                )
                return tf.zeros_like(hook)

            return tf.reduce_sum(rows, axis=-2) + hook, gradient

        return look_up(self.hook.value)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """`[batch, steps]` -> `[batch, steps, width]`."""
        return (*input_shape, self.width)


def quantised_table(table: NDArray[np.float32]) -> NDArray[np.int8]:
    """Returns a table as it is served and stored, in steps of `TABLE_SCALE`."""
    return (table / TABLE_SCALE).round().clip(-127, 127).astype(np.int8)


def ngram_note(weights: FloatWeights) -> dict[str, Any] | None:
    """Returns what the hash functions of a network are made of; None when it looks up no n-grams.

    Its multipliers are of the latest character first.
    """
    if TABLE not in weights:
        return None
    ngrams = NGrams.of(weights)
    return {
        "bits": ngrams.bits,
        "width": weights[TABLE].shape[1],
        "multipliers": [row[:CHARACTERS][::-1] + row[CHARACTERS:] for row in ngrams.multipliers.T.tolist()],
        "hash_modulus": HASH_MODULUS,
        "word_factor": WORD_FACTOR,
        "word_modulus": WORD_MODULUS,
    }

"""N-gram embeddings: their hashes, their training, and how a version keeps them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from generator.training.architectures import bf16, ngrams
from generator.training.architectures.ngrams import NGrams
from generator.training.architectures.recurrent import StatefulRNN
from generator.training.backend import keras
from generator.training.corpus import batches
from generator.training.model import build_model, reset_states
from generator.training.presets import PRESETS, Preset, TrainingConfig
from generator.training.run import Stage
from generator.vocabulary import Vocabulary

VOCABULARY = Vocabulary.of("the cat sat on a mat, and THE dog did not.\n")
CONFIG = TrainingConfig(epochs=1, learning_rate=1e-2)
BITS = (("2", 8), ("3", 7), ("5", 6), ("word", 5), ("words", 6))
TINY = Preset("", 5, 7, CONFIG, architecture="ngram", batch=3, steps=11, ngram_bits=BITS, ngram_width=4)


def by_hand(found: NGrams, text: str) -> tuple[NDArray[np.int64], list[int]]:
    """The rows of the table after each character, and the state at the end, one character at a time."""
    pairs = dict(zip(VOCABULARY.characters, ngrams.symbols_of(VOCABULARY).astype(int).tolist(), strict=True))
    recent, word, before = [0] * ngrams.CHARACTERS, 0, 0
    rows = []
    for character in text:
        code, letter = pairs[character]
        recent = [*recent[1:], code]
        if letter:
            word, other = (word * ngrams.WORD_FACTOR + letter) % ngrams.WORD_MODULUS, 0
        else:
            word, before, other = 0, word or before, code
        inputs = [*recent, word, before, other]
        keys = [sum(x * m for x, m in zip(inputs, column, strict=True)) for column in found.multipliers.T.tolist()]
        rows.append([key % 2**32 // d + o for key, d, o in zip(keys, found.divisors, found.offsets, strict=True)])
    return np.array(rows, np.int64), [*recent, word, before]


@given(st.text(VOCABULARY.characters, min_size=1, max_size=90), st.integers(1, 30))
def test_rows_are_the_same_read_at_once_or_in_chunks_or_by_hand(text: str, chunk: int) -> None:
    found = NGrams(dict(BITS))
    expected, after = by_hand(found, text)
    assert expected.max() < found.sizes.sum()
    codes = ngrams.symbols_of(VOCABULARY).astype(np.int64)[VOCABULARY.encode(text)]
    state = keras.ops.zeros((1, ngrams.STATE), "int64")
    seen = []
    for first in range(0, len(text), chunk):
        part = keras.ops.convert_to_tensor(codes[None, first : first + chunk])
        rows, state = ngrams.indices(found, part, state)
        seen.append(keras.ops.convert_to_numpy(rows)[0])
    np.testing.assert_array_equal(np.concatenate(seen), expected)
    assert keras.ops.convert_to_numpy(state)[0].tolist() == after


def test_hashes_of_common_n_grams_seldom_collide() -> None:
    found = NGrams({"3": 15})
    text = "".join(a + b + c for a in "etaoinshrdlu" for b in "etaoinshrdlu" for c in "etaoinshrdlu")
    rows = {tuple(row) for row in by_hand_three(found, text)}
    assert len(rows) > 0.95 * len({text[i : i + 3] for i in range(0, len(text), 3)})


def by_hand_three(found: NGrams, text: str) -> list[tuple[int, ...]]:
    codes = [1 + ord(c) for c in text]
    places = []
    for i in range(0, len(text), 3):
        key = sum(codes[i + 2 - back] * int(found.multipliers[ngrams.CHARACTERS - 1 - back, 0]) for back in range(3))
        places.append((key % 2**32 // int(found.divisors[0]),))
    return places


def model(config: TrainingConfig = CONFIG) -> keras.Model:
    return build_model(TINY, config, VOCABULARY, 100, seed=0)


def test_training_changes_the_rows_of_what_it_reads_and_leaves_the_others_zero() -> None:
    text = VOCABULARY.encode("the cat sat on a mat, and the dog did not. " * 12)
    built = model()
    lookup = built.get_layer("ngrams")
    losses = [
        float(built.train_on_batch(*batch))
        for _ in range(4)
        for batch in batches(text, TINY, "contiguous", np.random.default_rng(0))
    ]
    assert losses[-1] < 0.8 * losses[0]
    table = keras.ops.convert_to_numpy(lookup.table)
    read, _ = by_hand(NGrams(dict(BITS)), VOCABULARY.decode(text))
    touched = set(np.flatnonzero(np.abs(table).sum(axis=1)).tolist())
    assert touched
    # The first characters of a row of the batch follow nothing, so a few hashes are of shorter n-grams.
    assert len(touched - set(read.ravel().tolist())) < 60
    assert len(touched) < 0.7 * len(table)
    assert float(lookup.hook) == 0.0


def test_a_row_is_trained_by_adagrad_at_its_own_rate() -> None:
    built = model(replace(CONFIG, ngram_rate=3.0))
    lookup = built.get_layer("ngrams")
    text = VOCABULARY.encode("the cat sat on a mat, and the dog did not. " * 12)
    built.train_on_batch(*next(iter(batches(text, TINY, "contiguous", np.random.default_rng(0)))))
    table = keras.ops.convert_to_numpy(lookup.table)
    # The first step of Adagrad is the learning rate, whatever the gradient.
    np.testing.assert_allclose(np.abs(table[table != 0]), 0.03, rtol=1e-3)


def test_a_text_that_is_read_once_is_read_from_beginning_to_end_and_the_earlier_one_in_tenths() -> None:
    text, earlier = np.arange(1000), np.arange(2000, 2050)
    once = Stage(text, TINY, replace(CONFIG, order="once", epochs=7), Path(), earlier[:0])
    np.testing.assert_array_equal(np.concatenate([once.text_of_epoch(e) for e in range(1, 8)]), text)
    rehearsed = Stage(text, TINY, CONFIG, Path(), earlier)
    np.testing.assert_array_equal(rehearsed.text_of_epoch(3), [*range(2010, 2015), *range(1000)])


def test_the_features_of_the_preset_are_known() -> None:
    assert {name for name, _ in PRESETS["ngram"].ngram_bits} <= ngrams.FEATURES.keys()


# ---- the layer in C --------------------------------------------------------------------------------------------------


def test_the_layer_in_c_gives_what_the_loop_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    if not bf16.available(64, 96, 128, "bfloat16"):
        pytest.skip("neither AMX nor AVX512-BF16, or no C compiler")
    tf = pytest.importorskip("tensorflow")
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        layer = StatefulRNN("lstm", 128, seed=0)
        drawn = np.random.default_rng(0)
        inputs = tf.cast(drawn.normal(size=(64, 40, 96)), tf.bfloat16)
        weight = tf.cast(drawn.normal(size=(64, 40, 128)), tf.float32)
        layer(inputs)

        def results() -> list[NDArray[np.float32]]:
            reset_states([layer])
            layer(inputs)
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                out = layer(inputs)
                loss = tf.reduce_sum(tf.cast(out, tf.float32) * weight)
            variables = [inputs, *(variable.value for variable in layer.trainable_variables)]
            found = [out, *(state.value for state in layer.states), *tape.gradient(loss, variables)]
            return [np.asarray(tf.cast(value, tf.float32)) for value in found]

        fast = results()
        monkeypatch.setattr(bf16, "available", lambda *_: False)
        for mine, loops in zip(fast, results(), strict=True):
            assert np.linalg.norm(mine - loops) < 0.02 * np.linalg.norm(loops)  # bfloat16 has 8 bits
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_a_reset_model_reads_a_text_as_a_new_one_does() -> None:
    built = model()
    text = VOCABULARY.encode("the cat sat on a mat, and the dog did not. " * 3)[None, :11].repeat(3, axis=0)
    first = keras.ops.convert_to_numpy(built(text))
    second = keras.ops.convert_to_numpy(built(text))
    reset_states(built.layers)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(built(text)), first)
    assert not np.array_equal(second, first)

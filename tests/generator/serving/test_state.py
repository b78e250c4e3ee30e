"""Saved states: what comes back, what is refused."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from generator.serving.state import ModelId, SavedState, StateMismatch
from generator.weights.session import StateRow, StateSpec

SPECS = (
    StateSpec((7,), np.dtype(np.float32)),
    StateSpec((2, 3), np.dtype(np.float16)),
    StateSpec((2,), np.dtype(np.int64)),
    StateSpec((), np.dtype(np.int32)),
)
"""Every type that a network's state may have, and every kind of shape."""


def finite(spec: StateSpec) -> st.SearchStrategy[Any]:
    options = {} if spec.dtype.kind == "i" else {"allow_nan": False, "allow_infinity": False}
    return arrays.arrays(spec.dtype, spec.shape, elements=arrays.from_dtype(spec.dtype, **options))


ROWS = st.tuples(*map(finite, SPECS))
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists)
ZERO: StateRow = tuple(np.zeros(spec.shape, spec.dtype) for spec in SPECS)
MODEL = ModelId("v-1", "ab" * 32)
SAVED = SavedState(ZERO, " ").to_bytes(MODEL)
OLD = b'{"format": 1, "version": "v-1", "pending": " "}' + SAVED[SAVED.index(b"\n") :]
"""As versions before 2.0 saved it: without the hash of the model."""


@given(rows=ROWS, version=st.text(max_size=100), pending=st.characters())
def test_what_was_saved_comes_back_bit_for_bit(rows: StateRow, version: str, pending: str) -> None:
    model = ModelId(version, "cd" * 32)
    saved = SavedState.from_bytes(SavedState(rows, pending).to_bytes(model), model, SPECS)
    assert saved.pending == pending
    for spec, before, after in zip(SPECS, rows, saved.arrays, strict=True):
        assert (after.shape, after.dtype) == (spec.shape, spec.dtype)
        assert after.tobytes() == before.tobytes()


def test_a_classic_network_s_state_is_a_few_kilobytes() -> None:
    rows = (np.ones(1024, np.float32), np.ones(1024, np.float32))
    model = ModelId("nietzsche-lstm-20250101-120000", "ab" * 32)
    assert len(SavedState(rows, " ").to_bytes(model)) < 8192 + 250


def test_a_state_that_came_back_can_be_written_to() -> None:
    saved = SavedState.from_bytes(SAVED, MODEL, SPECS)
    saved.arrays[0][0] = 1.0
    assert saved.arrays[0][0] == 1.0


def test_arrays_that_are_not_contiguous_are_saved_as_they_read() -> None:
    batch = np.arange(12, dtype=np.float32).reshape(3, 4)
    specs = (StateSpec((3,), np.dtype(np.float32)),)
    saved = SavedState.from_bytes(SavedState((batch[:, 1],), " ").to_bytes(MODEL), MODEL, specs)
    assert saved.arrays[0].tolist() == [1.0, 5.0, 9.0]


def test_a_state_of_other_weights_is_refused() -> None:
    with pytest.raises(StateMismatch):
        SavedState.from_bytes(SAVED, ModelId("v-2", "cd" * 32), SPECS)


def test_a_state_of_weights_retrained_under_the_same_name_is_refused() -> None:
    with pytest.raises(StateMismatch):
        SavedState.from_bytes(SAVED, ModelId("v-1", "cd" * 32), SPECS)


def test_a_state_of_the_same_weights_under_another_name_is_used() -> None:
    assert SavedState.from_bytes(SAVED, ModelId("v-2", MODEL.sha256), SPECS).pending == " "


def test_a_state_that_an_older_version_of_the_program_saved_is_used_with_the_version_that_it_names() -> None:
    assert SavedState.from_bytes(OLD, MODEL, SPECS).pending == " "
    with pytest.raises(StateMismatch):
        SavedState.from_bytes(OLD, ModelId("v-2", MODEL.sha256), SPECS)


def test_a_state_of_the_same_version_but_another_network_is_refused() -> None:
    with pytest.raises(StateMismatch):
        SavedState.from_bytes(SAVED, MODEL, SPECS[:1])
    with pytest.raises(StateMismatch):
        SavedState.from_bytes(SAVED, MODEL, (*SPECS, SPECS[0]))


def test_a_state_that_was_cut_off_or_has_something_more_is_refused() -> None:
    for content in (*(SAVED[:size] for size in range(len(SAVED))), SAVED + b"\0"):
        with pytest.raises(StateMismatch):
            SavedState.from_bytes(content, MODEL, SPECS)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_a_state_that_holds_no_number_is_refused(which: int, value: float) -> None:
    rows = tuple(row.copy() for row in ZERO)
    rows[which].flat[-1] = value
    with pytest.raises(StateMismatch):
        SavedState.from_bytes(SavedState(rows, " ").to_bytes(MODEL), MODEL, SPECS)


def test_a_flipped_bit_in_the_header_gives_a_state_or_a_refusal_and_nothing_else() -> None:
    header = SAVED.index(b"\n") + 1
    for bit in range(header * 8):
        content = bytearray(SAVED)
        content[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(StateMismatch):
            assert len(SavedState.from_bytes(bytes(content), MODEL, SPECS).pending) == 1


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"null",
        b"1",
        b'"format"',
        b"[]",
        b"{}",
        b"{",
        b"\xff\xfe",
        b'{"format": 1}',
        b'{"format": 1, "version": "v-1"}',
        b'{"format": 2, "version": "v-1", "pending": " "}',
        b'{"format": 1, "version": ["v-1"], "pending": " "}',
        b'{"format": 1, "version": "v-1", "pending": ""}',
        b'{"format": 1, "version": "v-1", "pending": "ab"}',
        b'{"format": 1, "version": "v-1", "pending": 32}',
        b'{"format": 1, "version": "v-1", "pending": null}',
        b'{"format": 1, "version": "v-1", "pending": [" "]}',
        b'{"format": ' + b"9" * 4000 + b"}",
        b"[" * 4000,
        b'{"format":' * 400,
        b" " * 5000 + b'{"format": 1, "version": "v-1", "pending": " "}',
    ],
    ids=lambda header: repr(header)[:40],
)
def test_a_header_that_says_nothing_sensible_is_refused(header: bytes) -> None:
    with pytest.raises(StateMismatch):
        SavedState.from_bytes(header + SAVED[SAVED.index(b"\n") :], MODEL, SPECS)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_garbage_is_refused(content: bytes) -> None:
    with pytest.raises(StateMismatch):
        SavedState.from_bytes(content, MODEL, SPECS)

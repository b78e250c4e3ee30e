"""Where a text stopped, kept as bytes."""

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

from generator.serving.state import KeptState, StateMismatch
from generator.weights.session import Rows, StateSpec

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
ZERO: Rows = tuple(np.zeros(spec.shape, spec.dtype) for spec in SPECS)
KEPT = KeptState("v-1", ZERO, " ").to_bytes()


@given(rows=ROWS, version=st.text(max_size=100), pending=st.characters())
def test_what_was_kept_comes_back_bit_for_bit(rows: Rows, version: str, pending: str) -> None:
    kept = KeptState.from_bytes(KeptState(version, rows, pending).to_bytes(), version, SPECS)
    assert (kept.version, kept.pending) == (version, pending)
    for spec, before, after in zip(SPECS, rows, kept.rows, strict=True):
        assert (after.shape, after.dtype) == (spec.shape, spec.dtype)
        assert after.tobytes() == before.tobytes()


def test_a_classic_network_s_state_is_a_few_kilobytes() -> None:
    rows = (np.ones(1024, np.float32), np.ones(1024, np.float32))
    assert len(KeptState("nietzsche-lstm-20250101-120000", rows, " ").to_bytes()) < 8192 + 200


def test_a_state_that_came_back_can_be_written_to() -> None:
    kept = KeptState.from_bytes(KEPT, "v-1", SPECS)
    kept.rows[0][0] = 1.0
    assert kept.rows[0][0] == 1.0


def test_rows_that_are_not_contiguous_are_kept_as_they_read() -> None:
    batch = np.arange(12, dtype=np.float32).reshape(3, 4)
    specs = (StateSpec((3,), np.dtype(np.float32)),)
    kept = KeptState.from_bytes(KeptState("v", (batch[:, 1],), " ").to_bytes(), "v", specs)
    assert kept.rows[0].tolist() == [1.0, 5.0, 9.0]


def test_a_state_of_other_weights_is_refused() -> None:
    with pytest.raises(StateMismatch):
        KeptState.from_bytes(KEPT, "v-2", SPECS)


def test_a_state_of_the_same_version_but_another_network_is_refused() -> None:
    with pytest.raises(StateMismatch):
        KeptState.from_bytes(KEPT, "v-1", SPECS[:1])
    with pytest.raises(StateMismatch):
        KeptState.from_bytes(KEPT, "v-1", (*SPECS, SPECS[0]))


def test_a_state_that_was_cut_off_or_has_something_more_is_refused() -> None:
    for content in (*(KEPT[:size] for size in range(len(KEPT))), KEPT + b"\0"):
        with pytest.raises(StateMismatch):
            KeptState.from_bytes(content, "v-1", SPECS)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_a_state_that_holds_no_number_is_refused(which: int, value: float) -> None:
    rows = tuple(row.copy() for row in ZERO)
    rows[which].flat[-1] = value
    with pytest.raises(StateMismatch):
        KeptState.from_bytes(KeptState("v-1", rows, " ").to_bytes(), "v-1", SPECS)


def test_a_flipped_bit_in_the_header_gives_a_state_or_a_refusal_and_nothing_else() -> None:
    header = KEPT.index(b"\n") + 1
    for bit in range(header * 8):
        content = bytearray(KEPT)
        content[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(StateMismatch):
            kept = KeptState.from_bytes(bytes(content), "v-1", SPECS)
            assert kept.version == "v-1"
            assert len(kept.pending) == 1


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
        KeptState.from_bytes(header + KEPT[KEPT.index(b"\n") :], "v-1", SPECS)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_garbage_is_refused(content: bytes) -> None:
    with pytest.raises(StateMismatch):
        KeptState.from_bytes(content, "v-1", SPECS)

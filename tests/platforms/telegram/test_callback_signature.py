"""Buttons under inline messages: each works under its own message and no other."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bot.core import buttons
from bot.core.ask import Where
from bot.core.parsing import TemperatureError, split_temperature
from bot.platforms.telegram.render import sign, verify
from bot.store.store import Conversation
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE

MAX_DATA = 64
"""Bytes of callback data (https://core.telegram.org/bots/api#inlinekeyboardbutton)."""
LONGEST_NUMBER = 2**52 - 1
"""Of a user: "at most 52 significant bits" (https://core.telegram.org/bots/api#user)."""
ANYTHING = st.text(st.characters(), max_size=80)
TOKEN = "123456:token"  # noqa: S105 - of no bot


@given(st.integers(1, LONGEST_NUMBER), st.floats(MIN_TEMPERATURE, MAX_TEMPERATURE), st.binary(), ANYTHING)
def test_signed_data_fits_and_verifies(user: int, temperature: float, state: bytes, message: str) -> None:
    actions = buttons.under(Where("telegram", "5", str(user)), Conversation("", round(temperature, 4), "v", state, ""))
    signed = [sign(TOKEN, message, action.data) for action in actions]
    assert all(len(data.encode()) <= MAX_DATA for data in signed)
    assert [verify(TOKEN, message, data) for data in signed] == [action.data for action in actions]


@given(st.integers(1, LONGEST_NUMBER), ANYTHING, ANYTHING)
def test_the_button_of_the_nearest_temperature_fits_or_is_left_out(user: int, prompt: str, message: str) -> None:
    with pytest.raises(TemperatureError) as refused:
        split_temperature(f"3 {prompt}")
    actions = buttons.nearest(Where("telegram", "5", str(user)), "nietzsche", refused.value)
    assert all(len(sign(TOKEN, message, action.data).encode()) <= MAX_DATA for action in actions)


@given(ANYTHING, ANYTHING, ANYTHING)
def test_a_signature_is_valid_for_one_message_and_one_bot(data: str, message: str, other: str) -> None:
    assume(message != other)
    signed = sign(TOKEN, message, data)
    assert not verify(TOKEN, other, signed)
    assert not verify("123456:other", message, signed)


@given(ANYTHING, ANYTHING)
@example("", "")
@example(":", "m")
@example("a:1:deadbeef:0.7:000000000000", "m")
def test_data_that_was_not_signed_is_rejected(data: str, message: str) -> None:
    assert not verify(TOKEN, message, data)

"""Buttons under inline messages: each works under its own message and no other."""

from __future__ import annotations

from hypothesis import assume, example, given
from hypothesis import strategies as st

from bot.core import buttons
from bot.core.reply import Action
from bot.platforms.telegram.callback_signature import Seals
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE

MAX_DATA = 64
"""Bytes of callback data (https://core.telegram.org/bots/api#inlinekeyboardbutton)."""
LONGEST_NUMBER = 2**52 - 1
"""Of a person: "at most 52 significant bits" (https://core.telegram.org/bots/api#user)."""
ANYTHING = st.text(st.characters(), max_size=80)
SEALS = Seals("123456:token")


@given(st.integers(1, LONGEST_NUMBER), ANYTHING, st.floats(MIN_TEMPERATURE, MAX_TEMPERATURE), st.binary(), ANYTHING)
def test_a_sealed_button_fits_and_is_what_it_was(
    person: int, prompt: str, temperature: float, state: bytes, message: str
) -> None:
    actions = buttons.under(str(person), prompt.encode("utf-8", "ignore").decode(), round(temperature, 4), state)
    sealed = SEALS.on(message, actions)
    assert [action.label for action in sealed] == [action.label for action in actions]
    assert all(len(action.data.encode()) <= MAX_DATA for action in sealed)
    assert [SEALS.off(message, action.data) for action in sealed] == [action.data for action in actions]


@given(ANYTHING, ANYTHING, ANYTHING)
def test_no_other_message_takes_it_nor_another_bot(data: str, message: str, other: str) -> None:
    assume(message != other)
    [sealed] = SEALS.on(message, [Action("Again", data)])
    assert SEALS.off(other, sealed.data) is None
    assert Seals("123456:other").off(message, sealed.data) is None


@given(ANYTHING, ANYTHING)
@example("", "")
@example(":", "m")
@example("a:1:deadbeef:0.7:000000000000", "m")
def test_whatever_else_comes_is_not_sealed(data: str, message: str) -> None:
    assert SEALS.off(message, data) is None

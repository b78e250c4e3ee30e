"""What `tests/guided.py` looks for: for each target what has to hold of any bytes, and bytes to begin with.

What has to hold is what the tests say, whose properties these are.
"""

# ruff: noqa: E402 - the folders of the tests come first

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_TESTS: Final = Path(__file__).resolve().parent
sys.path += [str(_TESTS / "core"), str(_TESTS / "generator" / "serving")]

import hostile
import test_buttons
import test_hostile
import test_parsing
import test_state
from msgspec.structs import replace

from generator import Vocabulary
from generator.serving.state import SavedState, StateMismatch
from generator.weights.manifest import MANIFEST, Manifest
from generator.weights.versions import load_weights, shipped_folder


@dataclass(frozen=True)
class Target:
    """`holds` raises when something that must be so is not; `seeds` are where the fuzzer begins.

    `share`: of the fuzzer's time.
    """

    holds: Callable[[bytes], object]
    seeds: list[bytes]
    share: float


def text() -> Target:
    """Whatever somebody types, or a button carries."""
    shipped = load_weights(shipped_folder()).manifest
    lower = replace(shipped, vocabulary=Vocabulary.of(shipped.vocabulary.characters.lower()), lowercase=True)
    opens = _property(test_hostile.test_whatever_opens_a_text_is_read_by_the_network)
    fits = _property(test_hostile.test_a_text_on_telegram_is_nothing_to_tap_and_fits)
    properties: list[Callable[[str], object]] = [
        _property(test_hostile.test_whatever_is_typed_is_a_temperature_or_is_not),
        _property(test_hostile.test_whatever_is_repeated_is_nothing_to_tap),
        _property(test_hostile.test_whatever_a_button_carries_is_of_a_known_form),
        _property(test_buttons.test_whatever_comes_back_is_a_button_or_is_not),
        _property(test_parsing.test_anything_typed_is_read_without_a_crash),
        *(functools.partial(opens, manifest, times=1) for manifest in (shipped, lower)),
        lambda typed: fits(typed[::2], typed[1::2]),
    ]

    def holds(content: bytes) -> None:
        typed = content.decode("utf-8", "surrogateescape")
        for one in properties:
            one(typed)

    nasty = (*hostile.FRAGMENTS, *hostile.NOTATIONS, "c:-100:deadbeef", "a:1:deadbeef:0.7", "/nietzsche@bot 0,7 What")
    return Target(holds, [typed.encode("utf-8", "surrogatepass") for typed in nasty], share=0.8)


def manifest() -> Target:
    """A `manifest.json` of anybody's: it is one, or refused by `ValueError`, which `UnicodeDecodeError` is, too."""

    def holds(content: bytes) -> None:
        try:
            Manifest.from_json(content.decode("utf-8"))
        except ValueError:
            return

    return Target(holds, [path.read_bytes() for path in shipped_folder().glob(f"*/{MANIFEST}")], share=0.1)


def state() -> Target:
    """A kept state out of a database that somebody else may have written to: it is one, or refused."""

    def holds(content: bytes) -> None:
        try:
            saved = SavedState.from_bytes(content, test_state.MODEL, test_state.SPECS)
        except StateMismatch:
            return
        content = saved.to_bytes(test_state.MODEL)
        assert SavedState.from_bytes(content, test_state.MODEL, test_state.SPECS).pending == saved.pending

    return Target(holds, [test_state.SAVED, test_state.OLD], share=0.1)


TARGETS: Final = {target.__name__: target for target in (text, manifest, state)}


def _property(test: Any) -> Callable[..., None]:
    """What a test of hypothesis says of one input."""
    inner: Callable[..., None] = test.hypothesis.inner_test
    return inner

"""What a terminal and a pipe show where other platforms show a picture."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import english
from hypothesis import given
from hypothesis import strategies as st
from terminal_support import ESCAPE, Terminal, pipe

from bot.core.reply import Picture, Reply
from bot.platforms.terminal.pipe import plain
from bot.platforms.terminal.prompt import NOTICE, fragments
from generator.prose import printable
from generator.scoring.palette import Cell, colour


def picture(path: Path | None = None) -> Picture:
    return Picture(b"PNG", "a.png", "a picture", path)


def test_in_a_pipe_the_surprise_is_a_sentence(chat_environment: dict[str, str]) -> None:
    out = pipe(chat_environment, b"/surprise\n/nietzsche 0.7 The philosopher\n/surprise\n")
    refusal, _, *answer = out.split("\n\n")
    assert refusal == english("no-text")
    assert answer[-1].startswith("Your text surprises me by ")
    assert "bits per character" in answer[-1]
    assert ESCAPE not in out
    assert ".png" not in out


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_on_a_terminal_the_text_has_coloured_grounds(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    terminal.sees("›")
    terminal.types("/nietzsche 0.7 The philosopher\r")
    terminal.sees("The philosopher", "›")
    terminal.types("/surprise\r")
    terminal.sees("48;5;", english("surprise-scale"), "Your text surprises me by", "›")
    assert terminal.leaves() == 0


def test_without_colours_words_are_marked(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(NO_COLOR="1")
    terminal.sees("›")
    terminal.types("/nietzsche 0.7 The philosopher\r")
    terminal.sees("The philosopher", "›")
    terminal.types("/surprise\r")
    terminal.sees("\x1b[0;1;4m", "bits per character:", "underlined: 2 and more", "bold too: 3 and more", "›")
    assert "48;5;" not in str(terminal.process.before)
    assert terminal.leaves() == 0


def test_where_a_picture_lies_is_told_if_the_person_can_open_it(tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    for reply, told in (
        (Reply("a", picture=picture(path)), True),
        (Reply("a", picture=picture()), False),
    ):
        assert (str(path) in plain(reply)) is told
        assert (str(path) in "".join(part[1] for part in fragments(reply, 80))) is told


def test_each_ground_is_that_of_the_picture_and_what_is_certain_keeps_the_terminals_own() -> None:
    cells = (Cell("T", math.nan, given=True), Cell("a", 0.0), Cell("b", 6.0), Cell("c", 9.0), Cell("\n", 6.0))
    shown = fragments(Reply("caption", picture=picture(), shaded=cells), 80)
    grounds = [(style, text) for style, text, *_ in shown][:5]
    dark = f"bg:#{bytes(colour(14)).hex()}"
    assert grounds[0] == (NOTICE, "T")
    assert grounds[1] == ("", "a")
    assert dark in grounds[2][0]
    assert grounds[3] == (grounds[2][0], "c")
    assert grounds[4] == ("", "\n"), "a ground behind a line end would reach to the edge"
    assert shown[-1][1] == "caption"


@given(st.text(max_size=200), st.integers(5, 60))
def test_any_text_is_shown_whole_and_obeys_nothing(text: str, width: int) -> None:
    cells = tuple(Cell(character, number % 7) for number, character in enumerate(text))
    shown = "".join(part[1] for part in fragments(Reply("end", shaded=cells), width))
    assert printable(shown) == shown
    if printable(text):
        assert shown.replace("\n", " ").startswith(printable(text).replace("\n", " "))

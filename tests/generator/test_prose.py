"""Where a sentence ends, and how a text is shown."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator import Vocabulary
from generator.prose import ends_sentence, presentable
from generator.serving.constraints import Constraints, WritingRules

TYPED = st.text(st.sampled_from("aB.-_ \t\n")) | st.text()


# ---- sentences ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "God is dead.",
        "Is God dead?",
        "God is dead!",
        "What?!",
        "And so on...",
        "And so on…",
        'He said: "God is dead."',
        "'God is dead.'",
        "(God is dead.)",
        "[God is dead.]",
        "_Ecce homo._",
        'He said: "Is he (really) dead?")',
        "“Gott ist tot.”",
        "something evil--and good.",
        "the élan.",
        "Amen.",
        "the so-called free-thinker.",
        "a" * 60 + " end.",
        "Qui est là ?",
        "« Qui est là ? »",
        "Он сказал: «Пойдём.»",
        "Er sagte: „Gott ist tot.“",
        "道可道，非常道。",
        "子曰：「不亦說乎？」",
        "सत्यमेव जयते।",
        "वह कौन है?",
        "وہ کہاں ہے۔",
        "كم يبلغ قطره؟",
        "Τι είναι αρετή;",
        "Ερώτησε «πού πάμε;»",
        "le cafe\u0301.",
    ],
)
def test_the_end_of_a_sentence(text: str) -> None:
    assert ends_sentence(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "God is dead",
        "God is dead,",
        "God is dead;",
        "God is dead:--",
        "according to Mr.",
        "according to MRS.",
        "the so-called Dr.",
        "(cf.",
        "as in vol.",
        "written by F.",
        "written by F. W.",
        "J.S.",
        "e.g.",
        "i.e.",
        "12.",
        "In section 231.",
        "§ 4.",
        "...",
        ". . .",
        '"',
        "an old_word",
        "道可道，",
        "Γιατί όχι·",
        "if (x) return;",
        "ठहरो",
    ],
)
def test_no_end_of_a_sentence(text: str) -> None:
    assert not ends_sentence(text)


@given(st.text(), st.sampled_from(".!?"), st.sampled_from(["", '"', "'", ")", '")', "]", "_", "”"]))
def test_a_word_its_stop_and_its_closing_marks_end_a_sentence_whatever_comes_before(
    before: str, stop: str, closing: str
) -> None:
    assert ends_sentence(f"{before} philosopher{stop}{closing}")
    assert not ends_sentence(f"{before} philosopher{closing}")


# ---- how it is shown ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("one line", "one line"),
        ("  \n one line \n\n", "one line"),
        ("a hard\nwrapped\nline", "a hard wrapped line"),
        ("a hard \n  wrapped line", "a hard wrapped line"),
        ("a free-\nthinker", "a free-thinker"),
        ("a free-  \n  thinker", "a free-thinker"),
        ("evil--\nand good", "evil--and good"),
        ("a dash -- between\nwords", "a dash -- between words"),
        ("one\n\ntwo", "one\n\ntwo"),
        ("one\n \ntwo\n\n\n\nthree", "one\n\ntwo\n\nthree"),
        ("one-\n\ntwo", "one-\n\ntwo"),
        ("two  spaces", "two spaces"),
        ("", ""),
        (" \n\n ", ""),
    ],
)
def test_a_text_from_a_hard_wrapped_book(written: str, shown: str) -> None:
    assert presentable(written, hard_wrapped=True) == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a verse\nand another", "a verse\nand another"),
        ("\n\n a verse  \n  and another \n", "a verse\n  and another"),
        ("one\n\ntwo", "one\n\ntwo"),
        ("a free-\nthinker", "a free-\nthinker"),
    ],
)
def test_a_text_from_a_book_of_long_lines(written: str, shown: str) -> None:
    assert presentable(written, hard_wrapped=False) == shown


@given(text=TYPED, hard_wrapped=st.booleans())
def test_what_is_presentable_stays_as_it_is(*, text: str, hard_wrapped: bool) -> None:
    shown = presentable(text, hard_wrapped=hard_wrapped)
    assert presentable(shown, hard_wrapped=hard_wrapped) == shown


@given(text=TYPED, hard_wrapped=st.booleans())
def test_nothing_but_white_space_is_changed(*, text: str, hard_wrapped: bool) -> None:
    assert "".join(presentable(text, hard_wrapped=hard_wrapped).split()) == "".join(text.split())


@given(TYPED)
def test_a_shown_paragraph_is_one_line(text: str) -> None:
    shown = presentable(text, hard_wrapped=True)
    assert not re.search(r"(?<!\n)\n(?!\n)|\n{3}|  |^\s|\s$", shown)


# ---- what may stand where -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("characters", "first"),
    [
        (" .aBcD", "BD"),
        (" .abc", "abc"),
        (" .12", ".12"),
        (" \n", " \n"),
        ("尼采 。", "尼采"),
        ("尼采H何謂高貴 。", "尼采H何謂高貴"),
    ],
    ids=[
        "capitals",
        "no capitals",
        "no letters",
        "nothing but white space",
        "a script without cases",
        "a foreign letter",
    ],
)
def test_what_a_text_may_begin_with(characters: str, first: str) -> None:
    bias = Constraints(WritingRules(Vocabulary(characters)), forbidden="lower case").bias
    assert "".join(c for c, nats in zip(characters, bias, strict=True) if nats == 0.0) == first

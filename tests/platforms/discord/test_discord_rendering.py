"""A reply on Discord: shown as written, cut between words only, the prompt in bold."""

from __future__ import annotations

import pytest
from discord_support import as_shown
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.reply import Kind, Passage, Reply
from bot.platforms.discord.render import MAX_MESSAGE, contents, escaped
from bot.platforms.text import utf16_length

NASTY = (
    "**bold** *it* __u__ ~~s~~ ||spoiler|| `code` ```block```",
    "# heading",
    "### heading",
    "-# small",
    "- list\n- list",
    "* list",
    "1. list\n23. list",
    "> quote",
    ">>> quote",
    "[masked](https://example.com)",
    "https://example.com www.example.com discord.gg/abc",
    "<https://example.com>",
    "@everyone @here <@1> <@!1> <@&1> <#1>",
    "<:smile:1> <a:smile:1> :smile: <t:1700000000:R> </help:1> <id:browse>",
    "\\*not bold\\* \\",
    "¯\\_(ツ)_/¯",
)


@pytest.mark.parametrize("text", NASTY)
def test_what_the_network_writes_appears_as_written(text: str) -> None:
    [message] = contents(Reply.of_passages(Passage(text)), with_notice=False)
    assert as_shown(message) == text
    assert "http:" not in message
    assert "@e" not in message.replace("\\@e", "")


@pytest.mark.parametrize("text", NASTY)
def test_a_prompt_is_bold_and_nothing_else(text: str) -> None:
    [message] = contents(Reply.of_passages(Passage(f"{text} and so on", text)), with_notice=False)
    assert message == f"**{escaped(text)}** and so on"
    assert as_shown(message) == f"{text} and so on"


def test_a_prompt_may_end_in_the_middle_of_a_word() -> None:
    assert contents(Reply.of_passages(Passage("The philosopher*", "The phil")), with_notice=False) == [
        "**The phil**osopher\\*"
    ]


def test_a_text_that_is_all_prompt() -> None:
    assert contents(Reply.of_passages(Passage("The end", "The end")), with_notice=False) == ["**The end**"]


words = st.lists(
    st.text(st.sampled_from("ab*_-#1.>`\\|~[]()<@:/é\U0001f600"), min_size=1, max_size=40), min_size=1, max_size=400
)


@settings(deadline=None, max_examples=60)
@given(words, st.sampled_from([" ", "\n", "\n\n"]), st.integers(0, 3000))
def test_long_texts_go_on_in_further_messages_and_no_word_is_cut(some: list[str], gap: str, bold: int) -> None:
    text = gap.join(some)
    bold = min(bold, len(text))
    found = contents(Reply.of_passages(Passage(text, text[:bold])), with_notice=False)
    assert all(0 < utf16_length(message) <= MAX_MESSAGE for message in found)
    assert [word for message in found for word in as_shown(message).split()] == text.split()


def test_a_message_is_filled_as_far_as_words_allow() -> None:
    first, second = contents(Reply.of_passages(Passage("abc " * 600)), with_notice=False)
    assert utf16_length(first) == 1999
    assert len(first.split()) + len(second.split()) == 600


def test_the_end_of_bold_fits_too() -> None:
    first, _ = contents(Reply.of_passages(Passage("a " * 1200, "a " * 1100)), with_notice=False)
    assert utf16_length(first) == 1999
    assert first.startswith("**a")
    assert first.endswith("a**")


def test_a_word_longer_than_a_message_is_cut_after_all() -> None:
    found = contents(Reply.of_passages(Passage("*" * 5000)), with_notice=False)
    assert all(utf16_length(message) <= MAX_MESSAGE for message in found)
    assert sum(len(as_shown(message)) for message in found) == 5000


def test_several_passages_stand_below_their_labels_in_as_few_messages_as_possible() -> None:
    passages = [Passage(f"The {n}", "The", f"Temperature 0.{n}") for n in (5, 6)]
    assert contents(Reply.of_passages(*passages), with_notice=False) == [
        "-# Temperature 0.5\n**The** 5\n\n-# Temperature 0.6\n**The** 6"
    ]


def test_a_label_is_never_the_last_line_of_a_message() -> None:
    passages = [Passage("word " * 397, label="One"), Passage("word " * 10, label="Two")]
    first, second = contents(Reply.of_passages(*passages), with_notice=False)
    assert not first.endswith("Two")
    assert second.startswith("-# Two\nword")


def test_a_message_ends_between_two_texts_rather_than_within_one() -> None:
    passages = [Passage("word " * 100, label=f"Temperature 0.{n}") for n in (5, 6, 7, 8, 9)]
    first, second = contents(Reply.of_passages(*passages), with_notice=False)
    assert [message.count("-# Temperature") for message in (first, second)] == [3, 2]
    assert first.endswith("word")
    assert second.startswith("-# Temperature 0.8\nword")


def test_a_long_text_is_split_after_a_sentence() -> None:
    sentence = "The soul of man is the measure of all that is. "
    first, second = contents(Reply.of_passages(Passage(sentence * 60, sentence)), with_notice=False)
    assert first.endswith("that is.")
    assert second.startswith("The soul")


def test_the_notice_stands_below_in_small_print_where_it_is_wanted() -> None:
    reply = Reply("a", Kind.TEXT, (Passage("a"),), notice="I left out *")
    assert contents(reply, with_notice=True) == ["a\n-# I left out \\*"]
    assert contents(reply, with_notice=False) == ["a"]


def test_what_the_bot_says_itself_is_no_markup_either() -> None:
    assert contents(Reply.refusal("“**x**” is no number"), with_notice=False) == ["“\\*\\*x\\*\\*” is no number"]


def test_a_reply_of_nothing_is_still_a_message() -> None:
    assert contents(Reply.of_passages(Passage("")), with_notice=False) == ["…"]

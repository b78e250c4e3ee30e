"""Replies on a simulated Discord: long ones, late ones, private ones; nothing in them is markup."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import discord
import pytest
from conftest import english
from discord_support import (
    CALLBACK,
    DEFERRED,
    EPHEMERAL,
    MESSAGE,
    SLASH,
    SUPPRESS_EMBEDS,
    World,
    as_shown,
    ask_as_installed,
    labels,
    shown,
)

from bot.core.reply import Action, Passage, Picture, Reply
from bot.platforms.discord import responder
from bot.platforms.discord.render import MAX_MESSAGE, MAX_MESSAGES
from bot.platforms.text import EMPTY, utf16_length

# ---- length, markup ----------


async def test_a_long_text_continues_in_follow_ups(here: World) -> None:
    text = " ".join("".join(random.Random(n).choices("abc*_.", k=5)) for n in range(1000))
    await here.alice.slash(here.channel, "nietzsche")
    here.core.reply = Reply.of_passages(Passage(text, text[:50]), notice="By the way", actions=())
    result = await here.alice.slash(here.channel, "nietzsche")
    assert result.response is not None
    *further, notice = result.followups
    said = [result.response, *further]
    assert len(said) > 3
    assert all(utf16_length(message.content) <= MAX_MESSAGE for message in said)
    assert " ".join(as_shown(message.content) for message in said) == text
    assert not any(message.ephemeral for message in said)
    assert notice.ephemeral


@pytest.mark.parametrize("slowly", [False, True])
async def test_where_a_user_installed_the_app_five_follow_ups_are_all(
    here: World, monkeypatch: pytest.MonkeyPatch, *, slowly: bool
) -> None:
    ladder = [Passage("word " * 390, label=f"Temperature {number}") for number in range(10)]
    here.core.reply = Reply.of_passages(*ladder, notice="By the way", actions=(Action("Continue", "c:1:2"),))
    if slowly:
        monkeypatch.setattr(responder, "DEFER_AFTER_SECONDS", 0.01)
        gate = here.core.hold()
    result = await ask_as_installed(here, {"1": str(here.alice.id)})
    if slowly:
        gate.set()
        await here.env.settle()
    assert result.response is not None
    assert len(result.followups) == MAX_MESSAGES
    *texts, last, notice = [result.response, *result.followups]
    assert all(utf16_length(message.content) > MAX_MESSAGE - 100 for message in texts)
    assert as_shown(last.content) == english("whole-text-in-file")
    assert last.components
    [file] = last.attachments
    assert (file.filename, file.size) == ("text.txt", len(here.core.reply.text))
    assert notice.ephemeral


@pytest.mark.usefixtures("at_once")
async def test_a_long_private_answer_that_comes_late_keeps_to_five_follow_ups_too(here: World) -> None:
    here.core.reply = replace(Reply("word " * 4000), private=True)
    gate = here.core.hold()
    result = await ask_as_installed(here, {"1": str(here.alice.id)})
    gate.set()
    await here.env.settle()
    assert len(result.followups) == MAX_MESSAGES
    assert all(message.ephemeral for message in result.followups)
    assert result.followups[-1].attachments


@pytest.mark.usefixtures("one_seed")
async def test_the_longest_text_has_its_buttons_under_the_last_message(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder, "DEFER_AFTER_SECONDS", 60.0)  # on a slow machine it would be deferred
    result = await here.alice.slash(here.channel, "nietzsche", length=4000)
    assert result.response is not None
    *before, last = [result.response, *result.followups]
    assert before
    assert not any(message.components for message in before)
    assert last.components


async def test_a_long_answer_to_a_mention(here: World) -> None:
    here.core.reply = Reply.of_passages(Passage("word " * 1000))
    await here.alice.send(here.channel, f"<@{here.bot_id}>")
    _, *said = here.channel.history()
    assert len(said) == 3
    assert said[0].reference is not None
    assert said[1].reference is None


async def test_nothing_pings_and_nothing_is_previewed(here: World) -> None:
    text = "@everyone @here <@1> https://example.com [x](https://example.com) # no"
    here.core.reply = Reply.of_passages(Passage(text), notice=text)
    result = await here.alice.slash(here.channel, "nietzsche")
    await here.alice.send(here.channel, f"<@{here.bot_id}>")
    assert shown(result) == text
    bodies = [body["data"] for body in here.sent("POST", "/callback$")]
    bodies += here.sent("POST", r"/webhooks/") + here.sent("POST", r"/messages$")
    assert len(bodies) == 3
    for body in bodies:
        assert body["allowed_mentions"]["parse"] == []
        assert body["flags"] & SUPPRESS_EMBEDS
        assert as_shown(body["content"]).startswith(text)


# ---- time ----------


@pytest.mark.usefixtures("at_once")
async def test_a_slow_text_is_deferred_and_then_edited_in(here: World) -> None:
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    assert result.deferred
    assert not result.ephemeral
    gate.set()
    await here.env.settle()
    assert not result.deferred
    assert shown(result).startswith("The philosopher")
    assert labels(result) == ["Again", "Continue", "Hotter (0.8)", "Colder (0.6)", "Surprise"]
    assert not result.followups
    assert [body["type"] for body in here.sent("POST", "/callback$")] == [DEFERRED]
    [edit] = here.sent("PATCH", "/@original$")
    assert edit["allowed_mentions"]["parse"] == []


@pytest.mark.usefixtures("at_once")
async def test_a_slow_button_is_deferred(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    gate = here.core.hold()
    result = await here.alice.click(first.response, label="Again")
    assert result.deferred
    gate.set()
    await here.env.settle()
    assert shown(result).startswith("The philosopher")


@pytest.mark.usefixtures("at_once")
async def test_a_slow_picture_is_edited_in(here: World) -> None:
    here.core.reply = Reply("About", picture=Picture(b"\x89PNG", "curve.png", "a curve"))
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "about")
    gate.set()
    await here.env.settle()
    assert result.response is not None
    assert [attachment.filename for attachment in result.response.attachments] == ["curve.png"]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("name", ["temperature", "forgetme", "help", "nosuch"])
async def test_what_is_always_private_is_deferred_privately(here: World, name: str) -> None:
    gate = here.core.hold()
    data = {"id": "1", "name": name, "type": 1}
    result = await here.interaction(here.alice, SLASH, data, here.channel.id)
    assert result.deferred
    assert result.ephemeral
    gate.set()
    await here.env.settle()
    assert not here.channel.history(viewer=here.bob)
    assert result.response is not None
    assert result.response.content
    assert not result.followups
    assert not here.sent("DELETE", "")
    assert len(here.env.errors) == (name == "nosuch")


async def test_the_button_that_deletes_everything_is_deferred_privately(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await here.alice.slash(here.channel, "forgetme")
    monkeypatch.setattr(responder, "DEFER_AFTER_SECONDS", 0.0)
    gate = here.core.hold()
    result = await here.alice.click(asked.response, label="Delete everything")
    assert result.deferred
    assert result.ephemeral
    gate.set()
    await here.env.settle()
    assert not here.channel.history(viewer=here.bob)
    assert result.response is not None
    assert result.response.content == english("forget-nothing")


@pytest.mark.usefixtures("at_once")
async def test_a_late_refusal_of_a_public_command_is_private_all_the_same(here: World) -> None:
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "continue")
    assert result.deferred
    gate.set()
    await here.env.settle()
    assert result.response is None  # the placeholder is deleted
    [said] = result.followups
    assert said.ephemeral
    assert as_shown(said.content) == english("no-text")
    assert not here.channel.history(viewer=here.bob)
    assert here.sent("PATCH", "/@original$")[0]["content"] == EMPTY


@pytest.mark.usefixtures("at_once")
async def test_a_text_that_is_stopped_leaves_no_trace(here: World) -> None:
    """The one line is that of /cancel."""
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "nietzsche", length=4000)
    assert result.deferred
    here.core.reply = Reply.refusal("")
    gate.set()
    await here.env.settle()
    assert result.response is None
    assert not result.followups
    assert not here.channel.history(viewer=here.alice)


@pytest.mark.usefixtures("at_once")
async def test_a_placeholder_that_cannot_be_deleted_is_no_error_for_the_user(here: World) -> None:
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "continue")
    here.env.inject_error("DELETE", "/webhooks/*/messages/@original", status=500, times=None)
    gate.set()
    await here.env.settle()
    assert [as_shown(said.content) for said in result.followups] == [english("no-text")]


async def test_a_quick_refusal_is_never_deferred(here: World) -> None:
    await here.alice.slash(here.channel, "continue")
    [callback] = here.sent("POST", "/callback$")
    assert callback["type"] == MESSAGE
    assert callback["data"]["flags"] & EPHEMERAL


@pytest.mark.usefixtures("at_once")
async def test_nothing_more_is_sent_when_the_token_has_expired(here: World, caplog: pytest.LogCaptureFixture) -> None:
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "nietzsche")
    assert result.deferred
    await here.env.advance_time(15 * 60)
    before = len(here.env.http_requests)
    gate.set()
    await here.env.settle()
    assert len(here.env.http_requests) == before + 1  # which Discord refuses
    assert not result.followups
    assert "discord.reply_refused" in caplog.text


async def test_an_expired_interaction_is_dropped(here: World, caplog: pytest.LogCaptureFixture) -> None:
    here.env.inject_error("POST", CALLBACK, status=404, code=10062)
    await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    assert len(here.sent("POST", "/callback$")) == 1
    assert not here.sent("POST", "/webhooks/")
    assert "code=10062" in caplog.text


async def test_an_interaction_that_another_process_answered_is_dropped(here: World) -> None:
    here.env.inject_error("POST", CALLBACK, status=400, code=40060)
    result = await here.alice.slash(here.channel, "nietzsche")
    assert len(here.sent("POST", "/callback$")) == 1
    assert not here.sent("POST", "/webhooks/")
    assert not result.followups


@pytest.mark.usefixtures("at_once")
async def test_a_deferral_that_looked_lost_but_was_not_is_continued(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = here.core.hold()
    defer = discord.InteractionResponse.defer

    async def twice(self: Any, **options: Any) -> Any:
        await defer(self, **options)
        self._response_type = None  # as if the answer to the first request had been lost
        return await defer(self, **options)

    monkeypatch.setattr(discord.InteractionResponse, "defer", twice)
    result = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    gate.set()
    await here.env.settle()
    assert shown(result).startswith("The philosopher")

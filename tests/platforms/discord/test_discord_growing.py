"""A text that takes long grows by sentence on Discord."""

from __future__ import annotations

import pytest
from discord_support import World, as_shown, labels, shown
from simcord.results import InteractionResult

from bot.core.reply import Passage, Reply
from bot.platforms import growing
from bot.platforms.discord import responder

FIRST, SECOND = "The philosopher. …", "The philosopher. Thus he spoke. …"


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder, "DEFER_AFTER_SECONDS", 0.01)
    monkeypatch.setattr(responder, "GROW_AFTER_SECONDS", 0.01)
    monkeypatch.setattr(growing, "EDIT_EVERY_SECONDS", 0.01)


async def show(here: World, text: str) -> None:
    """As the commands do while a text is generated."""
    where = here.core.seen[-1][1]
    assert where.show is not None
    where.show(lambda: Reply.of_passages(Passage(text)))
    await here.env.settle()


async def begin(here: World) -> InteractionResult:
    """A text of which the first sentence is shown."""
    here.core.hold()
    result = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    await show(here, FIRST)
    return result


async def finish(here: World, reply: Reply) -> None:
    here.core.reply = reply
    assert here.core.open_gate is not None
    here.core.open_gate.set()
    await here.env.settle()


async def test_the_answer_to_a_command_grows(here: World) -> None:
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    assert result.deferred
    for text in (FIRST, SECOND):
        await show(here, text)
        assert shown(result) == text
        assert labels(result) == []
    gate.set()
    await here.env.settle()
    assert "…" not in shown(result)
    assert shown(result).startswith("The philosopher")
    assert labels(result) == ["Again", "Continue", "Hotter (0.8)", "Colder (0.6)", "Surprise"]
    assert not result.followups
    *parts, whole = here.sent("PATCH", "/@original$")
    assert len(parts) >= 2  # the text of the tiny network may have shown more
    assert whole["components"]
    assert not any(part.get("components") for part in parts)


async def test_the_answer_to_a_mention_grows(here: World) -> None:
    gate = here.core.hold()
    await here.alice.send(here.channel, f"<@{here.bot_id}> The philosopher")
    for text in (FIRST, SECOND):
        await show(here, text)
        assert [as_shown(message.content) for message in here.channel.history()[1:]] == [text]
    gate.set()
    await here.env.settle()
    _, message = here.channel.history()
    assert message.reference is not None
    assert message.components
    assert "…" not in message.content
    assert len(here.sent("POST", r"/messages$")) == 1


async def test_a_text_that_is_stopped_stays_as_far_as_it_was_shown(here: World) -> None:
    result = await begin(here)
    await finish(here, Reply.refusal(""))
    assert shown(result) == FIRST


async def test_a_failure_takes_the_place_of_the_text_so_far(here: World) -> None:
    result = await begin(here)
    await finish(here, Reply.refusal("The network failed."))
    assert result.response is None
    assert [message.ephemeral for message in result.followups] == [True]
    assert not here.channel.history(viewer=here.bob)


async def test_a_text_that_grows_longer_than_a_message_comes_whole_at_the_end(here: World) -> None:
    result = await begin(here)
    await show(here, "word " * 500)
    await show(here, SECOND)
    assert shown(result) == FIRST
    await finish(here, Reply.of_passages(Passage("word " * 500)))
    assert result.response is not None
    said = [result.response, *result.followups]
    assert " ".join(as_shown(message.content) for message in said).split() == ["word"] * 500


@pytest.mark.parametrize("mention", [False, True])
async def test_discord_refuses_a_part_and_gets_the_whole_text(
    here: World, caplog: pytest.LogCaptureFixture, *, mention: bool
) -> None:
    gate = here.core.hold()
    path = "/channels/*/messages" if mention else "/webhooks/*/messages/@original"
    if mention:
        await here.alice.send(here.channel, f"<@{here.bot_id}> The philosopher")
    else:
        await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    here.env.inject_error("POST" if mention else "PATCH", path, status=403)
    await show(here, FIRST)
    gate.set()
    await here.env.settle()
    message = here.channel.last_message
    assert message is not None
    assert as_shown(message.content).startswith("The philosopher")
    assert message.components
    assert not caplog.records


@pytest.mark.parametrize("mention", [False, True])
async def test_a_text_so_far_that_a_user_deletes_comes_whole_all_the_same(here: World, *, mention: bool) -> None:
    gate = here.core.hold()
    if mention:
        await here.alice.send(here.channel, f"<@{here.bot_id}> The philosopher")
    else:
        await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    await show(here, FIRST)
    growing_message = here.channel.last_message
    assert growing_message is not None
    await here.person("admin", administrator=True).delete(growing_message)
    gate.set()
    await here.env.settle()
    message = here.channel.last_message
    assert message is not None
    assert message.id != growing_message.id
    assert as_shown(message.content).startswith("The philosopher")

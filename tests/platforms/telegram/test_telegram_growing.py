"""A text that takes long grows by sentence on Telegram."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from telegram_support import BUTTONS, ScriptedCommands, first_text, timed

from bot.core.reply import Passage, Reply
from bot.platforms.growing import EDIT_EVERY_SECONDS, GROW_AFTER_SECONDS
from bot.platforms.telegram.rate_limit import ALLOWED, Limits, Rate
from testing.clock import ManualClock, settle
from testing.telegram import Chat, Sent, TelegramServer, User

FIRST, SECOND = "The philosopher. …", "The philosopher. Thus he spoke. …"


class Slow:
    """A text that takes long, which the test writes."""

    def __init__(self, scripted: ScriptedCommands, clock: ManualClock, server: TelegramServer) -> None:
        self.scripted = scripted
        self.clock = clock
        self.server = server
        self.alice: User = server.user("Alice")

    def show(self, text: str) -> None:
        show = self.scripted.where[-1].show
        assert show is not None
        show(lambda: Reply.of_passages(Passage(text)))

    async def begin(self, chat: Chat) -> None:
        await chat.send("/nietzsche Slow", by=self.alice)
        await self.scripted.begun.next()
        await self.clock.sleepers()

    def end(self) -> None:
        self.scripted.resume.set()


@asynccontextmanager
async def slow(scripted: ScriptedCommands, limits: Limits = ALLOWED) -> AsyncIterator[Slow]:
    clock = ManualClock()
    async with timed(scripted, clock, limits) as (server, _):
        yield Slow(scripted, clock, server)


async def growing(it: Slow, chat: Chat) -> Sent:
    """The message, with the first part."""
    await it.begin(chat)
    it.show("The …")
    it.show(FIRST)
    await it.clock.advance(GROW_AFTER_SECONDS - 0.1)
    assert not chat.messages.unread
    message = await it.clock.pass_until(chat.messages.next())
    assert (message.text, message.labels) == (FIRST, [])
    return message


async def test_the_message_grows_and_becomes_the_whole_text(scripted: ScriptedCommands) -> None:
    async with slow(scripted) as it:
        chat = it.server.private(it.alice)
        message = await growing(it, chat)
        it.show(SECOND)
        shown = it.clock.time()
        assert await it.clock.pass_until(message.next_edit()) == SECOND
        assert it.clock.time() - shown >= EDIT_EVERY_SECONDS - 1
        it.end()
        text = await it.clock.pass_until(message.next_edit())
        assert text.startswith("Slow")
        assert "…" not in text
        assert message.labels == BUTTONS
        assert chat.messages.all == [message]


async def test_in_a_group_it_answers_the_message_that_asked(scripted: ScriptedCommands) -> None:
    async with slow(scripted) as it:
        group = it.server.group()
        message = await growing(it, group)
        assert message.reply_to is not None
        it.end()
        assert (await it.clock.pass_until(message.next_edit())).startswith("Slow")


async def test_the_text_of_a_pressed_button_grows_below(scripted: ScriptedCommands) -> None:
    async with slow(scripted) as it:
        chat = it.server.private(it.alice)
        message = await first_text(chat, it.alice)
        scripted.said["slow press"] = Reply("")
        await it.alice.press(message, "Again")
        await scripted.begun.next()
        it.show(FIRST)
        below = await it.clock.pass_until(chat.messages.next())
        assert below.text.endswith(" …")
        it.end()
        assert "…" not in await it.clock.pass_until(below.next_edit())
        assert below.labels == BUTTONS


async def test_a_text_that_is_stopped_stays_as_far_as_it_was_shown(scripted: ScriptedCommands) -> None:
    scripted.said["nietzsche"] = Reply.refusal("")
    async with slow(scripted) as it:
        chat = it.server.private(it.alice)
        message = await growing(it, chat)
        it.end()
        await chat.send("/temperature")
        await it.clock.pass_until(chat.next_message())
        assert message.text == FIRST


async def test_a_text_that_grows_longer_than_a_message_comes_whole_at_the_end(scripted: ScriptedCommands) -> None:
    scripted.said["nietzsche"] = Reply.of_passages(Passage("word " * 1000))
    async with slow(scripted) as it:
        chat = it.server.private(it.alice)
        message = await growing(it, chat)
        it.show("word " * 1000)
        await it.clock.advance(2 * EDIT_EVERY_SECONDS)
        assert message.text == FIRST
        it.end()
        rest = await it.clock.pass_until(chat.next_message())
        assert f"{message.text} {rest.text}".split() == ["word"] * 1000


async def test_where_a_chat_has_no_room_left_a_text_waits_for_no_one(scripted: ScriptedCommands) -> None:
    async with slow(scripted, Limits(chat=Rate(2, 60.0))) as it:
        chat = it.server.private(it.alice)
        message = await growing(it, chat)
        it.show(SECOND)
        await it.clock.advance(2 * EDIT_EVERY_SECONDS)
        await settle()
        assert message.text == FIRST
        it.end()
        assert (await it.clock.pass_until(message.next_edit())).startswith("Slow")


async def test_where_the_whole_bot_has_no_room_left_a_text_comes_at_the_end(scripted: ScriptedCommands) -> None:
    async with slow(scripted, Limits(overall=Rate(1, 1.0))) as it:
        chat, other = it.server.private(it.alice), it.server.private(it.server.user("Bob"))
        await it.begin(chat)
        await it.clock.advance(GROW_AFTER_SECONDS - 0.1)
        await other.send("/temperature")
        await other.next_message()
        it.show(FIRST)
        await it.clock.advance(0.2)
        assert not chat.messages.unread
        it.end()
        assert (await it.clock.pass_until(chat.next_message())).text.startswith("Slow")


async def test_a_message_that_is_deleted_meanwhile_is_sent_whole(scripted: ScriptedCommands) -> None:
    async with slow(scripted) as it:
        chat = it.server.private(it.alice)
        message = await growing(it, chat)
        del chat.sent[int(message.id)]
        it.show(SECOND)
        it.end()
        whole = await it.clock.pass_until(chat.next_message())
        assert whole is not message
        assert whole.text.startswith("Slow")
        assert whole.labels == BUTTONS


async def test_a_part_that_telegram_refuses_blocks_the_chat_for_as_long_as_it_says(scripted: ScriptedCommands) -> None:
    async with slow(scripted) as it:
        chat = it.server.private(it.alice)
        await it.begin(chat)
        it.server.flood(chat, retry_after=5, method="sendMessage")
        it.show(FIRST)
        await it.clock.advance(GROW_AFTER_SECONDS)
        began = it.clock.time()
        it.end()
        message = await it.clock.pass_until(chat.next_message())
        assert message.text.startswith("Slow")
        assert it.clock.time() - began >= 5

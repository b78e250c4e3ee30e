"""The bot in Telegram, as people there meet it: the real library and the real core, against a loopback Bot API."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession
from telegram import BotCommandScopeAllGroupChats
from telegram.error import RetryAfter

from bot.config.schema import BotSection, Secret, TelegramSection
from bot.core import admission, messages
from bot.core.ask import Ask, Ladder, Where, Write
from bot.core.commands import COMMANDS, Commands, name_of, user_commands
from bot.core.reply import Action, Kind, Passage, Picture, Reply
from bot.platforms.base import BadToken
from bot.platforms.dedup import Seen
from bot.platforms.telegram import bot_client, dispatcher, rate_limit, receivers, updates
from bot.platforms.telegram import sender as telegram_delivery
from bot.platforms.telegram.platform import REFUSED, Telegram, Unreachable
from bot.platforms.telegram.queues import LONGEST_LANE, Lanes
from bot.platforms.telegram.rate_limit import ALLOWED, ChatRateLimiter, Limits, Rate
from bot.platforms.telegram.render import MAX_ALERT, MAX_CAPTION, MAX_TEXT, shown
from bot.platforms.text import utf16_length
from bot.store.store import Store
from generator import Temperature, ThreadedGenerator
from testing.inbox import Inbox
from testing.telegram import SECRET_HEADER, Chat, Sent, TelegramServer, User

LENGTH = 60
FAST = Limits(Rate(10_000, 1.0), Rate(10_000, 1.0), Rate(10_000, 1.0))
PNG = b"\x89PNG\r\n\x1a\n"
BUTTONS = ["Again", "Continue", "Hotter", "Colder"]
SECRET = "hook-secret"  # noqa: S105 - opens nothing but the test's own door


class Slow(Commands):
    """The commands, which take their time over a prompt that begins with Slow, and can be told what to say."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.go_on = asyncio.Event()
        self.begun: Inbox[str] = Inbox("slow command")
        self.said: dict[str, Reply] = {}
        self.asked: list[Ask] = []
        self.lost: list[str] = []
        """Platforms of answers that were not delivered."""

    async def handle(self, ask: Ask, where: Where) -> Reply:
        self.asked.append(ask)
        if isinstance(ask, Write | Ladder) and "Slow" in ask.prompt:
            self.begun.put(ask.prompt)
            await self.go_on.wait()
        return self.said.get(name_of(ask)) or await super().handle(ask, where)

    def undelivered(self, platform: str) -> None:
        self.lost.append(platform)

    async def press(self, data: str, where: Where) -> Reply:
        reply = await super().press(data, where)
        if not self.go_on.is_set() and "slow press" in self.said:
            await self.go_on.wait()
        return self.said.get("press") or reply


class Lines(logging.Handler):
    """What is logged, as it comes."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.inbox: Inbox[str] = Inbox("line in the log")

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != "aiosqlite":  # it logs what it stores; `bot.logs` keeps all such libraries quiet
            self.inbox.put(f"{record.levelname} {record.getMessage()} {record.exc_info}")

    async def saying(self, words: str) -> str:
        while words not in (line := await self.inbox.next()):
            pass
        return line

    def count(self, words: str) -> int:
        return sum(words in line for line in self.inbox.all)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Everything that is logged anywhere, at every level."""
    lines, root = Lines(), logging.getLogger()
    before = root.level
    root.addHandler(lines)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(lines)
    root.setLevel(before)


@pytest.fixture
def commands(generator: ThreadedGenerator, store: Store, alice: User) -> Slow:
    return Slow(generator, store, BotSection(length=LENGTH, rest=0.0, operators=(f"telegram:{alice.id}",)))


def section(server: TelegramServer, **others: Any) -> TelegramSection:
    return TelegramSection(token=Secret(server.token), api_url=server.url, **others)


@asynccontextmanager
async def serving(telegram: Telegram) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(telegram.serve())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
async def bot(server: TelegramServer, commands: Slow) -> AsyncIterator[Telegram]:
    """The bot, connected."""
    telegram = Telegram(section(server), commands, limits=FAST)
    polls = server.watch("getUpdates")
    async with serving(telegram):
        await polls.next()
        yield telegram


def connected(telegram: Telegram) -> bool:
    return telegram.connected  # in a function, or the type checker would take it for a constant


# ---- private chats ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bot")
async def test_someone_asks_for_a_text(server: TelegramServer, chat: Chat) -> None:
    await chat.send("/nietzsche 0.7 The philosopher")
    message = await chat.next_message()
    assert message.text.startswith("The philosopher")
    assert len(message.text) > len("The philosopher")
    assert message.labels == BUTTONS
    assert (message.reply_to, message.thread, message.silent, message.preview) == (None, None, False, False)
    [call] = server.calls_of("sendMessage")
    assert "parse_mode" not in call.params.raw
    assert "entities" not in call.params.raw


@pytest.mark.usefixtures("bot")
async def test_what_the_person_should_know_stands_below_the_text(chat: Chat) -> None:
    await chat.send("/nietzsche 0,7 The café")
    message = await chat.next_message()
    assert message.text.startswith("The cafe")
    assert message.text.endswith("(I wrote e for é: my network never saw them.)")


@pytest.mark.usefixtures("bot")
async def test_every_command_is_answered(chat: Chat) -> None:
    answers = {}
    for command in ("start", "help", "about", "temperature 0.9", "nietzsche", "continue", "again", "ladder", "stats"):
        await chat.send(f"/{command}")
        answers[command] = (await chat.next_message()).text
    assert answers["start"].startswith("I write in the manner of")
    assert "/forgetme" in answers["help"]
    assert "weights: tiny-1" in answers["stats"]
    assert answers["temperature 0.9"] == messages.temperature_set(0.9)
    await chat.send("/forgetme")
    assert (await chat.next_message()).text == messages.forgotten(3)


@pytest.mark.usefixtures("bot")
async def test_in_private_every_line_gets_an_answer(chat: Chat) -> None:
    await chat.send("/nietsche 0.7")
    assert (await chat.next_message()).text == messages.unknown("nietsche", "nietzsche")
    await chat.send("The philosopher")
    assert (await chat.next_message()).text == messages.no_command("The philosopher", user_commands())


@pytest.mark.usefixtures("bot")
async def test_what_is_no_text_is_left_alone(chat: Chat) -> None:
    await chat.send("", caption="/help")
    another: dict[str, Any] = {"id": 1, "is_bot": True, "first_name": "B"}
    await chat.send("/help", by=User(chat.server, 1, "B", is_bot=True))
    await chat.send("/help", via_bot=another)
    await chat.send("/start")
    assert (await chat.next_message()).text.startswith("I write")


async def test_edited_messages_are_ignored(server: TelegramServer, bot: Telegram, chat: Chat) -> None:
    typed = await chat.send("/start")
    await chat.next_message()
    await chat.edit(typed, "/help", by=chat.owner)
    server.allowed_updates = []  # updates from before the bot said what it wants may still come
    await chat.edit(typed, "/help", by=chat.owner)
    await chat.send("/temperature")
    assert (await chat.next_message()).text.startswith("You have no temperature")
    assert connected(bot)


# ---- groups -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bot")
async def test_in_a_group_an_answer_is_a_reply(group: Chat, bob: User) -> None:
    typed = await group.send("/nietzsche@lstmega_bot 0,7 The", by=bob)
    message = await group.next_message()
    assert (message.reply_to, message.silent, message.thread) == (typed, False, None)
    assert message.labels == BUTTONS


@pytest.mark.usefixtures("bot")
async def test_in_a_group_what_is_meant_for_others_is_ignored(group: Chat, bob: User) -> None:
    for text in ("/nietzsche@another_bot", "/ban", "/stats", "/usr/bin", "hello", "@lstmega_bot", "/"):
        await group.send(text, by=bob)
    typed = await group.send("/HELP@LSTMega_Bot", by=bob)
    assert (await group.next_message()).reply_to == typed
    typed = await group.send("/ban@lstmega_bot", by=bob)
    message = await group.next_message()
    assert (message.reply_to, message.text) == (typed, messages.unknown("ban", None))


@pytest.mark.usefixtures("bot")
async def test_operators_have_their_commands_in_a_group_too(group: Chat, alice: User) -> None:
    await group.send("/stats", by=alice)
    message = await group.next_message()
    assert message.text.startswith("weights: tiny-1")
    assert message.silent


@pytest.mark.usefixtures("bot")
async def test_a_refusal_in_a_group_rings_no_telephone(group: Chat, bob: User) -> None:
    typed = await group.send("/nietzsche 77", by=bob)
    message = await group.next_message()
    assert message.text.startswith("77 is no temperature of mine")
    assert (message.reply_to, message.silent, message.labels) == (typed, True, [])


@pytest.mark.usefixtures("bot")
async def test_each_topic_of_a_forum_is_a_chat_of_its_own(server: TelegramServer, bob: User) -> None:
    forum = server.supergroup(forum=True)
    await forum.send("/nietzsche 0.7", by=bob, topic=7)
    assert (await forum.next_message()).thread == 7
    await forum.send("/continue", by=bob, topic=8)
    message = await forum.next_message()
    assert (message.thread, message.text) == (8, messages.NOTHING_TO_CONTINUE)
    await forum.send("/continue", by=bob)
    message = await forum.next_message()
    assert (message.thread, message.text) == (None, messages.NOTHING_TO_CONTINUE)
    await forum.send("/continue", by=bob, topic=7)
    message = await forum.next_message()
    assert (message.thread, message.labels) == (7, BUTTONS)
    press = await bob.press(message, "Continue")
    await press.answer()
    assert (await forum.next_message()).thread == 7


@pytest.mark.usefixtures("bot")
async def test_a_reply_thread_is_kept_to_by_replying(server: TelegramServer, group: Chat, bob: User) -> None:
    typed = await group.send("/help", by=bob, thread=99)
    assert (await group.next_message()).reply_to == typed
    assert "message_thread_id" not in server.calls_of("sendMessage")[0].params.raw


@pytest.mark.usefixtures("bot")
async def test_an_anonymous_administrator_is_the_group(group: Chat, store: Store) -> None:
    anonymous = User(group.server, 1087968824, "Group", is_bot=True)
    await group.send("/temperature 0.9", by=anonymous, sender_chat=group.json())
    await group.next_message()
    assert await store.temperature("telegram", str(group.id)) == 0.9


# ---- long texts and pictures --------------------------------------------------------------------------------------


async def test_a_long_text_goes_on_in_the_next_message(
    server: TelegramServer, generator: ThreadedGenerator, store: Store, group: Chat, bob: User
) -> None:
    commands = Commands(generator, store, BotSection(length=3000, rest=0.0))
    async with serving(Telegram(section(server), commands, limits=FAST)):
        typed = await group.send("/ladder The", by=bob)
        while "Continue" not in (await group.next_message()).labels:
            pass
    first, *others = group.messages.all
    assert [message.labels for message in group.messages.all] == [[]] * len(others) + [["Continue"]]
    assert (first.reply_to, others[-1].reply_to) == (typed, None)
    assert all(utf16_length(message.text) <= MAX_TEXT for message in group.messages.all)
    together = " ".join(message.text for message in group.messages.all)
    assert all(f"Temperature {rung}" in together for rung in ("0.5", "0.6", "0.7", "0.8", "0.9"))


def test_a_generated_text_mentions_nobody() -> None:
    text = shown(Reply.of_passages(Passage("ask @someone, a@b, @ c")))
    assert text == "ask @\u2060someone, a@\u2060b, @ c"
    assert shown(Reply.answer("ask @BotFather")) == "ask @BotFather"


async def test_about_comes_with_the_curve(
    chat: Chat, generator: ThreadedGenerator, server: TelegramServer, bot: Telegram
) -> None:
    (generator.weights.folder / "curve.png").write_bytes(PNG)
    await chat.send("/about")
    message = await chat.next_message()
    assert (message.photo, message.text[:22]) == (PNG, "I write in the manner ")
    (generator.weights.folder / "curve.png").write_bytes(b"not a picture")
    await chat.send("/about")
    message = await chat.next_message()
    assert (message.photo, message.text[:22]) == (None, "I write in the manner ")
    assert len(server.calls_of("sendPhoto")) == 2
    assert connected(bot)


@pytest.mark.usefixtures("bot")
async def test_a_text_that_is_too_long_for_a_caption_follows_the_picture(
    commands: Slow, group: Chat, bob: User
) -> None:
    commands.said["about"] = Reply.answer("x" * (MAX_CAPTION + 1), picture=Picture(PNG, "curve.png", "a curve"))
    typed = await group.send("/about", by=bob)
    picture, text = await group.next_message(), await group.next_message()
    assert (picture.photo, picture.text, picture.reply_to) == (PNG, "", typed)
    assert (text.photo, len(text.text), text.reply_to) == (None, MAX_CAPTION + 1, None)


# ---- the menu -----------------------------------------------------------------------------------------------------


async def test_the_menu_is_set_once_for_both_scopes_and_both_languages(server: TelegramServer, commands: Slow) -> None:
    polls = server.watch("getUpdates")
    for _ in range(2):
        async with serving(Telegram(section(server), commands)):
            await polls.next()
    assert len(server.calls_of("setMyCommands")) == 4
    private, private_pt, in_groups, in_groups_pt = (
        {command["command"]: command["description"] for command in server.commands[scope, language]}
        for scope in ("all_private_chats", "all_group_chats")
        for language in ("", "pt")
    )
    assert private == {name: note.purpose for name, note in user_commands().items()}
    assert private_pt == {name: COMMANDS[name].portuguese for name in user_commands()}
    assert in_groups == {name: purpose for name, purpose in private.items() if name != "start"}
    assert in_groups_pt.keys() == in_groups.keys()
    server.commands[BotCommandScopeAllGroupChats().type, ""] = []
    async with serving(Telegram(section(server), commands)):
        await polls.next()
    assert len(server.calls_of("setMyCommands")) == 5


async def test_without_a_menu_the_bot_works(server: TelegramServer, commands: Slow, chat: Chat, lines: Lines) -> None:
    server.fail(500, method="getMyCommands")
    async with serving(Telegram(section(server), commands)):
        await chat.send("/start")
        await chat.next_message()
    assert lines.count("the list of commands stays as it was") == 1


# ---- buttons ------------------------------------------------------------------------------------------------------


async def first_text(chat: Chat, by: User) -> Sent:
    await chat.send("/nietzsche 0.7 The", by=by)
    return await chat.next_message()


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("label", BUTTONS)
async def test_a_button_gives_the_person_another_text(group: Chat, bob: User, label: str) -> None:
    message = await first_text(group, bob)
    press = await bob.press(message, label)
    assert await press.answer() == ("", False)
    answer = await group.next_message()
    assert answer.reply_to == message.id
    assert answer.text.startswith("The") == (label != "Continue")
    assert answer.labels == BUTTONS


@pytest.mark.usefixtures("bot")
async def test_nobody_else_may_press(group: Chat, alice: User, bob: User) -> None:
    message = await first_text(group, bob)
    press = await alice.press(message, "Again")
    assert await press.answer() == (messages.NOT_YOUR_TEXT, True)
    assert group.messages.unread == 0


async def test_old_buttons_work_after_a_restart(
    server: TelegramServer, generator: ThreadedGenerator, store: Store, chat: Chat, alice: User
) -> None:
    settings = BotSection(length=LENGTH, rest=0.0)
    async with serving(Telegram(section(server), Commands(generator, store, settings))):
        message = await first_text(chat, alice)
    press = await alice.press(message, "Continue")
    async with serving(Telegram(section(server), Commands(generator, store, settings))):
        assert await press.answer() == ("", False)
        assert (await chat.next_message()).labels == BUTTONS


@pytest.mark.usefixtures("bot")
async def test_a_press_that_takes_long_stops_the_spinner_first(
    commands: Slow, chat: Chat, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "PRESS_PATIENCE", 0.05)
    message = await first_text(chat, alice)
    commands.said["slow press"] = Reply.answer("")
    press = await alice.press(message, "Again")
    assert await press.answer() == ("", False)
    assert chat.messages.unread == 0
    commands.go_on.set()
    assert (await chat.next_message()).labels == BUTTONS


@pytest.mark.usefixtures("bot")
async def test_a_press_that_telegram_has_forgotten_is_no_error(
    server: TelegramServer, chat: Chat, alice: User, bob: User, lines: Lines
) -> None:
    message = await first_text(chat, alice)
    with server.gathered():
        mine, theirs = await alice.press(message, "Again"), await bob.press(message, "Again")
        mine.expired = theirs.expired = True
    assert (await chat.next_message()).labels == BUTTONS
    await lines.saying("too late")
    await lines.saying("too late")
    assert not [line for line in lines.inbox.all if line.startswith(("WARNING", "ERROR"))]


@pytest.mark.usefixtures("bot")
async def test_an_alert_is_cut_to_its_length_and_a_long_answer_is_a_message(
    commands: Slow, chat: Chat, alice: User
) -> None:
    message = await first_text(chat, alice)
    commands.said["press"] = Reply.refusal("word " * 100)
    text, alert = await (await alice.press(message, "Again")).answer()
    assert alert
    assert len(text) <= MAX_ALERT
    assert text.endswith("word…")
    commands.said["press"] = Reply.answer("word " * 100, private=True)
    assert await (await alice.press(message, "Again")).answer() == ("", False)
    assert (await chat.next_message()).text == ("word " * 100).strip()


@pytest.mark.usefixtures("bot")
async def test_a_button_on_a_message_that_is_too_old_to_be_shown(
    server: TelegramServer, chat: Chat, alice: User
) -> None:
    message = await first_text(chat, alice)
    inaccessible = {"chat": chat.json(), "message_id": message.id, "date": 0}
    query = {"id": "old", "from": alice.json(), "chat_instance": "1", "data": message.data("Again")}
    await server.add_update("callback_query", query | {"message": inaccessible})
    assert (await chat.next_message()).labels == BUTTONS


# ---- inline mode --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bot")
async def test_a_text_in_any_chat(server: TelegramServer, commands: Slow, alice: User) -> None:
    query = await alice.inline("0.7 The philosopher")
    [result] = await query.answer()
    assert result["title"] == messages.INLINE_TITLE
    assert result["description"] == "0.7 The philosopher"
    assert commands.asked == []
    assert 0 < server.calls_of("answerInlineQuery")[0].params.integer("cache_time") <= 300
    message = await query.choose()
    assert message.text == messages.INLINE_PLACEHOLDER
    text = await message.next_edit()
    assert text.startswith("The philosopher")
    assert (message.labels, message.preview) == (BUTTONS, False)
    assert commands.asked == [Write(Temperature(0.7), "The philosopher")]
    assert server.calls_of("sendChatAction") == []


@pytest.mark.usefixtures("bot")
async def test_buttons_of_an_inline_message_change_it(alice: User, bob: User) -> None:
    query = await alice.inline("The")
    await query.answer()
    message = await query.choose()
    await message.next_edit()
    press = await bob.press(message, "Again")
    assert await press.answer() == (messages.NOT_YOUR_TEXT, True)
    press = await alice.press(message, "Again")
    assert await press.answer() == ("", False)
    assert (await message.next_edit()).startswith("The")


@pytest.mark.usefixtures("bot")
async def test_nobody_writes_into_an_inline_message_of_somebody_else(alice: User, bob: User) -> None:
    """A client of one's own sends any data for any message that it sees, such as that of one's own button."""
    messages_of = {}
    for person in (alice, bob):
        query = await person.inline("The")
        await query.answer()
        messages_of[person] = await query.choose()
        await messages_of[person].next_edit()
    theirs = messages_of[alice]
    for label in ("Again", "Continue"):
        own = messages_of[bob].data(label)
        for data in (own, own.rpartition(":")[0], f"{own.rpartition(':')[0]}:{theirs.data(label).rpartition(':')[2]}"):
            press = await bob.press_data(theirs, data)
            assert await press.answer() == (messages.NO_SUCH_BUTTON, True)
    assert await (await bob.press(messages_of[bob], "Again")).answer() == ("", False)
    await messages_of[bob].next_edit()
    assert theirs.edits.unread == 0


@pytest.mark.usefixtures("bot")
async def test_the_button_of_a_placeholder_says_that_the_text_is_coming(
    server: TelegramServer, commands: Slow, alice: User, bob: User
) -> None:
    query = await alice.inline("Slow The")
    await query.answer()
    message = await query.choose()
    await commands.begun.next()
    press = await bob.press(message, "…")
    assert await press.answer() == (messages.INLINE_WAIT, False)
    commands.go_on.set()
    await message.next_edit()
    assert len(server.calls_of("editMessageText")) == 1


@pytest.mark.usefixtures("bot")
async def test_only_the_last_of_quick_inline_queries_is_answered(server: TelegramServer, alice: User) -> None:
    with server.gathered():
        early = [await alice.inline("The philosopher"[:end]) for end in range(5, 15)]
        last = await alice.inline("The philosopher")
    await last.answer()
    assert not any(query.answers.all for query in early)


async def test_an_inline_query_from_before_the_start_is_no_error(
    server: TelegramServer, commands: Slow, alice: User, lines: Lines
) -> None:
    query = await alice.inline("0.7")
    del server.queries[query.id]
    async with serving(Telegram(section(server), commands)):
        await lines.saying("too late")
    assert not [line for line in lines.inbox.all if line.startswith(("WARNING", "ERROR"))]


@pytest.mark.usefixtures("bot")
async def test_an_inline_refusal_takes_the_placeholder_s_place(alice: User, lines: Lines) -> None:
    query = await alice.inline("77")
    await query.answer()
    message = await query.choose()
    assert (await message.next_edit()).startswith("77 is no temperature")
    assert message.labels == []
    query.results[0].pop("reply_markup")
    await query.choose()
    await lines.saying("without an identifier")


@pytest.mark.usefixtures("bot")
async def test_an_unchanged_inline_message_is_no_error(commands: Slow, alice: User, lines: Lines) -> None:
    same = Reply(Kind.TEXT, "the same", (Passage("the same"),), actions=(Action("Again", "again"),))
    commands.said["nietzsche"] = commands.said["press"] = same
    query = await alice.inline("0.7")
    await query.answer()
    message = await query.choose()
    await message.next_edit()
    assert await (await alice.press(message, "Again")).answer() == ("", False)
    commands.said["press"] = Reply.refusal("enough")
    assert await (await alice.press(message, "Again")).answer() == ("enough", True)
    assert message.edits.unread == 0
    assert not [line for line in lines.inbox.all if line.startswith(("WARNING", "ERROR"))]


# ---- typing -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bot")
async def test_typing_is_shown_again_and_again_while_a_text_is_written(
    server: TelegramServer, commands: Slow, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram_delivery, "TYPING_AFTER", 0.01)
    monkeypatch.setattr(telegram_delivery, "TYPING_EVERY", 0.02)
    forum = server.supergroup(forum=True)
    await forum.send("/nietzsche Slow", by=bob, topic=3)
    for _ in range(3):
        params = await forum.actions.next()
        assert (params.text("action"), params.integer("message_thread_id")) == ("typing", 3)
    commands.go_on.set()
    await forum.next_message()


@pytest.mark.usefixtures("bot")
async def test_a_quick_answer_needs_no_typing(server: TelegramServer, chat: Chat) -> None:
    await chat.send("/temperature")
    await chat.next_message()
    assert server.calls_of("sendChatAction") == []
    assert telegram_delivery.TYPING_EVERY < 5


# ---- limits -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bot")
async def test_a_429_keeps_one_chat_waiting_and_no_other(
    server: TelegramServer, chat: Chat, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram_delivery, "TYPING_AFTER", 0.0)
    other = server.private(bob)
    flood = server.flood(chat, retry_after=2, method="sendMessage")
    began = asyncio.get_running_loop().time()
    with server.gathered():
        await chat.send("/temperature")
        await chat.send("/help")
        for _ in range(3):
            await other.send("/start")
    for _ in range(3):
        await other.next_message()
    assert asyncio.get_running_loop().time() - began < 1.5
    assert (await chat.next_message()).text.startswith("You have no temperature")
    assert asyncio.get_running_loop().time() - began >= 2
    assert "/forgetme" in (await chat.next_message()).text
    assert flood.hits == 1  # nothing was sent there before its time


@pytest.mark.usefixtures("bot")
async def test_a_429_for_an_answer_to_a_press_is_waited_for(server: TelegramServer, chat: Chat, alice: User) -> None:
    message = await first_text(chat, alice)
    flood = server.flood(retry_after=1, method="answerCallbackQuery")
    press = await alice.press(message, "Again")
    assert await press.answer() == ("", False)
    assert flood.hits == 1
    await chat.next_message()


@pytest.mark.usefixtures("bot")
async def test_typing_is_left_out_where_telegram_wants_nothing(
    server: TelegramServer, commands: Slow, chat: Chat, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    monkeypatch.setattr(telegram_delivery, "TYPING_AFTER", 0.0)
    server.flood(chat, retry_after=1, method="sendChatAction")
    await chat.send("/nietzsche Slow")
    await lines.saying("typing was not shown: RetryAfter")
    commands.go_on.set()
    assert (await chat.next_message()).labels == BUTTONS
    assert len(server.calls_of("sendChatAction")) == 1


class Sends:
    """A rate limiter, and when it let each message through."""

    def __init__(self, limits: Limits) -> None:
        self.limiter = ChatRateLimiter(limits)
        self.times: dict[Any, list[float]] = {}
        self.fail: list[RetryAfter] = []

    async def send(self, chat: int | None, endpoint: str = "sendMessage") -> None:
        async def request() -> bool:
            if self.fail:
                raise self.fail.pop()
            self.times.setdefault(chat, []).append(asyncio.get_running_loop().time())
            return True

        data = {} if chat is None else {"chat_id": chat}
        assert await self.limiter.process_request(request, (), {}, endpoint, data, None)

    async def together(self, *chats: int | None) -> None:
        async with asyncio.TaskGroup() as tasks:
            for chat in chats:
                tasks.create_task(self.send(chat))


def most_within(times: list[float], seconds: float) -> int:
    return max(sum(0 <= other - time < seconds - 0.005 for other in times) for time in times)


async def test_a_chat_gets_a_burst_and_then_its_share() -> None:
    sends = Sends(Limits(chat=Rate(2, 0.2), group=Rate(3, 0.5), overall=Rate(100, 1.0)))
    await sends.together(*[1] * 6, *[2] * 2, *[-3] * 6)
    assert most_within(sends.times[1], 0.2) == 2
    assert most_within(sends.times[-3], 0.5) == 3
    assert most_within(sends.times[-3], 0.2) == 2
    assert sends.times[2][-1] < sends.times[1][2]  # the first chat's wait is its own
    assert 0.4 <= sends.times[1][-1] - sends.times[1][0] < 2.0


async def test_all_chats_together_keep_to_the_whole() -> None:
    sends = Sends(Limits(overall=Rate(5, 0.3)))
    await sends.together(*range(1, 13))
    assert most_within([time for times in sends.times.values() for time in times], 0.3) == 5
    await sends.together(None, None)
    assert len(sends.times[None]) == 2


async def test_a_crowd_that_waits_is_not_told_of_typing_without_end() -> None:
    sends = Sends(Limits(typing=Rate(3, 0.2)))
    for chat in range(3):
        await sends.send(chat, "sendChatAction")
    with pytest.raises(RetryAfter):
        await sends.send(4, "sendChatAction")
    await sends.send(4)  # a message is another matter
    await asyncio.sleep(0.25)
    await sends.send(4, "sendChatAction")


async def test_how_long_a_chat_would_have_to_wait_is_known_beforehand() -> None:
    sends = Sends(Limits(chat=Rate(2, 10.0), group=Rate(3, 60.0)))
    assert [round(sends.limiter.wait(1, ahead)) for ahead in range(5)] == [0, 0, 10, 10, 20]
    assert [round(sends.limiter.wait(-1, ahead)) for ahead in range(5)] == [0, 0, 10, 60, 60]
    await sends.send(-1)
    assert [round(sends.limiter.wait(-1, ahead)) for ahead in range(5)] == [0, 10, 60, 60, 70]


async def test_messages_that_were_next_wait_for_a_429_too() -> None:
    sends = Sends(Limits(chat=Rate(1, 0.1)))
    sends.fail = [RetryAfter(1)]
    began = asyncio.get_running_loop().time()
    await sends.together(1, 1, 2)
    assert min(sends.times[1]) >= began + 1
    assert min(sends.times[2]) < began + 0.5


async def test_a_wait_that_nobody_would_wait_for_is_an_error_at_once() -> None:
    sends = Sends(Limits(chat=Rate(1, 2 * rate_limit.LONGEST_WAIT)))
    await sends.send(1)
    with pytest.raises(RetryAfter):
        await sends.send(1)
    sends = Sends(ALLOWED)
    sends.fail = [RetryAfter(3600)]
    with pytest.raises(RetryAfter):
        await sends.send(1)
    with pytest.raises(RetryAfter):  # and nothing is sent before the hour is over
        await sends.send(1)
    assert sends.times == {}


async def test_chats_at_rest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "_SWEEP_AT", 10)
    sends = Sends(Limits(chat=Rate(1, 0.01), group=Rate(1, 0.01)))
    await sends.together(*range(1, 11))
    await asyncio.sleep(0.02)
    await sends.send(99)
    assert list(sends.limiter._chats) == [99]


def test_the_limits_are_those_that_telegram_documents() -> None:
    assert (ALLOWED.overall, ALLOWED.group) == (Rate(30, 1.0), Rate(20, 60.0))
    assert ALLOWED.chat.count / ALLOWED.chat.seconds == 1


# ---- order --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bot")
async def test_a_slow_chat_holds_up_nobody(server: TelegramServer, commands: Slow, chat: Chat, bob: User) -> None:
    group = server.group()
    await chat.send("/nietzsche Slow")
    await commands.begun.next()
    await group.send("/nietzsche 0.7", by=bob)
    await group.next_message()
    assert chat.owner is not None
    await group.send("/temperature", by=chat.owner)  # the same person, elsewhere
    await group.next_message()
    assert chat.messages.unread == 0
    commands.go_on.set()
    await chat.next_message()


@pytest.mark.usefixtures("bot")
async def test_commands_of_one_person_in_one_chat_keep_their_order(
    commands: Slow, group: Chat, alice: User, bob: User
) -> None:
    slow = await group.send("/nietzsche Slow", by=bob)
    await commands.begun.next()
    second = await group.send("/temperature", by=bob)
    third = await group.send("/continue", by=bob)
    theirs = await group.send("/temperature", by=alice)
    assert (await group.next_message()).reply_to == theirs
    assert group.messages.unread == 0
    commands.go_on.set()
    assert [(await group.next_message()).reply_to for _ in range(3)] == [slow, second, third]


async def fill_the_lane(commands: Slow, chat: Chat, alice: User) -> None:
    """The first is being answered, and as many wait behind it as may."""
    commands.go_on.clear()
    await chat.send("/nietzsche Slow", by=alice)
    await commands.begun.next()
    for _ in range(LONGEST_LANE):
        await chat.send("/temperature", by=alice)


@pytest.mark.usefixtures("bot")
async def test_who_asks_faster_than_anybody_reads_is_told_so_once_until_they_are_answered(
    commands: Slow, group: Chat, alice: User, bob: User
) -> None:
    for _ in range(2):
        await fill_the_lane(commands, group, alice)
        surplus = [await group.send("/temperature", by=alice) for _ in range(5)]
        theirs = await group.send("/temperature", by=bob)
        refusal, answer = await group.next_message(), await group.next_message()
        assert (refusal.text, refusal.reply_to, refusal.silent) == (messages.LANE_FULL, surplus[0], True)
        assert answer.reply_to == theirs
        commands.go_on.set()
        answers = [await group.next_message() for _ in range(1 + LONGEST_LANE)]
        assert not {message.reply_to for message in answers} & set(surplus)
        assert group.messages.unread == 0


@pytest.mark.usefixtures("bot")
async def test_every_press_and_every_inline_message_is_answered_even_where_too_many_wait(
    commands: Slow, chat: Chat, alice: User
) -> None:
    message = await first_text(chat, alice)
    await fill_the_lane(commands, chat, alice)
    for press in [await alice.press(message, "Again") for _ in range(3)]:
        assert await press.answer() == (messages.LANE_FULL, True)
    await chat.send("/temperature")  # nobody was told aloud yet
    assert (await chat.next_message()).text == messages.LANE_FULL
    assert utf16_length(messages.LANE_FULL) <= MAX_ALERT
    assert utf16_length(messages.CHAT_FULL) <= MAX_ALERT
    assert utf16_length(messages.CROWD) <= MAX_ALERT
    commands.go_on.set()
    for _ in range(1 + LONGEST_LANE):
        await chat.next_message()

    commands.go_on.clear()
    chosen = []
    for number in range(2 + LONGEST_LANE):
        query = await alice.inline(f"Slow {number}")
        await query.answer()
        chosen.append(await query.choose())
        if not number:
            await commands.begun.next()
    assert await chosen[-1].next_edit() == messages.LANE_FULL
    assert chosen[-1].labels == []


@pytest.mark.usefixtures("bot")
async def test_the_last_inline_query_is_answered_however_many_wait(server: TelegramServer, alice: User) -> None:
    held = server.hold(method="answerInlineQuery")
    first = await alice.inline("T")
    await held.met()
    for end in range(2 * LONGEST_LANE):
        last = await alice.inline(f"The philosopher {end}")
    await server.watch("getUpdates").next()  # the bot has taken them
    held.release()
    assert await first.answer()
    assert (await last.answer())[0]["description"] == f"The philosopher {end}"


@pytest.mark.usefixtures("bot")
async def test_who_has_waited_too_long_is_told_to_come_back(
    commands: Slow, chat: Chat, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await first_text(chat, alice)
    await chat.send("/nietzsche Slow")
    await commands.begun.next()
    await chat.send("/nietzsche 0.7")
    await alice.press(message, "Again")
    await chat.send("/temperature")
    monkeypatch.setattr(admission, "LONGEST_WAIT", 0.05)
    await asyncio.sleep(0.1)
    commands.go_on.set()
    late = messages.explain(admission.TooLate(0.0))
    assert [(await chat.next_message()).text for _ in range(2)] == [late, late]
    assert (await chat.next_message()).text.startswith("You have no temperature"), "that takes no time"
    monkeypatch.undo()
    await chat.send("/nietzsche 0.7")
    assert (await chat.next_message()).labels == BUTTONS


async def test_a_group_that_asks_for_more_than_telegram_lets_the_bot_say_is_told_so(
    server: TelegramServer, commands: Slow, group: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "LONGEST_BACKLOG", 0.6)
    limits = Limits(Rate(10_000, 1.0), Rate(10_000, 1.0), group=Rate(3, 1.0))
    async with serving(Telegram(section(server), commands, limits=limits)):
        everybody = [server.user(f"Person {number}") for number in range(8)]
        message = await first_text(group, everybody[0])
        with server.gathered():
            for person in everybody:
                await group.send("/temperature", by=person)
            press = await everybody[0].press(message, "Again")
        assert await press.answer() == (messages.CHAT_FULL, True)
        texts = [(await group.next_message()).text for _ in range(3)]
        assert sum(text.startswith("You have no temperature") for text in texts) == 2
        assert messages.CHAT_FULL in texts
        await asyncio.sleep(0.7)
        await group.send("/help", by=everybody[7])
        assert "/forgetme" in (await group.next_message()).text


async def test_when_all_chats_ask_for_more_than_telegram_lets_through_some_are_told_and_nobody_waits_long(
    server: TelegramServer, commands: Slow, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "LONGEST_CROWD", 0.5)
    limits = Limits(overall=Rate(4, 1.5), refusals=Rate(2, 60.0))
    async with serving(Telegram(section(server), commands, limits=limits)):
        chats = [server.private(server.user(f"Person {number}")) for number in range(8)]
        with server.gathered():
            for chat in chats:
                await chat.send("/temperature")
        await lines.saying("more is asked for than Telegram lets a bot answer")
        for chat in chats[:4]:
            assert (await chat.next_message()).text.startswith("You have no temperature")
        assert [(await chat.next_message()).text for chat in chats[4:6]] == [messages.CROWD] * 2
        await asyncio.sleep(1.5)
        await chats[6].send("/temperature")
        assert (await chats[6].next_message()).text.startswith("You have no temperature")
        assert not chats[7].messages.all


@pytest.mark.usefixtures("bot")
async def test_an_update_that_comes_twice_is_answered_once(server: TelegramServer, chat: Chat) -> None:
    await chat.send("/start")
    await chat.next_message()
    server.redeliver(server.last_update_id)
    await chat.send("/temperature")
    assert (await chat.next_message()).text.startswith("You have no temperature")


@pytest.mark.usefixtures("bot")
async def test_updates_in_the_wrong_order_are_all_answered_in_the_right_one_and_confirmed(
    server: TelegramServer, chat: Chat
) -> None:
    polls = server.watch("getUpdates")
    with server.gathered(reverse=True):
        await chat.send("/start")
        await chat.send("/temperature")
    assert (await chat.next_message()).text.startswith("I write")
    assert (await chat.next_message()).text.startswith("You have no temperature")
    assert (await polls.next()).params.integer("offset") == server.last_update_id + 1
    assert server.pending == 0


async def test_a_lane_has_an_end_and_leaves_nothing_behind() -> None:
    go_on, done = asyncio.Event(), []

    async def work() -> None:
        await go_on.wait()
        done.append(1)

    async with Lanes() as lanes:
        assert all(lanes.put("a", work) for _ in range(LONGEST_LANE))
        assert not lanes.put("a", work)
        assert lanes.put("b", work)
        go_on.set()
        await lanes.settled()
        assert (len(done), len(lanes)) == (LONGEST_LANE + 1, 0)
        await lanes.settled()
        go_on.clear()
        lanes.put("a", work)
        waiting = asyncio.create_task(lanes.settled())
        await asyncio.sleep(0)
    async with asyncio.timeout(1):
        await waiting
    assert len(done) == LONGEST_LANE + 1


def test_updates_are_remembered_for_a_while() -> None:
    seen = Seen()
    assert all(seen.add(number) for number in range(5000))
    assert not seen.add(4999)
    assert len(seen._ids) < 5000


# ---- chats that are gone, networks that fail ----------------------------------------------------------------------


async def test_a_person_who_blocks_the_bot_stops_nothing(
    commands: Slow, bot: Telegram, chat: Chat, bob: User, lines: Lines
) -> None:
    chat.block()
    await chat.send("/nietzsche")
    await lines.saying("bot was blocked by the user")
    other = chat.server.private(bob)
    await other.send("/start")
    await other.next_message()
    chat.barred = ""
    await chat.send("/start")
    await chat.next_message()
    assert connected(bot)
    assert commands.lost == [], "that is their right, and no failure of the platform's"
    assert not [line for line in lines.inbox.all if line.startswith(("WARNING", "ERROR"))]


@pytest.mark.usefixtures("bot")
async def test_a_group_that_becomes_a_supergroup_meanwhile_is_answered_there(
    server: TelegramServer, commands: Slow, bob: User
) -> None:
    group = server.group()
    await group.send("/nietzsche Slow", by=bob)
    await commands.begun.next()
    new = await group.upgrade()
    commands.go_on.set()
    message = await new.next_message()
    assert (message.labels, message.reply_to) == (BUTTONS, None)


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("told", ["in the old one", "in the new one", "by an error"])
async def test_in_a_group_that_became_a_supergroup_everybody_goes_on(
    server: TelegramServer, commands: Slow, bob: User, told: str, lines: Lines
) -> None:
    group = server.group()
    first = await first_text(group, bob)
    anonymous = User(server, 1087968824, "Group", is_bot=True)
    await group.send("/nietzsche 0.7 Of", by=anonymous, sender_chat=group.json())
    theirs = await group.next_message()
    if told == "by an error":
        await group.send("/nietzsche 0.7 Slow The", by=bob)
        await commands.begun.next()
    new = await group.upgrade(told_here=told == "in the old one", told_there=told == "in the new one")
    if told == "by an error":
        commands.go_on.set()
        first = await new.next_message()
        assert first.text.startswith("Slow The")
    await lines.saying("chat.migrated platform=telegram")

    await bob.press(first, "Again")  # it stands in the old chat for all that Telegram tells
    again = await new.next_message()
    assert again.labels == BUTTONS
    await new.send("/continue", by=bob)
    assert (await new.next_message()).labels == BUTTONS
    await bob.press(theirs, "Continue")
    assert (await new.next_message()).labels == BUTTONS
    await new.send("/continue", by=anonymous, sender_chat=new.json())
    assert (await new.next_message()).labels == BUTTONS


@pytest.mark.usefixtures("bot")
async def test_anybody_may_press_under_what_a_group_asked_for_in_its_own_name(
    group: Chat, alice: User, bob: User, store: Store
) -> None:
    anonymous = User(group.server, 1087968824, "Group", is_bot=True)
    channel = {"id": -1009, "type": "channel", "title": "A channel"}
    for sender in (group.json(), channel):
        await group.send("/nietzsche 0.7 The", by=anonymous, sender_chat=sender)
        message = await group.next_message()
        for person, label in ((alice, "Continue"), (bob, "Hotter")):
            press = await person.press(message, label)
            assert await press.answer() == ("", False)
            answer = await group.next_message()
            assert answer.labels == BUTTONS
        kept = await store.conversation("telegram", str(group.id), str(sender["id"]))
        assert kept is not None
        assert kept.temperature == 0.8
    assert await store.conversation("telegram", str(group.id), str(bob.id)) is None


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("trouble", ["page", "cut", "down"])
async def test_an_answer_is_sent_again_when_the_network_fails(
    server: TelegramServer, commands: Slow, chat: Chat, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram_delivery, "RETRY_PAUSES", (0.05,) * 10)
    monkeypatch.setattr(receivers, "FIRST_PAUSE", 0.05)
    if trouble == "page":
        server.fail(503, method="sendMessage", times=2)
    elif trouble == "cut":
        server.drop(method="sendMessage", times=2)
    await chat.send("/nietzsche Slow")
    await commands.begun.next()
    if trouble == "down":
        await server.down()
    commands.go_on.set()
    if trouble == "down":
        await server.up()
    assert (await chat.next_message()).labels == BUTTONS
    await chat.send("/start")
    assert (await chat.next_message()).text.startswith("I write")


async def test_an_answer_that_may_have_arrived_is_not_said_twice(
    server: TelegramServer, commands: Slow, chat: Chat, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot_client, "_READ_SECONDS", 0.2)
    monkeypatch.setattr(telegram_delivery, "RETRY_PAUSES", (0.01,))
    async with serving(Telegram(section(server), commands)):
        fault = server.hold(method="sendMessage", times=1)
        await chat.send("/start")
        assert (await chat.next_message()).text == messages.UNCONFIRMED  # for only the person can see
        await lines.saying("an answer was not delivered: Timed out")
        fault.release()
        await chat.send("/temperature")
        while not (await chat.next_message()).text.startswith("You have no temperature"):
            pass  # it arrived after all
    assert len(server.calls_of("sendMessage")) == 3


@pytest.mark.usefixtures("bot")
async def test_an_answer_that_telegram_refuses_is_counted_and_logged_without_its_text(
    server: TelegramServer, commands: Slow, chat: Chat, lines: Lines
) -> None:
    del server.chats[chat.id]
    await chat.send("/nietzsche 0.7 The philosopher")
    line = await lines.saying("an answer was not delivered")
    assert "Chat not found" in line
    assert commands.lost == ["telegram"]
    server.chats[chat.id] = chat
    await chat.send("/start")
    await chat.next_message()


@pytest.mark.usefixtures("bot")
async def test_a_defect_is_logged_and_stops_nobody(commands: Slow, chat: Chat, lines: Lines) -> None:
    commands.said["about"] = None  # type: ignore[assignment]
    commands.said["help"] = "no reply"  # type: ignore[assignment]
    await chat.send("/help")
    await lines.saying("an update failed")
    await chat.send("/start")
    await chat.next_message()


# ---- coming and going ---------------------------------------------------------------------------------------------


async def test_a_token_that_telegram_refuses_is_final(server: TelegramServer, commands: Slow) -> None:
    telegram = Telegram(section(server), commands)
    server.revoke()
    with pytest.raises(BadToken, match=r"^Telegram refuses the token") as refused:
        await telegram.serve()
    assert str(refused.value) == REFUSED
    assert refused.value.__suppress_context__
    assert not connected(telegram)


async def test_a_token_that_is_revoked_while_the_bot_polls_is_final(server: TelegramServer, commands: Slow) -> None:
    telegram = Telegram(section(server), commands)
    polls = server.watch("getUpdates")
    async with serving(telegram) as task:
        await polls.next()
        server.revoke()
        await server.down()
        await server.up()
        with pytest.raises(BadToken):
            await task


async def test_a_token_that_is_refused_for_an_answer_is_final(
    server: TelegramServer, commands: Slow, chat: Chat
) -> None:
    polls = server.watch("getUpdates")
    async with serving(Telegram(section(server), commands)) as task:
        await polls.next()
        await chat.send("/nietzsche Slow")
        await commands.begun.next()
        server.revoke()
        commands.go_on.set()
        with pytest.raises(BadToken):
            await task


@pytest.mark.parametrize("trouble", ["down", "page", "no Telegram"])
async def test_when_telegram_is_away_at_the_start_trying_again_makes_sense(
    server: TelegramServer, commands: Slow, chat: Chat, trouble: str
) -> None:
    telegram = Telegram(section(server), commands)
    if trouble == "down":
        await server.down()
    else:
        server.fail(502 if trouble == "page" else 404, method="getMe")
    with pytest.raises(Unreachable) as away:
        await telegram.serve()
    assert server.token not in str(away.value)
    assert not connected(telegram)
    if trouble == "down":
        await server.up()
    await chat.send("/start")
    async with serving(telegram):
        await chat.next_message()


async def test_a_network_that_fails_while_polling_is_told_once_and_waited_for(
    server: TelegramServer, bot: Telegram, chat: Chat, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "FIRST_PAUSE", 0.02)
    polls = server.watch("getUpdates")
    server.fail(502, method="getUpdates", times=4)
    await chat.send("/start")
    await chat.next_message()
    for _ in range(4):
        await polls.next()
    await chat.send("/start")
    await chat.next_message()
    await lines.saying("arrive again")
    assert lines.count("no updates from Telegram") == 1
    assert connected(bot)
    await server.down()
    await lines.saying("no updates from Telegram")
    assert not connected(bot)
    await server.up()
    await chat.send("/start")
    await chat.next_message()
    await lines.saying("arrive again")
    assert connected(bot)
    assert server.token not in "\n".join(lines.inbox.all)


async def test_a_429_for_polling_is_waited_for(server: TelegramServer, commands: Slow, chat: Chat) -> None:
    flood = server.flood(retry_after=1, method="getUpdates")
    telegram = Telegram(section(server), commands)
    async with serving(telegram):
        await chat.send("/start")
        await chat.next_message()
        assert connected(telegram)
    assert flood.hits == 1


async def test_another_instance_that_polls_is_told_of(
    server: TelegramServer, bot: Telegram, chat: Chat, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "FIRST_PAUSE", 0.02)
    async with ClientSession() as session:
        async with session.get(f"{server.url}/bot{server.token}/getUpdates", params={"timeout": 1}):
            await lines.saying("terminated by other getUpdates request")
        await chat.send("/start")
        await chat.next_message()
    await lines.saying("arrive again")
    assert connected(bot)


async def test_an_update_that_cannot_be_read_is_stepped_over(
    server: TelegramServer, bot: Telegram, chat: Chat, lines: Lines
) -> None:
    await server.add_update("message", {"message_id": "?", "surprise": 1})
    await chat.send("/start")
    await chat.next_message()
    await lines.saying("cannot be read")
    assert lines.count("cannot be read") == 1
    assert connected(bot)


async def test_draining_answers_what_was_taken_and_those_who_come_meanwhile(
    server: TelegramServer, commands: Slow, chat: Chat, bob: User
) -> None:
    telegram = Telegram(section(server), commands, limits=FAST)
    await telegram.drain()  # before there is anything to drain
    other = server.private(bob)
    async with serving(telegram) as task:
        await chat.send("/nietzsche Slow")
        await commands.begun.next()
        draining = asyncio.create_task(telegram.drain())
        commands.close()
        hold = server.hold(chat=other, method="sendMessage")
        await other.send("/nietzsche 0.7")
        await hold.met()
        assert not draining.done()
        commands.go_on.set()
        await chat.next_message()
        await asyncio.wait({draining}, timeout=0.2)
        assert not draining.done()  # who came late is owed an answer too
        hold.release()
        async with asyncio.timeout(5):
            await draining
        assert [message.text for message in other.messages.all] == [messages.RESTARTING]
        assert not connected(telegram)
        assert not task.done()
        await other.send("/start")
    assert task.cancelled()
    assert server.pending == 1  # it waits for the next start
    assert len(other.messages.all) == 1


async def test_what_was_taken_before_the_end_does_not_come_again(
    server: TelegramServer, commands: Slow, chat: Chat
) -> None:
    polls = server.watch("getUpdates")
    async with serving(Telegram(section(server), commands, limits=FAST)):
        await polls.next()
        hold = server.hold(method="getUpdates", times=1)
        await chat.send("/nietzsche Slow")
        await commands.begun.next()
        await hold.met()  # the poll that would confirm it does not get through
    assert server.pending == 0
    hold.release()


async def test_leaving_in_the_middle_of_a_text_leaves_no_task_behind(
    server: TelegramServer, commands: Slow, chat: Chat
) -> None:
    async with serving(Telegram(section(server), commands)):
        await chat.send("/nietzsche Slow")
        await commands.begun.next()
        await chat.send("/start")
    assert chat.messages.unread == 0


# ---- webhook ------------------------------------------------------------------------------------------------------


def hook(server: TelegramServer, port: int, secret: str = SECRET) -> TelegramSection:
    url = f"http://127.0.0.1:{port}/telegram/hook"
    return section(server, webhook_url=url, webhook_secret=Secret(secret), webhook_port=port)


async def test_updates_through_a_webhook(
    server: TelegramServer, commands: Slow, chat: Chat, unused_tcp_port: int
) -> None:
    telegram = Telegram(hook(server, unused_tcp_port), commands, limits=FAST)
    calls = server.watch("setWebhook")
    async with serving(telegram):
        call = await calls.next()
        assert call.params.text("secret_token") == SECRET
        await chat.send("/nietzsche 0.7")
        assert (await chat.next_message()).labels == BUTTONS
        assert connected(telegram)
        server.redeliver(server.last_update_id)
        await chat.send("/start")
        assert (await chat.next_message()).text.startswith("I write")
        await telegram.drain()
        assert not connected(telegram)
        await chat.send("/start")
        assert await server.webhook_statuses.next() == 200
    assert server.calls_of("getUpdates") == []
    async with serving(Telegram(section(server), commands, limits=FAST)):
        await chat.next_message()
    assert server.webhook.url == ""


async def test_a_webhook_believes_nobody_without_the_secret(
    server: TelegramServer, commands: Slow, chat: Chat, unused_tcp_port: int
) -> None:
    settings = hook(server, unused_tcp_port)
    update = {"update_id": 1, "message": chat.typed_message("/start", chat.owner, {})}
    calls = server.watch("setWebhook")
    async with serving(Telegram(settings, commands, limits=FAST)), ClientSession() as session:
        await calls.next()
        for headers in ({}, {SECRET_HEADER: "wrong"}, {SECRET_HEADER: "ü"}, {SECRET_HEADER: ""}):
            async with session.post(settings.webhook_url, json=update, headers=headers) as response:
                assert response.status == 403
        right = {SECRET_HEADER: SECRET}
        for body in (b"{", b"[]", b'{"no": 1}', b'"x"'):
            async with session.post(settings.webhook_url, data=body, headers=right) as response:
                assert response.status == 400
        assert commands.asked == []
        async with session.post(settings.webhook_url, json=update, headers=right) as response:
            assert response.status == 200
        await chat.next_message()


async def test_a_webhook_without_a_secret_makes_one_up(
    server: TelegramServer, commands: Slow, chat: Chat, unused_tcp_port: int
) -> None:
    async with serving(Telegram(hook(server, unused_tcp_port, ""), commands, limits=FAST)):
        await chat.send("/start")
        await chat.next_message()
    assert len(server.webhook.secret) >= 32


async def test_a_port_that_is_taken(server: TelegramServer, commands: Slow) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        await Telegram(hook(server, port), commands).serve()


# ---- secrets ------------------------------------------------------------------------------------------------------


async def test_neither_the_token_nor_any_text_is_ever_logged(
    server: TelegramServer, commands: Slow, alice: User, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram_delivery, "RETRY_PAUSES", (0.01,))
    monkeypatch.setattr(receivers, "FIRST_PAUSE", 0.01)
    chat = server.private(alice)
    async with serving(Telegram(section(server), commands, limits=FAST)):
        await chat.send("/nietzsche 0.7 Zarathustra")
        message = await chat.next_message()
        await (await alice.press(message, "Again")).answer()
        await chat.next_message()
        query = await alice.inline("Zarathustra")
        await query.answer()
        await (await query.choose()).next_edit()
        server.fail(404, method="getUpdates", times=1)  # the page repeats the address, the token in it
        server.fail(500, method="sendMessage", times=3)
        await chat.send("/nietzsche 0.7 Zarathustra")
        await lines.saying("an answer was not delivered")
    server.fail(500, method="getMe")
    with pytest.raises(Unreachable) as away:
        await Telegram(section(server), commands).serve()
    said = "\n".join([*lines.inbox.all, str(away.value)])
    assert server.token.split(":")[1] not in said
    assert "Zarathustra" not in said

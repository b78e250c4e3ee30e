"""Pictures in Telegram: the real library and the real core, against a loopback Bot API."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from conftest import english, portuguese
from PIL import Image
from voice_support import voices_of

from bot.config.schema import BotSection, Secret, TelegramSection
from bot.core.ask import Ask, Where
from bot.core.commands import COMMANDS, USER_COMMANDS, Commands
from bot.core.commands.dispatcher import name_of
from bot.core.reply import Picture, Reply
from bot.platforms.telegram.platform import Telegram
from bot.platforms.telegram.rate_limit import Limits, Rate
from bot.platforms.telegram.sender import MAX_PHOTO_SIDE
from bot.store.store import Store
from generator.serving.generator import ThreadedGenerator
from testing.telegram import Chat, TelegramServer, User

FAST = Limits(Rate(10_000, 1.0), Rate(10_000, 1.0), Rate(10_000, 1.0))
PNG = b"\x89PNG\r\n\x1a\n"
TALL = PNG + b"\0\0\0\rIHDR" + (1080).to_bytes(4, "big") + (MAX_PHOTO_SIDE + 1).to_bytes(4, "big")


class ScriptedReplies(Commands):
    """The commands, with `said` in place of some replies."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.said: dict[str, Reply] = {}

    async def handle(self, ask: Ask, where: Where) -> Reply:
        return self.said.get(name_of(ask)) or await super().handle(ask, where)


@pytest.fixture
async def commands(tiny_folder: Path, tmp_path: Path) -> AsyncIterator[ScriptedReplies]:
    async with (
        Store.open(tmp_path / "pictures.sqlite3") as store,
        ThreadedGenerator.open(tiny_folder, threads=1) as generator,
    ):
        yield ScriptedReplies(voices_of(generator), store, BotSection(length=60, cooldown=0.0))


@pytest.fixture
async def bot(server: TelegramServer, commands: ScriptedReplies) -> AsyncIterator[Telegram]:
    """The bot, connected."""
    section = TelegramSection(token=Secret(server.token), api_url=server.url)
    telegram = Telegram(section, commands, limits=FAST)
    polls = server.watch("getUpdates")
    task = asyncio.create_task(telegram.serve())
    await polls.next()
    yield telegram
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.usefixtures("bot")
async def test_the_shaded_text_is_a_photo_with_a_caption(chat: Chat) -> None:
    await chat.send("/surprise")
    assert (await chat.next_message()).text == english("no-text")
    await chat.send("/nietzsche 0.7 The philosopher")
    await chat.next_message()
    await chat.send("/surprise")
    message = await chat.next_message()
    assert message.photo is not None
    picture = Image.open(io.BytesIO(message.photo))
    assert (picture.format, picture.width) == ("PNG", 1080)
    assert message.text.startswith("Your text surprises me by")
    assert message.labels == []


@pytest.mark.usefixtures("bot")
async def test_in_a_group_it_answers_the_person_who_asked_with_their_own_text(
    server: TelegramServer,
    group: Chat,
    alice: User,
    bob: User,
) -> None:
    await group.send("/nietzsche 0.7 The philosopher", by=alice)
    await group.next_message()
    await group.send("/surprise", by=bob)
    assert (await group.next_message()).text == english("no-text")
    typed = await group.send("/surprise@lstmega_bot", by=alice)
    assert (await group.next_message()).reply_to == typed
    assert len(server.calls_of("sendPhoto")) == 1


@pytest.mark.usefixtures("bot")
async def test_a_picture_too_tall_for_a_photo_goes_as_a_file(
    server: TelegramServer,
    commands: ScriptedReplies,
    chat: Chat,
) -> None:
    commands.said["surprise"] = Reply("here", picture=Picture(TALL, "surprise.png", "a long text"))
    await chat.send("/surprise")
    message = await chat.next_message()
    assert (message.photo, message.text) == (TALL, "here")
    assert [call.method for call in server.calls if call.method in {"sendPhoto", "sendDocument"}] == ["sendDocument"]


@pytest.mark.usefixtures("bot")
async def test_the_menu_has_it(server: TelegramServer) -> None:
    menus = [{entry["command"]: entry["description"] for entry in menu} for menu in server.commands.values()]
    assert len(menus) == 4
    assert {menu["surprise"] for menu in menus} == {
        USER_COMMANDS["surprise"].purpose(english),
        COMMANDS["surprise"].purpose(portuguese),
    }

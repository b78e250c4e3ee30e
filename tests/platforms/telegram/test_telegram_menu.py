"""The list of commands that Telegram shows."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import english, portuguese
from telegram import BotCommandScopeAllGroupChats
from telegram_support import (
    LogLines,
    ScriptedCommands,
    section,
    serving,
)

from bot.core.commands import COMMANDS, USER_COMMANDS
from bot.platforms.telegram.platform import Telegram
from testing.telegram import Chat, TelegramServer


async def test_the_menu_is_set_once_for_both_scopes_and_both_languages(
    server: TelegramServer, scripted: ScriptedCommands
) -> None:
    polls = server.watch("getUpdates")
    for _ in range(2):
        async with serving(Telegram(section(server), scripted)):
            await polls.next()
    assert len(server.calls_of("setMyCommands")) == 4
    private, private_pt, in_groups, in_groups_pt = (
        {command["command"]: command["description"] for command in server.commands[scope, language]}
        for scope in ("all_private_chats", "all_group_chats")
        for language in ("", "pt")
    )
    assert private == {name: note.purpose(english) for name, note in USER_COMMANDS.items()}
    assert private_pt == {name: COMMANDS[name].purpose(portuguese) for name in USER_COMMANDS}
    assert in_groups == {name: purpose for name, purpose in private.items() if name != "start"}
    assert in_groups_pt.keys() == in_groups.keys()
    server.commands[BotCommandScopeAllGroupChats().type, ""] = []
    async with serving(Telegram(section(server), scripted)):
        await polls.next()
    assert len(server.calls_of("setMyCommands")) == 5


async def test_the_profile_is_set_once_in_every_language(server: TelegramServer, scripted: ScriptedCommands) -> None:
    polls = server.watch("getUpdates")
    for _ in range(2):
        async with serving(Telegram(section(server), scripted)):
            await polls.next()
    assert len(server.calls_of("setMyDescription")) == len(server.calls_of("setMyShortDescription")) == 2
    assert server.profile["short_description", ""].startswith("I write in the manner of")
    assert server.profile["description", "pt"].startswith("Escrevo")


@pytest.mark.parametrize("method", ["getMyDescription", "setMyShortDescription"])
async def test_without_a_profile_the_bot_works(
    server: TelegramServer, scripted: ScriptedCommands, chat: Chat, log_lines: LogLines, method: str
) -> None:
    server.answer_with([5], method=method, times=None)
    server.fail(400, method="setMyDescription")
    async with serving(Telegram(section(server), scripted)):
        await chat.send("/start")
        await chat.next_message()
    assert log_lines.count("profile.failed") == 1


async def test_without_a_menu_the_bot_works(
    server: TelegramServer, scripted: ScriptedCommands, chat: Chat, log_lines: LogLines
) -> None:
    server.fail(500, method="getMyCommands")
    async with serving(Telegram(section(server), scripted)):
        await chat.send("/start")
        await chat.next_message()
    assert log_lines.count("menu.failed") == 1


@pytest.mark.parametrize("method", ["getMyCommands", "setMyCommands"])
@pytest.mark.parametrize("result", [5, None, "commands", [{"command": 5}], {"surprise": True}])
async def test_an_unexpected_answer_about_the_menu_stops_nothing(
    server: TelegramServer, scripted: ScriptedCommands, chat: Chat, method: str, result: Any
) -> None:
    server.answer_with(result, method=method, times=None)
    async with serving(Telegram(section(server), scripted)):
        await chat.send("/start")
        await chat.next_message()

"""Conversations in Portuguese on every platform, whose locale the adapters pass on; and /language there."""

from __future__ import annotations

from collections.abc import Callable

import discord
import pytest
from conftest import english, portuguese
from discord_support import GLOBAL_COMMANDS, SLASH, World, as_shown, labels, shown
from terminal_support import Terminal, pipe

from testing.telegram import TelegramServer, User

IN_PORTUGUESE = portuguese("language-own", name="português (Brasil)")


async def test_discord_speaks_the_language_of_the_app(here: World) -> None:
    user = here.alice.user

    async def slash(command: str, **options: str) -> str:
        given = [{"name": key, "type": 3, "value": value} for key, value in options.items()]
        data = {"id": "1", "name": command, "type": 1, "options": given}
        return shown(await here.interaction(user, SLASH, data, user.dm_channel.id, locale="pt-BR"))

    assert await slash("temperature", value="0,8") == portuguese("temperature-own", own=0.8, default=0.7)
    assert await slash("continue") == portuguese("no-text")
    result = await here.interaction(
        user, SLASH, {"id": "1", "name": "nietzsche", "type": 1}, user.dm_channel.id, locale="pt-BR"
    )
    assert labels(result)[:2] == ["De novo", "Continuar"]
    assert labels(result)[2].startswith("Mais quente (0,9")
    typed = {"name": "temperature", "type": 10, "value": "0,85", "focused": True}
    result = await here.interaction(
        user,
        4,
        {"id": "1", "name": "nietzsche", "type": 1, "options": [typed]},
        user.dm_channel.id,
        locale="pt-BR",
    )
    assert [choice["name"] for choice in (result.autocomplete_choices or [])[:3]] == [
        "0,85",
        "0,8 — a sua",
        "0,7 — padrão",
    ]
    assert await slash("language", name="en") == english("language-own", name="English")
    assert await slash("continue") != portuguese("no-text")


async def test_discord_offers_the_languages_and_their_buttons(here: World) -> None:
    [told] = here.sent("PUT", GLOBAL_COMMANDS)
    [option] = next(command["options"] for command in told if command["name"] == "language")
    assert {choice["value"]: choice["name"] for choice in option["choices"]} == {
        "en": "English",
        "pt-BR": "português (Brasil)",
        "auto": "Automatic",
    }
    assert option["choices"][-1]["name_localizations"] == {"pt-BR": "Automático"}
    asked = await here.alice.slash(here.channel, "language")
    assert shown(asked) == english("language-automatic", name="English")
    assert labels(asked) == ["English", "português (Brasil)"]
    pressed = await here.alice.click(asked.response, label="português (Brasil)")
    assert shown(pressed) == IN_PORTUGUESE
    assert shown(await here.alice.slash(here.channel, "continue")) == portuguese("no-text")


async def test_a_mention_on_discord_is_answered_in_the_language_of_the_server(here: World) -> None:
    guild = here.client.get_guild(here.guild.id)
    assert guild is not None
    guild.preferred_locale = discord.Locale.brazil_portuguese
    await here.alice.send(here.channel, f"<@{here.bot_id}> /continue")
    last = here.channel.last_message
    assert last is not None
    assert as_shown(last.content) == portuguese("no-text")


@pytest.mark.usefixtures("telegram")
async def test_telegram_speaks_the_language_of_the_app(server: TelegramServer) -> None:
    bia = User(server, server.number(), "Bia", language="pt-br")
    chat = server.private(bia)
    await chat.send("/temperature 0,8")
    assert (await chat.next_message()).text == portuguese("temperature-own", own=0.8, default=0.7)
    await chat.send("/nietzsche The caf\u00e9 50%")
    text = await chat.next_message()
    assert text.text.endswith("(Deixei de fora % e escrevi “e” em vez de “é”: minha rede nunca viu esses caracteres.)")
    assert text.labels[:3] == ["De novo", "Continuar", "Mais quente (0,9)"]
    query = await bia.inline("")
    offered = await query.answer()
    assert "0,8 — a sua" in [result["title"] for result in offered]
    assert (await query.choose(0)).text == portuguese("inline-placeholder")
    await chat.send("/language")
    question = await chat.next_message()
    assert question.text == portuguese("language-automatic", name="português (Brasil)")
    await bia.press(question, "English")
    assert await question.next_edit() == english("language-own", name="English")
    assert (await (await bia.inline("")).answer())[0]["description"] == english("inline-hint")


def test_a_pipe_speaks_the_language_of_the_environment(chat_environment: dict[str, str]) -> None:
    typed = b"/temperature 0.8\n/continue\n/forgetme\n/language english\n/continue\n/language auto\n/quit"
    for variables in ({"LANG": "pt_BR.UTF-8"}, {"LC_ALL": "pt", "LANG": "en_US"}, {"LC_MESSAGES": "pt", "LANG": "C"}):
        assert pipe(chat_environment | variables, typed).rstrip("\n").split("\n\n") == [
            portuguese("temperature-own", own=0.8, default=0.7),
            portuguese("no-text"),
            f"{portuguese('forget-confirm')} {portuguese('forget-repeat')}",
            english("language-own", name="English"),
            english("no-text"),
            portuguese("language-automatic", name="português (Brasil)"),
        ]


def test_a_terminal_speaks_the_language_of_the_environment(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(LANG="pt_BR.UTF-8")
    terminal.sees("6,00 bits por caractere", portuguese("how-to-leave"), "›")
    terminal.types("/continue\r")
    terminal.sees(portuguese("no-text"), "›")
    terminal.types("/language en\r")
    terminal.sees(english("language-own", name="English"), "6.00 bits per character")
    assert terminal.leaves() == 0


def test_tab_completes_in_the_language_of_the_user(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(LANG="pt_BR.UTF-8")
    terminal.sees("›")
    terminal.types("/language \t")
    terminal.sees("English", "português (Brasil)", "Automático")
    terminal.types("\x15/temp\t")
    terminal.sees("define ou apaga")
    terminal.types("\x15/temperature \t")
    terminal.sees("0,9 — animada")
    terminal.types("\x15")
    assert terminal.leaves() == 0

"""The languages of the messages: complete, well-formed, chosen as the user wants; a folder is enough for another."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from conftest import english, portuguese, with_echoes
from fluent.syntax import FluentParser, ast
from fluent.syntax.visitor import Visitor

from bot.core import language
from bot.core.ask import ForgetMe, Where
from bot.core.commands import COMMANDS, Commands, parse
from bot.core.reply import Refused
from bot.platforms.telegram.render import MAX_ALERT
from bot.platforms.text import utf16_length
from bot.store.errors import StoreError
from bot.store.store import Store

ROOT: Final = Path(__file__).parents[2]
ALIKE: Final = {"book", "help-line", "help-option", "suggestion", "suggestion-typed", "surprise-word"}
"""Messages that are the same in both languages."""
SAID: Final = re.compile(r"""(?:\bsay|Refused)\(\s*["']([a-z-]+)["']""")


class _Variables(Visitor):  # type: ignore[misc] # the library has no types
    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_VariableReference(self, node: ast.VariableReference) -> None:  # noqa: N802 - the library's name
        self.names.add(node.id.name)


def messages_of(tag: str) -> dict[str, set[str]]:
    """Every message and attribute of a language, with its variables. Fails for text that is no Fluent."""
    found: dict[str, set[str]] = {}
    for file in sorted((language.LOCALES / tag).glob("*.ftl")):
        for entry in FluentParser().parse(file.read_text(encoding="utf-8")).body:
            assert not isinstance(entry, ast.Junk), f"{file}: {entry.content}"
            if isinstance(entry, ast.Message):
                for name, pattern in [
                    ("", entry.value),
                    *((f".{each.id.name}", each.value) for each in entry.attributes),
                ]:
                    variables = _Variables()
                    variables.visit(pattern)
                    assert entry.id.name + name not in found, f"{file}: {entry.id.name}{name} is there twice"
                    found[entry.id.name + name] = variables.names
    return found


MADE: Final = ("command-", "language-", "reload-", "suggestion-", "button-", "settings-", "temperature-", "length-")
"""Beginnings of the messages whose names are put together."""
OTHERS: Final = [tag for tag in language.languages() if tag != language.ENGLISH]


@pytest.mark.parametrize("tag", OTHERS)
def test_every_message_is_in_every_language_with_the_same_variables(tag: str) -> None:
    assert messages_of(tag) == messages_of(language.ENGLISH)


@pytest.mark.parametrize("tag", language.languages())
def test_every_message_can_be_said(tag: str) -> None:
    say = language.languages()[tag].say
    for message, variables in messages_of(tag).items():
        for number in (0, 1, 2, 1234567, 0.5):
            said = say(message, **dict.fromkeys(variables, number))
            assert said.strip(), message
            assert "{" not in said, message


@pytest.mark.parametrize("tag", OTHERS)
def test_no_message_was_left_in_english(tag: str) -> None:
    variables, say = messages_of(tag), language.languages()[tag].say
    same = {
        message
        for message, names in variables.items()
        if say(message, **dict.fromkeys(names, 2)) == english(message, **dict.fromkeys(names, 2))
    }
    assert same <= ALIKE


def test_every_message_that_the_program_says_is_there_and_no_other() -> None:
    program = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "bot").rglob("*.py"))
    known = {message for message in messages_of(language.ENGLISH) if "." not in message}
    assert set(SAID.findall(program)) <= known
    made = {message for message in known if message.startswith(MADE)}
    assert {message for message in known - made if not re.search(f"[\"']{message}[\"']", program)} == set()


@pytest.mark.parametrize("tag", language.languages())
def test_what_telegram_shows_as_an_alert_fits_there(tag: str) -> None:
    refusals = ("queue-full", "chat-full", "overloaded", "not-your-text", "no-such-button", "old-text", "no-text")
    for message in (*refusals, "inline-wait"):
        assert utf16_length(language.languages()[tag].say(message)) <= MAX_ALERT


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("tag", language.languages())
def test_a_command_has_its_help_in_every_language(tag: str, name: str) -> None:
    command, say = COMMANDS[name], language.languages()[tag].say
    assert 1 <= len(command.purpose(say)) <= 100  # Discord's limit, below Telegram's
    assert command.usage(say).startswith(f"/{name}")
    for option in command.options:
        assert re.fullmatch(r"[a-zà-ÿ-]{1,32}", command.option_name(option, say))
        assert 1 <= len(command.option_purpose(option, say)) <= 100


@pytest.mark.parametrize(
    ("locale", "tag"),
    [
        *((each, "pt-BR") for each in ("pt", "pt-BR", "pt_BR", "pt-br", "pt-PT", "pt_BR.UTF-8", "pt_PT.utf8@euro")),
        *((each, "en") for each in ("", "en", "en-US", "en-GB", "C", "C.UTF-8", "POSIX", "fr", "ptolemaic", "..", "p")),
    ],
)
def test_a_locale_in_any_notation_finds_its_language(locale: str, tag: str) -> None:
    assert language.of(locale).tag == tag


def test_numbers_are_written_as_the_language_does() -> None:
    assert english("temperature-own", own=0.85, default=0.7).startswith("Your temperature is 0.85.")
    assert portuguese("temperature-own", own=0.85, default=0.7).startswith("A sua temperatura é 0,85.")
    assert "1,234,567" in english("about-weights", version="v", preset="p", parameters=1_234_567)
    assert "1.234.567" in portuguese("about-weights", version="v", preset="p", parameters=1_234_567)


async def test_a_conversation_in_portuguese(commands: Commands) -> None:
    where = Where("telegram", "5", "5", "pt-br")

    async def say(line: str) -> str:
        name, _, arguments = line.removeprefix("/").partition(" ")
        return (await commands.handle(parse(name, arguments), where)).text

    assert await say("/temperature 0,8") == "A sua temperatura é 0,8. /temperature default volta para 0,7."
    assert await say("/continue") == "Você ainda não tem um texto aqui. Comece um com /nietzsche."
    assert "um número de 0,1 (prudente) a 2,0 (selvagem)" in await say("/nietzsche 3")
    assert "Você quis dizer /nietzsche?" in await say("/nietsche")
    assert "/nietzsche [temperatura] [abertura] — um texto" in await say("/help")
    reply = await commands.handle(parse("nietzsche", "0,7 50% caf\u00e9"), where)
    assert reply.notice == ("Deixei de fora % e escrevi “e” em vez de “é”: minha rede nunca viu esses caracteres.")
    assert [action.label for action in reply.actions] == [
        "De novo", "Continuar", "Mais quente (0,8)", "Mais frio (0,6)", "Surpresa",
    ]  # fmt: skip
    assert await commands.suggest(where) == {
        0.8: "0,8 — a sua",
        0.7: "0,7 — padrão",
        0.3: "0,3 — prudente, se repete",
        0.5: "0,5 — calma",
        0.9: "0,9 — animada",
        1.2: "1,2 — selvagem, inventa palavras",
    }


@pytest.fixture
def german(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a third language, which has two messages."""
    locales = Path(shutil.copytree(language.LOCALES, tmp_path / "locales"))
    folder = locales / "de"
    folder.mkdir()
    (folder / "replies.ftl").write_text(
        "temperature-own = Deine Temperatur ist { $own }.\nno-text = Noch { $gibt } nichts.\n", encoding="utf-8"
    )
    monkeypatch.setattr(language, "LOCALES", locales)
    language.languages.cache_clear()
    yield folder
    language.languages.cache_clear()


@pytest.mark.usefixtures("german")
async def test_a_third_language_is_one_folder(commands: Commands) -> None:
    where = Where("telegram", "5", "5", "de-AT")
    assert (await commands.handle(parse("temperature", "0.8"), where)).text == "Deine Temperatur ist 0,8."
    # English stands in for what it lacks, and for what it has with a mistake.
    assert (await commands.handle(parse("forgetme", ""), where)).text == english("forget-confirm")
    assert (await commands.handle(parse("continue", ""), where)).text == english("no-text")


def test_a_message_that_is_in_no_language_is_a_defect() -> None:
    for tag in language.languages():
        for broken in ("no-such-message", "command-about.no-such-attribute", "rung"):  # the last one lacks its variable
            with pytest.raises(LookupError):
                language.of(tag).say(broken)
    assert Refused("no-text").message == "no-text"


@pytest.mark.parametrize("typed", ["português", "Portuguese", "PORTUGUES", "pt", "pt_BR", "português (Brasil)"])
async def test_a_user_sets_the_language_by_any_of_its_names(commands: Commands, typed: str) -> None:
    where = Where("discord", "here", "17", "en-GB")
    said = await commands.handle(parse("language", typed), where)
    assert said.text == portuguese("language-own", name="português (Brasil)")
    assert (await commands.handle(parse("continue", ""), where)).text == portuguese("no-text")


async def test_the_users_own_language_is_kept_and_goes_back(commands: Commands, store: Store) -> None:
    where, others = Where("discord", "here", "17", "pt-BR"), Where("discord", "here", "18", "pt-BR")
    assert (await commands.handle(parse("language", ""), where)).text == portuguese(
        "language-automatic", name="português (Brasil)"
    )
    assert (await commands.handle(parse("language", "inglês"), where)).text == english("language-own", name="English")
    restarted = Commands(commands.voices, store, commands.settings)
    for anywhere in (where, Where("discord", "elsewhere", "17", "fr")):
        assert (await restarted.handle(parse("continue", ""), anywhere)).text == english("no-text")
    assert (await restarted.handle(parse("continue", ""), others)).text == portuguese("no-text")
    assert (await restarted.handle(parse("language", "AUTO"), where)).text == portuguese(
        "language-automatic", name="português (Brasil)"
    )
    await restarted.handle(parse("language", "en"), where)
    assert (await restarted.handle(ForgetMe(confirmed=True), where)).text == english("forget-done", rows=2)
    assert (await restarted.handle(parse("continue", ""), where)).text == portuguese("no-text")


async def test_every_refusal_is_in_the_language_that_the_user_has_set(commands: Commands) -> None:
    where = Where("telegram", "5", "5", "en")
    await commands.handle(parse("language", "pt"), where)
    for name, arguments, refusal in (
        ("nietzsche", "9 The sea", "está fora da faixa"),
        ("continue", "now", "Não se escreve nada depois de /continue"),
        ("nietsche", "", "Você quis dizer /nietzsche?"),
    ):
        told = await commands.handle(parse(name, arguments), where)
        assert refusal in told.text
        assert told.locale == "pt-BR"
    assert (await commands.refusal("words-only", where)).text == portuguese("words-only")


async def test_a_group_has_a_language_for_those_who_have_set_none(commands: Commands, store: Store) -> None:
    await store.set_preference("telegram", "-7", "language", "pt-BR")
    where = Where("telegram", "-7", "5", "en", group="-7")
    said = await commands.handle(parse("language", ""), where)
    assert said.text == portuguese("language-group", name="português (Brasil)")
    assert [action.label for action in said.actions] == ["English", "português (Brasil)"]
    await commands.press(said.actions[0].data, where)
    assert (await commands.handle(parse("continue", ""), where)).text == english("no-text")


async def test_the_buttons_set_the_language_of_their_user(commands: Commands) -> None:
    where = Where("telegram", "5", "5", "en")
    asked = await commands.handle(parse("language", ""), where)
    assert [action.label for action in asked.actions] == ["English", "português (Brasil)"]
    said = await commands.press(asked.actions[1].data, where)
    assert [action.label for action in said.actions] == ["English", "Automático"]
    assert (await commands.press(said.actions[1].data, replace(where, user="6"))).text == english("not-your-text")
    assert (await commands.press(said.actions[1].data, where)).text == english("language-automatic", name="English")
    assert (await commands.press("l:5:tlh", where)).text == english("no-such-button")


async def test_an_unknown_language_is_refused_with_those_there_are(commands: Commands) -> None:
    said = await commands.handle(parse("language", "klingon"), Where("discord", "here", "17", "pt-BR"))
    assert with_echoes(said.text) == (
        "Não falo klingon. Conheço: English, português (Brasil). Digite /language e um destes, ou /language auto."
    )


async def test_without_the_store_replies_come_in_the_language_of_the_platform(
    commands: Commands, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise StoreError("db.sqlite3", "is broken")

    monkeypatch.setattr(store, "preferences", fails)
    said = await commands.handle(parse("start", ""), Where("discord", "here", "17", "pt-BR"))
    assert said.text.startswith("Escrevo à maneira de")
    said = await commands.handle(parse("temperature", ""), Where("discord", "here", "17", "pt-BR"))
    assert said.text == portuguese("store-failed")

"""Who may use the bot, and how much of it in a day."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import SETTINGS, english
from voice_support import voices_of

from bot.config.schema import AccessSection, BotSection, Secret
from bot.core.ask import Where
from bot.core.commands import Commands, parse
from bot.core.reply import Kind, Reply
from bot.store.errors import StoreError
from bot.store.store import Store
from generator.serving.generator import ThreadedGenerator

NOON = 20_000 * 86_400 + 43_200.0
NOT_HERE = "I do not answer here: the people who run me decide who may use me, and where."


@pytest.fixture
async def store(place: Path | Secret) -> Any:
    async with Store.open(place) as store:
        yield store


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the day, in a list that a test may change."""
    now = [NOON]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def commands_with(generator: ThreadedGenerator, store: Store, **rules: Any) -> Commands:
    settings = BotSection(length=60, cooldown=0.0, operators=("discord:1", "telegram:1"))
    return Commands(voices_of(generator), store, settings, access=AccessSection(**rules))


async def ask(commands: Commands, line: str = "nietzsche", user: str = "7", chat: str = "5", **where: Any) -> Reply:
    name, _, arguments = line.partition(" ")
    place = Where(where.pop("platform", "discord"), chat, user, **where)
    return await commands.handle(parse(name, arguments), place)


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ({}, True),
        ({"allow": ("discord:7",)}, True),
        ({"allow": ("discord:5",)}, True),
        ({"allow": ("discord:99",)}, True),
        ({"allow": ("discord:*",)}, True),
        ({"allow": ("telegram:7", "discord:8")}, False),
        ({"allow": ("telegram:*",)}, False),
        ({"deny": ("discord:7",)}, False),
        ({"deny": ("discord:5",)}, False),
        ({"deny": ("discord:99",)}, False),
        ({"deny": ("discord:*",)}, False),
        ({"deny": ("telegram:7", "telegram:*", "discord:8")}, True),
        ({"allow": ("discord:99",), "deny": ("discord:7",)}, False),
    ],
)
async def test_people_chats_and_servers_are_allowed_and_denied(
    generator: ThreadedGenerator, store: Store, rules: dict[str, Any], *, allowed: bool
) -> None:
    commands = commands_with(generator, store, **rules)
    reply = await ask(commands, within=("99",))
    assert (reply.kind is Kind.TEXT) == allowed
    if not allowed:
        assert (reply.kind, reply.text, reply.private) == (Kind.REFUSAL, NOT_HERE, True)
    assert (await ask(commands, user="1", within=("99",))).kind is Kind.TEXT, "an operator always may"


async def test_every_kind_of_request_is_denied(generator: ThreadedGenerator, store: Store) -> None:
    commands = commands_with(generator, store, deny=("discord:7",))
    for name in ("nietzsche", "ladder", "about", "help", "forgetme", "no-such-command"):
        assert (await ask(commands, name, locale="pt-BR")).text.startswith("Não respondo aqui")
    where = Where("discord", "5", "7")
    assert (await commands.press("c:7:00000000", where)).text == NOT_HERE
    assert await commands.suggest(where) == {}
    assert await store.user_id("discord", "7") is None


async def test_silence_where_that_is_configured(generator: ThreadedGenerator, store: Store) -> None:
    commands = commands_with(generator, store, deny=("discord:7",), silent=True)
    assert (await ask(commands)).text == ""
    assert commands.ignores(Where("discord", "5", "7"))
    assert not commands.ignores(Where("discord", "5", "8"))


async def test_a_quota_of_texts_for_each_user(generator: ThreadedGenerator, store: Store, today: list[float]) -> None:
    commands = commands_with(generator, store, user_texts=6)
    assert (await ask(commands)).kind is Kind.TEXT
    assert (await ask(commands, "ladder", chat="another")).kind is Kind.TEXT
    reply = await ask(commands)
    assert (reply.kind, reply.private) == (Kind.REFUSAL, True)
    assert reply.text == "You have had today’s 6 texts. I can write more in 12 hours."
    assert (await ask(commands, "continue", locale="pt-BR")).text == (
        "Você já usou os seus 6 textos de hoje. Posso escrever mais daqui a 12 horas."
    )
    assert (await ask(commands, "about")).kind is Kind.ANSWER, "what writes no text is not counted"
    assert (await ask(commands, user="8")).kind is Kind.TEXT
    today[0] += 43_200
    assert (await ask(commands)).kind is Kind.TEXT


async def test_what_is_left_is_said(generator: ThreadedGenerator, store: Store, today: list[float]) -> None:
    commands = commands_with(generator, store, user_texts=3)
    await ask(commands)
    today[0] = NOON + 43_200 - 300
    assert (await ask(commands, "ladder")).text == (
        "You have 2 left of today’s 3 texts, and that would take more. I can write more in 5 minutes."
    )
    assert (await ask(commands)).kind is Kind.TEXT


@pytest.mark.usefixtures("today")
async def test_a_quota_of_characters_for_each_chat(generator: ThreadedGenerator, store: Store) -> None:
    commands = commands_with(generator, store, chat_characters=60)
    assert (await ask(commands)).kind is Kind.TEXT
    assert "today’s 60 characters" in (await ask(commands, user="8")).text
    assert (await ask(commands, user="8", chat="6")).kind is Kind.TEXT
    inline = {"platform": "telegram", "chat": "inline"}
    for user in ("7", "8"):
        assert (await ask(commands, user=user, queue=f"inline/{user}", **inline)).kind is Kind.TEXT


@pytest.mark.usefixtures("today")
async def test_operators_have_no_quota_and_use_up_nothing(generator: ThreadedGenerator, store: Store) -> None:
    commands = commands_with(generator, store, user_texts=1, chat_texts=1)
    for _ in range(3):
        assert (await ask(commands, user="1")).kind is Kind.TEXT
    assert (await ask(commands)).kind is Kind.TEXT
    assert (await ask(commands, user="8")).text.startswith("This chat has had today’s 1 text.")


@pytest.mark.usefixtures("today")
async def test_the_day_goes_on_after_a_restart_and_after_forgetme(
    generator: ThreadedGenerator, place: Path | Secret
) -> None:
    async with Store.open(place) as store:
        assert (await ask(commands_with(generator, store, user_texts=1))).kind is Kind.TEXT
        await store.forget("discord", "7")
    async with Store.open(place) as store:
        assert (await ask(commands_with(generator, store, user_texts=1))).text.startswith(
            "You have had today’s 1 text."
        )


async def test_what_was_counted_names_no_user_and_is_deleted_after_the_day(
    generator: ThreadedGenerator, tmp_path: Path, today: list[float]
) -> None:
    path = tmp_path / "day.sqlite3"
    async with Store.open(path) as store:
        await ask(commands_with(generator, store, user_texts=9), user="123456789012345678", chat="876543210987654321")
        rows = await store._database.read("SELECT * FROM usage")
        assert len(rows) == 2
        assert all("123456789012345678" not in str(tuple(row)) for row in rows)
    today[0] += 86_400
    async with Store.open(path) as store:
        while await store._database.read("SELECT * FROM usage"):
            await store.check_writable()


async def test_privacy_says_that_texts_are_counted_where_they_are(generator: ThreadedGenerator, store: Store) -> None:
    assert english("privacy-quota") in (await ask(commands_with(generator, store, chat_texts=5), "privacy")).text
    assert "daily limit" not in (await ask(commands_with(generator, store, deny=("discord:8",)), "privacy")).text


async def test_without_the_database_no_user_is_refused(
    generator: ThreadedGenerator, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> Any:
        raise StoreError("db", "is broken")

    commands = commands_with(generator, store, user_texts=1)
    monkeypatch.setattr(store, "usage", broken)
    monkeypatch.setattr(store, "add_usage", broken)
    for _ in range(2):
        assert (await ask(commands)).kind is Kind.TEXT
    assert caplog.messages.count("quota.not_checked reason=db: is broken") == 2
    assert caplog.messages.count("quota.not_counted reason=db: is broken") == 2


async def test_without_rules_the_database_is_not_asked(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(commands.store, "usage", None)
    monkeypatch.setattr(commands.store, "add_usage", None)
    with caplog.at_level(logging.ERROR):
        assert (await ask(commands)).kind is Kind.TEXT
    assert not caplog.messages


async def test_the_rules_change_while_it_runs(generator: ThreadedGenerator, store: Store) -> None:
    commands = commands_with(generator, store)
    assert (await ask(commands)).kind is Kind.TEXT
    commands.configure(SETTINGS, AccessSection(deny=("discord:7",)))
    assert (await ask(commands)).text == NOT_HERE
    commands.configure(
        BotSection(operators=("discord:7",), length=30, cooldown=0.0), AccessSection(deny=("discord:7",))
    )
    assert (await ask(commands, "stats")).kind is Kind.ANSWER

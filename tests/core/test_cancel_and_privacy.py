"""/cancel stops texts, and says so; /privacy says what is kept; what is for operators is shown to no other."""

from __future__ import annotations

import asyncio

import pytest
from conftest import SETTINGS, english, last_text
from msgspec.structs import replace
from voice_support import voices_of

from bot.core.ask import Plain, Where, Write
from bot.core.commands import Commands, parse
from bot.core.reply import Kind, Reply
from bot.store.store import Store
from generator import MAX_LENGTH, Generator, WeightsError
from generator.serving.generator import ThreadedGenerator


def here() -> Where:
    """A request that is made now."""
    return Where("discord", "here", "ada")


async def until_it_writes(generator: Generator, texts: int) -> None:
    while generator.status().running < texts:  # noqa: ASYNC110 - it tells only when it is asked
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("command", [Write(length=MAX_LENGTH), Plain("ladder")])
async def test_cancel_stops_what_is_written_and_what_waits_and_the_generator_works_no_more(
    commands: Commands, generator: ThreadedGenerator, store: Store, command: Write | Plain
) -> None:
    ask = command if isinstance(command, Write) else parse("ladder", "")
    commands.settings = replace(SETTINGS, length=MAX_LENGTH)
    writing = [asyncio.create_task(commands.handle(ask, here())) for _ in range(3)]
    elsewhere = asyncio.create_task(commands.handle(Write(length=1), Where("discord", "elsewhere", "bob")))
    await until_it_writes(generator, 1)
    said = await commands.handle(Plain("cancel"), Where("discord", "here", "ada"))
    assert (said.text, said.private) == (english("cancel-done", texts=3), True)
    for reply in await asyncio.gather(*writing):
        assert (reply.text, reply.kind) == ("", Kind.REFUSAL), "the one line is that of /cancel"
    assert (await elsewhere).kind is Kind.TEXT, "another chat's text is written"
    while generator.status().running:  # noqa: ASYNC110 - it frees the rows at the next character
        await asyncio.sleep(0.001)
    characters = generator.status().characters
    assert characters < MAX_LENGTH
    assert await last_text(store, "discord", "here", "ada") is None
    again = await commands.handle(Write(length=1), Where("discord", "here", "ada"))
    assert again.kind is Kind.TEXT, "there is no cooldown after a text that was stopped"


async def test_what_was_asked_for_before_cancel_and_comes_late_does_not_start(commands: Commands) -> None:
    """As on Telegram, which does one request of a user in a chat after the other."""
    late = Where("telegram", "here", "ada")
    assert (await commands.handle(Plain("cancel"), Where("telegram", "here", "ada"))).text == english("cancel-nothing")
    assert (await commands.handle(Write(), late)).text == ""
    assert (await commands.handle(Write(), Where("telegram", "here", "ada"))).kind is Kind.TEXT


async def test_what_is_asked_for_after_cancel_is_written_though_cancel_is_late(
    commands: Commands, generator: ThreadedGenerator
) -> None:
    """As with two anonymous administrators of a Telegram group, who are one sender."""
    early = here()
    writing = asyncio.create_task(commands.handle(Write(length=1000), here()))
    await until_it_writes(generator, 1)
    assert (await commands.handle(Plain("cancel"), early)).text == english("cancel-nothing")
    assert (await writing).kind is Kind.TEXT


async def test_cancel_stops_nothing_in_another_chat_or_of_another_user(
    commands: Commands, generator: ThreadedGenerator
) -> None:
    writing = asyncio.create_task(commands.handle(Write(length=1000), here()))
    await until_it_writes(generator, 1)
    for where in (Where("discord", "there", "ada"), Where("discord", "here", "bob"), Where("telegram", "here", "ada")):
        assert (await commands.handle(Plain("cancel"), where)).text == english("cancel-nothing")
    assert (await writing).kind is Kind.TEXT


async def test_a_cancelled_task_is_no_cancelled_text(commands: Commands, generator: ThreadedGenerator) -> None:
    writing = asyncio.create_task(commands.handle(Write(length=MAX_LENGTH), here()))
    await until_it_writes(generator, 1)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert (await commands.handle(Plain("cancel"), Where("discord", "here", "ada"))).text == english("cancel-nothing")


@pytest.mark.parametrize(
    ("days", "contact", "expected"),
    [
        (90, "ada@example.org", ["after 90 days", "I am run by ada@example.org"]),
        (1, "", ["after a day", english("privacy-no-operator")]),
        (0, "", ["until you delete them", english("privacy-no-operator")]),
    ],
)
async def test_privacy_says_what_is_kept_how_long_how_to_delete_it_and_who_operates(
    generator: ThreadedGenerator, store: Store, days: int, contact: str, expected: list[str]
) -> None:
    store.keep_days = days
    commands = Commands(voices_of(generator), store, replace(SETTINGS, contact=contact))
    reply = await commands.handle(Plain("privacy"), here())
    assert reply.private
    for words in [*expected, "last ten texts", "/forgetme"]:
        assert words in reply.text


async def test_operators_see_figures_and_paths_where_others_do_not(commands: Commands) -> None:
    for name in ("stats", "reload"):
        said: Reply = await commands.handle(Plain(name), Where("discord", "here", "boss", public=True))
        assert said.text == english("only-in-private", command=name)
        said = await commands.handle(Plain(name), Where("discord", "here", "ada", public=True))
        assert said.text.startswith("There is no command")
        assert (await commands.handle(Plain(name), Where("discord", "here", "boss"))).private


async def test_a_refused_reload_is_logged_once(
    generator: ThreadedGenerator, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse() -> None:
        raise WeightsError("/srv/weights/bad: damaged")

    operator = Where("discord", "here", "boss")
    logged = Commands(voices_of(generator), store, SETTINGS, reload=refuse)  # which logs it, as `Reloading` does
    said = await logged.handle(Plain("reload"), operator)
    assert (said.private, "/srv/weights/bad: damaged" in said.text) == (True, True)
    assert not caplog.records

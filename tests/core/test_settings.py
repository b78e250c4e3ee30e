"""Settings: a user's own, and an administrator's for a group."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import SETTINGS, english, last_text

from bot.core import buttons
from bot.core.ask import Plain, Settings, Where, Write
from bot.core.commands import Commands, parse
from bot.core.reply import Kind, Reply
from bot.store.store import ADMINISTRATORS, Preferences, Store
from generator import MAX_LENGTH, Temperature


async def yes() -> bool:
    return True


def here() -> Where:
    """A request that is made now."""
    return Where("discord", "here", "17")


def member() -> Where:
    return Where("discord", "here", "17", group="900")


def administrator() -> Where:
    return Where("discord", "here", "1", group="900", administers=yes)


async def settings(commands: Commands, where: Where | None = None) -> Reply:
    return await commands.handle(parse("settings", ""), where or here())


async def press(commands: Commands, reply: Reply, label: str, where: Where | None = None) -> Reply:
    [data] = [action.data for action in reply.actions if action.label == label]
    return await commands.press(data, where or here())


def labels(reply: Reply) -> list[str]:
    return [action.label for action in reply.actions]


@pytest.mark.parametrize(("typed", "value"), [("800", 800), ("1,200", 1200), ("1.200", 1200), ("1", 1), ("4000", 4000)])
async def test_a_length_of_ones_own_is_that_of_every_text(
    commands: Commands, store: Store, typed: str, value: int
) -> None:
    shown = await commands.handle(parse("length", ""), here())
    assert shown.text == english("length-none", default=60)
    said = await commands.handle(parse("length", typed), here())
    assert said.text == english("length-own", own=value, default=60)
    assert said.private
    assert (await store.preferences("discord", "17")).length == value
    await commands.handle(parse("length", "default"), here())
    assert await store.preferences("discord", "17") == Preferences()


@pytest.mark.usefixtures("one_seed")
async def test_texts_have_the_length_that_was_set(commands: Commands) -> None:
    await commands.handle(parse("length", "600"), here())
    for ask in (Write(), parse("continue", ""), parse("again", "")):
        assert 300 < len((await commands.handle(ask, here())).text) < 800
    assert len((await commands.handle(Write(length=60), here())).text) < 300, "what is typed counts first"


@pytest.mark.parametrize("typed", ["0", "4001", "long", "-5", "1.5", "800 x"])
async def test_a_length_out_of_range_is_refused_with_the_range(commands: Commands, typed: str) -> None:
    said = await commands.handle(parse("length", typed), here())
    assert said.kind is Kind.REFUSAL
    assert "from 1 to 4,000 characters" in said.text


async def test_the_settings_are_one_message_that_every_press_changes(commands: Commands, store: Store) -> None:
    reply = await settings(commands)
    assert reply.private
    assert reply.text.splitlines()[:4] == [
        "Your settings", "Temperature: 0.7 (default)", "Length: about 60 characters (default)",
        "Language: that of the app",
    ]  # fmt: skip
    assert labels(reply) == ["Colder (0.6)", "Hotter (0.8)", "Longer (100)", "English", "português (Brasil)"]
    reply = await press(commands, reply, "Hotter (0.8)")
    assert reply.in_place
    reply = await press(commands, reply, "Hotter (0.9)")
    reply = await press(commands, reply, "Longer (100)")
    reply = await press(commands, reply, "Longer (200)")
    assert reply.text.splitlines()[1:3] == ["Temperature: 0.9", "Length: about 200 characters"]
    assert labels(reply)[:4] == ["Colder (0.8)", "Hotter (1)", "Shorter (100)", "Longer (300)"]
    reply = await press(commands, reply, "português (Brasil)")
    assert reply.text.splitlines()[0] == "As suas configurações"
    assert "Mais quente (1)" in labels(reply)
    assert await store.preferences("discord", "17") == Preferences(0.9, 200, "pt-BR")
    reply = await press(commands, reply, "Voltar aos padrões")
    assert reply.text.splitlines()[0] == "Your settings"
    assert await store.preferences("discord", "17") == Preferences()


async def test_the_ends_of_the_ranges_have_no_button_that_leads_out_of_them(commands: Commands) -> None:
    for command, typed in (("temperature", "2"), ("length", f"{MAX_LENGTH}")):
        await commands.handle(parse(command, typed), here())
    assert labels(await settings(commands))[:3] == ["Colder (1.9)", "Shorter (2,000)", "English"]
    for command, typed in (("temperature", "0.1"), ("length", "1")):
        await commands.handle(parse(command, typed), here())
    assert labels(await settings(commands))[:3] == ["Hotter (0.2)", "Longer (100)", "English"]


async def test_an_administrator_sets_the_defaults_of_a_group(commands: Commands, store: Store) -> None:
    assert "Defaults of this group" not in labels(await settings(commands, member()))
    own = await settings(commands, administrator())
    reply = await press(commands, own, "Defaults of this group", administrator())
    assert reply.text.splitlines()[-2:] == [
        "Who may have texts written here: everyone", english("settings-how"),
    ]  # fmt: skip
    reply = await press(commands, reply, "Hotter (0.8)", administrator())
    reply = await press(commands, reply, "Longer (100)", administrator())
    await press(commands, reply, "português (Brasil)", administrator())
    assert await store.preferences("discord", "900") == Preferences(0.8, 100, "pt-BR")
    assert await store.preferences("discord", "1") == Preferences(), "not the administrator's own"
    await commands.handle(Write(), member())
    kept = await last_text(store, "discord", "here", "17")
    assert kept is not None
    assert kept.temperature == 0.8
    shown = await settings(commands, member())
    assert shown.text.splitlines()[:2] == ["As suas configurações", "Temperatura: 0,8 (padrão)"]
    await commands.handle(parse("temperature", "0.5"), member())
    await commands.handle(Write(), member())
    kept = await last_text(store, "discord", "here", "17")
    assert kept is not None
    assert kept.temperature == 0.5, "their own comes first"


async def test_a_group_may_be_for_its_administrators(commands: Commands, store: Store) -> None:
    reply = await commands.press("g:1::", administrator())
    reply = await press(commands, reply, "Administrators only", administrator())
    assert (await store.preferences("discord", "900")).access == ADMINISTRATORS
    for ask in (Write(), Write(Temperature(0.7)), parse("ladder", ""), parse("continue", "")):
        assert (await commands.handle(ask, member())).text == english("administrators-write")
        assert (await commands.handle(ask, administrator())).kind is Kind.TEXT or ask == parse("continue", "")
    for name in ("help", "privacy", "settings", "forgetme"):
        assert (await commands.handle(parse(name, ""), member())).kind is Kind.ANSWER
    assert (await commands.handle(Write(), replace(member(), group=""))).kind is Kind.TEXT, "in private they may"
    await press(commands, reply, "Everyone may write", administrator())
    assert (await commands.handle(Write(), member())).kind is Kind.TEXT


@pytest.mark.parametrize("data", ["g:17::", "g:17:access:administrators", "g:17:temperature:0.9", "g:17:all:"])
async def test_no_other_changes_a_group(commands: Commands, store: Store, data: str) -> None:
    for where in (member(), here()):
        assert (await commands.press(data, where)).text == english("administrators-only")
    assert await store.preferences("discord", "900") == Preferences()


async def test_under_a_text_of_a_group_only_administrators_change_what_is_the_groups(
    commands: Commands, store: Store
) -> None:
    """On Telegram every user who sees a button under a text that the group asked for may press it."""
    anyone = Where("telegram", "-1", "-1", group="-1")
    for data in ("t:-1:0.9", "p:-1:length:800", "l:-1:pt-BR", "f:-1"):
        assert (await commands.press(data, anyone)).text == english("administrators-only")
    assert (await commands.press("t:-1:0.9", replace(anyone, administers=yes))).kind is Kind.ANSWER
    assert await store.preferences("telegram", "-1") == Preferences(0.9)


@pytest.mark.parametrize(
    "data",
    [
        "p:1",
        "p:1:x:1",
        "p:1:temperature:9",
        "p:1:length:99999",
        "p:1:language:xx",
        "p:1:access:all",
        "p:1:all:1",
        "p:1::1",
        "p:1:x:",
        "p:1:temperature = 2 --:",
    ],
)
def test_no_button_has_other_data(data: str) -> None:
    assert buttons.decode(data) is None


async def test_settings_as_text_say_how_they_are_changed(commands: Commands) -> None:
    said = await commands.handle(Settings(), Where("console", "local", "local"))
    assert "/temperature 0.65, /length 1000, /language" in said.text


async def test_plain_settings_commands_show(commands: Commands) -> None:
    assert (await commands.handle(Plain("length"), here())).text == english("length-none", default=SETTINGS.length)

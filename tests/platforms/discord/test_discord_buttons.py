"""The buttons under a text on a simulated Discord."""

from __future__ import annotations

from conftest import english
from discord_support import (
    World,
    as_shown,
    labels,
    shown,
)

from bot.config.schema import DiscordSection
from bot.platforms.discord.client import Client
from bot.platforms.discord.render import PREFIX
from bot.store.store import KEPT_TEXTS

MAX_LABEL = 80
"""Characters on a button (https://discord.com/developers/docs/components/reference#button)."""


async def test_every_button_writes_another_text_below(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche", temperature=0.7, prompt="The philosopher")
    assert first.response is not None
    result = first
    for label in ("Again", "Hotter (0.8)", "Colder (0.6)", "Continue"):
        above = (result if label == "Continue" else first).response
        assert above is not None
        result = await here.alice.click(above, label=label)
        assert not result.ephemeral
        assert result.response is not None
        assert result.response.id != first.response.id
        assert shown(result).startswith("The philosopher") is (label != "Continue")
        assert [label.split()[0] for label in labels(result)][:5] == [
            "Again", "Continue", "Hotter", "Colder", "Surprise",
        ]  # fmt: skip
        assert first.response.content  # the text above stays


async def test_old_buttons_work_after_a_restart(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    assert first.response is not None
    await here.env.restart_bot(Client(here.core, DiscordSection()))
    for label in ("Again", "Hotter (0.8)", "Colder (0.6)"):
        result = await here.alice.click(first.response, label=label)
        assert shown(result).startswith("The philosopher")


async def test_what_cannot_be_continued_any_more_loses_its_buttons(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche")
    assert first.response is not None
    for _ in range(KEPT_TEXTS):
        await here.alice.slash(here.channel, "nietzsche")
    before = first.response.content
    result = await here.alice.click(first.response, label="Continue")
    message = here.env.backend.get_message(here.channel.id, first.response.id)
    assert (message.content, message.components) == (before, [])
    [answer] = result.followups
    assert as_shown(answer.content) == english("old-text")
    assert answer.ephemeral


async def test_a_temperature_becomes_the_persons_own_by_one_press(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche")
    assert first.response is not None
    hotter = await here.alice.click(first.response, label="Hotter (0.8)")
    assert labels(hotter)[-1] == "Always 0.8"
    assert hotter.response is not None
    result = await here.alice.click(hotter.response, label="Always 0.8")
    assert result.ephemeral
    assert shown(result) == english("temperature-own", own=0.8, default=0.7)


async def test_settings_are_edited_in_place(here: World) -> None:
    first = await here.alice.slash(here.channel, "settings")
    assert first.ephemeral
    assert first.response is not None
    result = await here.alice.click(first.response, label="Hotter (0.8)")
    assert shown(result).splitlines()[1] == "Temperature: 0.8"
    assert result.response is not None
    assert result.response.id == first.response.id
    assert labels(result)[:2] == ["Colder (0.7)", "Hotter (0.9)"]
    result = await here.alice.slash(here.channel, "length", value="800")
    assert "800" in shown(result)


async def test_an_administrator_reserves_a_server(here: World) -> None:
    operator = here.operator(administrator=True)
    first = await operator.slash(here.channel, "settings")
    assert first.response is not None
    second = await operator.click(first.response, label="Defaults of this group")
    assert second.response is not None
    await operator.click(second.response, label="Administrators only")
    assert shown(await here.alice.slash(here.channel, "nietzsche")) == english("administrators-write")
    assert shown(await operator.slash(here.channel, "nietzsche")) != english("administrators-write")


async def test_a_text_is_shaded_by_its_button(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche")
    assert first.response is not None
    result = await here.alice.click(first.response, label="Surprise")
    assert not result.ephemeral
    assert result.response is not None
    assert result.response.attachments


async def test_other_users_may_not_press_the_buttons(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche")
    assert first.response is not None
    result = await here.bob.click(first.response, label="Again")
    assert result.ephemeral
    assert shown(result) == english("not-your-text")


async def test_an_unknown_button_is_refused(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche")
    assert first.response is not None
    message = here.env.backend.get_message(here.channel.id, first.response.id)
    message.components[0]["components"][0]["custom_id"] = f"{PREFIX}x:y"
    result = await here.alice.click(first.response, label="Again")
    assert as_shown(result.followups[0].content) == english("no-such-button")
    assert result.followups[0].ephemeral
    assert message.components == []


async def test_buttons_of_other_bots_are_ignored(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche")
    assert first.response is not None
    message = here.env.backend.get_message(here.channel.id, first.response.id)
    message.components[0]["components"][0]["custom_id"] = "other:button"
    result = await here.alice.click(first.response, label="Again")
    assert not result.acknowledged


async def test_the_ids_of_buttons_fit_and_nothing_is_stored_for_them(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche")
    assert first.response is not None
    buttons = first.response.components[0]["components"]
    assert all(len(button["custom_id"]) <= 100 and len(button["label"]) <= MAX_LABEL for button in buttons)
    assert not here.client.persistent_views
    assert not here.client._connection._view_store._synced_message_views
    assert not here.client._connection._view_store._views
    assert not here.client._replying

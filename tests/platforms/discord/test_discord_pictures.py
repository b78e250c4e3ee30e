"""Pictures on a simulated Discord (simcord): the real discord.py, core, store and generator."""

from __future__ import annotations

from conftest import english
from discord_support import World, as_shown

from bot.core.reply import Picture, Reply
from bot.platforms.discord.render import messages_of


async def test_the_shaded_text_is_attached_for_all_to_see(here: World) -> None:
    await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    result = await here.alice.slash(here.channel, "surprise")
    assert not result.ephemeral
    assert result.response is not None
    [attachment] = result.response.attachments
    assert attachment.filename == "surprise.png"
    assert attachment.size > 1000
    assert as_shown(result.response.content).startswith("Your text surprises me by")
    assert not result.followups


async def test_without_a_text_the_person_alone_is_told_what_to_do(here: World) -> None:
    await here.alice.slash(here.channel, "nietzsche")
    result = await here.bob.slash(here.channel, "surprise")
    assert result.ephemeral
    assert result.response is not None
    assert as_shown(result.response.content) == english("no-text")
    assert not result.response.attachments


def test_a_picture_is_described_for_those_who_cannot_see_it() -> None:
    [message] = messages_of(Reply("a", picture=Picture(b"PNG", "a.png", "a picture")), with_notice=True)
    [file] = message.arguments()["files"]
    assert file.description == "a picture"
    assert (file.filename, file.fp.read()) == ("a.png", b"PNG")

"""People who just talk to the bot on Discord: direct messages, replies, and the bot's arrival on a server."""

from __future__ import annotations

import discord
from conftest import english
from discord_support import World, as_shown, labels
from simcord.backend.serializers import guild_create_payload

from bot.core.ask import Continue, Plain, Write
from generator import Temperature

PRIVILEGED = discord.Intents(members=True, presences=True, message_content=True).value


def said(messages_here: list[discord.Message]) -> str:
    return as_shown(messages_here[-1].content)


async def test_the_bot_asks_for_no_privileged_intent(here: World) -> None:
    assert here.client.intents == discord.Intents(guilds=True, guild_messages=True, dm_messages=True)
    assert not here.client.intents.value & PRIVILEGED


async def test_a_direct_message_is_a_prompt(here: World) -> None:
    alice = here.alice.user
    for typed, asked in (
        ("hello", Write(None, "hello")),
        ("0,9 The philosopher", Write(Temperature(0.9), "The philosopher")),
        ("Help", Plain("help")),
        ("/temperature", Plain("temperature")),
    ):
        before = len(alice.dm_channel.history())
        await alice.send_dm(typed)
        assert here.core.seen[-1][0] == asked
        assert len(alice.dm_channel.history()) == before + 2


async def test_a_direct_message_without_words_gets_one_line(here: World) -> None:
    picture = here.env.backend.store_attachments(here.alice.user.dm_channel.id, [("a.png", b"x")])
    for _ in range(2):
        await here.alice.user.send_dm("", attachments=picture)
        await here.alice.send(here.channel, "", attachments=[("a.png", b"x")])
    assert not here.core.seen
    texts = [as_shown(message.content) for message in here.alice.user.dm_channel.history()]
    assert [text for text in texts if text] == [english("words-only")]
    assert len(here.channel.history()) == 2


async def test_a_reply_to_a_text_continues_it(here: World) -> None:
    await here.alice.send(here.channel, f"<@{here.bot_id}> The philosopher")
    text = here.channel.last_message
    assert text is not None
    await here.alice.send(here.channel, "0.9 and the sea", reply_to=text)
    ask = here.core.seen[-1][0]
    assert isinstance(ask, Continue)
    assert ask.slot
    assert (ask.prompt, ask.temperature) == ("and the sea", Temperature(0.9))
    assert said(here.channel.history()).startswith("and the sea")


async def test_a_reply_to_the_answer_of_a_slash_command_continues_it_without_its_words(here: World) -> None:
    """Discord delivers no words of such a reply without a privileged intent."""
    result = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    assert "Continue" in labels(result)
    assert result.response is not None
    await here.alice.send(here.channel, "and the sea", reply_to=result.response)
    ask = here.core.seen[-1][0]
    assert isinstance(ask, Continue)
    assert (bool(ask.slot), ask.prompt) == (True, "")
    await here.bob.send(here.channel, "nonsense", reply_to=result.response)
    assert here.core.seen[-1][0] is ask


async def test_a_reply_to_the_text_of_another_user_is_a_prompt(here: World) -> None:
    await here.alice.send(here.channel, f"<@{here.bot_id}> The philosopher")
    text = here.channel.last_message
    assert text is not None
    await here.bob.send(here.channel, "The sea", reply_to=text)
    assert here.core.seen[-1][0] == Write(None, "The sea")


async def test_what_people_say_to_each_other_is_not_answered(here: World) -> None:
    await here.alice.send(here.channel, f"<@{here.bot_id}> help")
    helped = here.channel.last_message
    assert helped is not None
    await here.alice.send(here.channel, "thanks", reply_to=helped)
    await here.bob.send(here.channel, "hello", reply_to=here.channel.history()[0])
    assert [ask for ask, _ in here.core.seen] == [Plain("help")]


async def test_what_only_operators_should_see_is_not_posted_for_a_mention(here: World) -> None:
    operator = here.operator()
    await operator.send(here.channel, f"<@{here.bot_id}> /stats")
    assert "weights" not in said(here.channel.history())
    await operator.user.send_dm("/stats")
    assert said(operator.user.dm_channel.history()).startswith("weights")


async def test_mentions_are_refused_once_a_minute(here: World) -> None:
    for _ in range(3):
        await here.alice.send(here.channel, f"<@{here.bot_id}> 9 lives")
    assert len(here.channel.history()) == 4
    await here.alice.user.send_dm("9 lives")
    await here.alice.user.send_dm("9 lives")
    assert len(here.alice.user.dm_channel.history()) == 4


async def test_being_added_to_a_server_says_how_it_works(here: World) -> None:
    backend = here.env.backend

    async def add(guild_id: int) -> None:
        """The bot leaves and is added. For a new server, Discord does not say whether it was available."""
        backend.emit("GUILD_DELETE", {"id": str(guild_id)})
        payload = guild_create_payload(backend, backend.guilds[guild_id])
        backend.emit("GUILD_CREATE", {key: value for key, value in payload.items() if key != "unavailable"})
        await here.env.settle()

    await add(here.guild.id)
    assert len(here.channel.history()) == 0, "it has no channel for that"
    backend.guilds[here.guild.id].system_channel_id = here.channel.id
    await add(here.guild.id)
    [welcome] = here.channel.history()
    assert "/nietzsche" in as_shown(welcome.content)
    denied = discord.PermissionOverwrite(send_messages=False)
    silent = here.guild.create_text_channel("silent", overwrites={here.guild.default_role: denied})
    backend.guilds[here.guild.id].system_channel_id = silent.id
    backend.guilds[here.guild.id].roles = {here.guild.id: backend.guilds[here.guild.id].roles[here.guild.id]}
    await add(here.guild.id)
    assert len(silent.history()) == 0
    assert not here.core.lost

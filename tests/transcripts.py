"""Transcripts of the bot on each platform, made by running it: `python tests/transcripts.py` writes them into
docs/commands.md, and the pictures beside it. `test_transcripts.py` holds them up to date, except for the generated
texts, which have a bar before them, and the picture of one.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `testing` is no part of the installed package

import discord
from chat_picture import chat_picture
from discord_support import World, as_shown, core_on, world
from discord_support import labels as labels_of
from telegram_support import FAST, section, serving

from bot.platforms.telegram.platform import Telegram
from bot.platforms.terminal import pipe
from generator.weights.versions import current_version, shipped_folder
from testing.telegram import Chat, Sent, TelegramServer

DOCUMENT: Final = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
SETTINGS_PICTURE: Final = DOCUMENT.with_name("settings.png")
SURPRISE_PICTURE: Final = DOCUMENT.with_name("surprise.png")
BLOCK: Final = re.compile(r"(?<=<!-- transcripts -->\n).*(?=<!-- /transcripts -->)", re.DOTALL)
GENERATED: Final = "│"
WIDTH: Final = 100
SETTINGS: Final = {"length": 120, "cooldown": 0.0}


def typed(who: str, text: str) -> str:
    return f"{who}: {text}"


def told(text: str, buttons: list[str], *, generated: bool) -> str:
    """What the bot says, with its buttons below."""
    bar = f"{GENERATED} " if generated else "  "
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, WIDTH - 2) or [""]]
    return "\n".join(
        [bar + line for line in lines] + (["  " + " ".join(f"[{label}]" for label in buttons)] if buttons else [])
    )


async def on_telegram(folder: Path, pictures: dict[Path, bytes]) -> list[str]:
    """A private chat, a group, and inline mode. Adds the `pictures` of the document, by their files."""
    lines: list[str] = []

    def hear(sent: Sent) -> None:
        lines.append(told(sent.text, sent.labels, generated="Again" in sent.labels))

    async def say(chat: Chat, text: str, **extra: object) -> Sent:
        lines.append(typed("alice", text))
        await chat.send(text, by=alice, **extra)  # type: ignore[arg-type] # parts of a message
        hear(await chat.next_message())
        return chat.messages.all[-1]

    async with (
        TelegramServer(username="yourbot") as server,
        core_on(folder, folder / "telegram", **SETTINGS) as (core, _),
        serving(Telegram(section(server), core, limits=FAST)),
    ):
        alice = server.user("alice")
        chat, group = server.private(alice), server.supergroup()
        lines.append("(a private chat)")
        text = await say(chat, "The philosopher")
        lines.append(typed("alice", "/surprise"))
        await chat.send("/surprise", by=alice)
        await chat.next_message()
        surprise = chat.messages.all[-1]
        assert surprise.photo is not None
        pictures[SURPRISE_PICTURE] = surprise.photo
        lines.append(told(f"(a picture) {surprise.text}", [], generated=True))
        lines.append("(in reply to the text)")
        await say(chat, "0.9 And the sea", reply_to_message=chat.message_json(text))
        refused = await say(chat, "/nietzsche 77 What is noble")
        lines.append("(alice presses [Write at 2])")
        await alice.press(refused, "Write at 2")
        hear(await chat.next_message())
        settings = await say(chat, "/settings")
        pictures[SETTINGS_PICTURE] = chat_picture("/settings", settings)
        await say(chat, "help")
        lines.append("(a group, to which alice adds the bot)")
        await group.add_bot(by=alice)
        hear(await group.next_message())
        await say(group, "@yourbot 0.5 The soul")
        lines.append("(any chat)")
        for query in ("The sea", "77 The sea"):
            lines.append(typed("alice", f"@yourbot {query}"))
            asked = await alice.inline(query)
            offered = [result["title"] for result in await asked.answer()] or [asked.button["text"]]
            lines.append(told("", offered, generated=False).strip("\n "))
    return lines


async def on_discord(folder: Path, _: dict[Path, bytes]) -> list[str]:
    """A channel and a direct message."""
    lines: list[str] = []

    def hear(message: discord.Message | None) -> None:
        assert message is not None
        buttons = [
            b.label or ""
            for row in message.components
            if isinstance(row, discord.ActionRow)
            for b in row.children
            if isinstance(b, discord.Button)
        ]
        lines.append(told(as_shown(message.content), buttons, generated=len(buttons) > 1))

    async def slash(here: World, name: str, **options: object) -> None:
        shown = "".join(f" {key}:{value}" for key, value in options.items())
        lines.append(typed("alice", f"/{name}{shown}"))
        result = await here.alice.slash(here.channel, name, **options)
        assert result.response is not None
        lines.append(told(as_shown(result.response.content), labels_of(result), generated=bool(labels_of(result))))

    async with world(folder, **SETTINGS) as here:
        lines.append("(a channel)")
        await slash(here, "nietzsche", temperature=0.7, prompt="The philosopher", length=120)
        await slash(here, "help")
        lines.append(typed("alice", "@yourbot 0.5 The soul"))
        await here.alice.send(here.channel, f"<@{here.bot_id}> 0.5 The soul")
        hear(here.channel.last_message)
        lines.append("(a direct message)")
        for text in ("The sea", "77 The sea"):
            lines.append(typed("alice", text))
            await here.alice.user.send_dm(text)
            hear(here.alice.user.dm_channel.last_message)
    return lines


async def in_a_terminal(folder: Path, _: dict[Path, bytes]) -> list[str]:
    """Lines, one after the other."""
    lines: list[str] = []
    async with core_on(folder, folder / "terminal", **SETTINGS) as (core, _):
        session = pipe.Session(core)
        for line in ("The philosopher", "/continue", "/temperature 0,8", "/temperature", "/surprise", "/contineu"):
            lines.append(f"› {line}")
            reply = await session.respond(line)
            lines.append(told(pipe.plain(reply), [], generated=bool(reply.passages) or line == "/surprise"))
    return lines


async def transcripts() -> tuple[str, dict[Path, bytes]]:
    """Returns the block of the document, and its pictures by their files."""
    secrets.randbelow = lambda _: 7  # every text has the same seed
    version = current_version(shipped_folder())
    parts: list[str] = []
    pictures: dict[Path, bytes] = {}
    for title, run in (("Telegram", on_telegram), ("Discord", on_discord), ("A terminal", in_a_terminal)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            shutil.copytree(shipped_folder() / version, folder / version)
            (folder / "CURRENT").write_text(f"{version}\n")
            parts.append(f"### {title}\n\n```text\n" + "\n".join(await run(folder, pictures)) + "\n```\n")
    return "\n" + "\n".join(parts) + "\n", pictures


def without_generated(text: str) -> str:
    """Returns a transcript without what depends on the weights and the processor."""
    return "\n".join(line for line in text.split("\n") if not line.startswith(GENERATED))


if __name__ == "__main__":
    made, drawn = asyncio.run(transcripts())
    for file, content in drawn.items():
        file.write_bytes(content)
    document = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(BLOCK.sub(lambda _: made, document), encoding="utf-8")

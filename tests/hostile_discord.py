"""Strangers on Discord: interactions as no friendly client sends them, replayed by others; and what comes of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import discord
import hostile
from discord_support import SLASH, SUPPRESS_EMBEDS, World, as_shown, world
from hostile import Journal
from simcord.actors import MemberActor
from simcord.interactions import base_payload

from bot.core.commands import OPERATOR_COMMANDS, USER_COMMANDS
from bot.platforms.discord.platform import configure_logging
from bot.platforms.discord.render import MAX_MESSAGE, PREFIX
from bot.platforms.text import utf16_length

COMPONENT, AUTOCOMPLETE, MODAL = 3, 4, 5
MAX_CHOICES, MAX_CHOICE_NAME = 25, 100
"""Suggestions for an option, and characters of one's name
(https://discord.com/developers/docs/interactions/application-commands#application-command-object-application-command-option-structure)."""
PEOPLE = 4
MOST_SECONDS = 20.0
"""For one answer. It takes some milliseconds; a machine may have other things to do."""
_TYPES = (3, 4, 5, 6, 7, 8, 9, 10, 11)
"""Of options (https://discord.com/developers/docs/interactions/application-commands#application-command-object)."""


class Strangers:
    """People around one bot. `step` has one of them do something, and returns what went wrong."""

    def __init__(self, here: World, journal: Journal, draw: random.Random) -> None:
        self._here, self._journal, self._draw = here, journal, draw
        self._people: dict[MemberActor, str] = {}
        for _ in range(PEOPLE):
            name, mark = hostile.word(draw), hostile.word(draw)
            self._people[here.guild.add_member(here.env.create_user(name))] = mark
            journal.secret |= {name, mark}
        self._made: list[str] = []
        """Custom IDs that the bot made."""
        self.did = ""

    async def step(self) -> list[str]:
        """Somebody does something."""
        draw, here = self._draw, self._here
        person, mark = draw.choice(list(self._people.items()))
        log = here.env.backend.http_requests
        log.clear()
        began = time.monotonic()
        async with asyncio.timeout(60):
            due = await draw.choice(
                (self._slash, self._slash, self._press, self._complete, self._modal, self._mention)
            )(person, mark)
        found = [] if time.monotonic() - began < MOST_SECONDS else ["took too long"]
        # An update removes the buttons that do nothing any more; the answer follows.
        update = discord.InteractionResponseType.message_update.value
        answers = [
            entry
            for entry in log
            if entry.path.endswith(("/callback", "/messages")) and (entry.json or {}).get("type") != update
        ]
        if due is not None and len(answers) != due:
            found.append(f"{len(answers)} answers, {due} were due")
        for entry in log:
            if entry.method in {"POST", "PATCH"}:
                found += self._told(entry.path, entry.json or {}, mark)
        found += [
            f"{type(error).__name__} escaped"
            for error in here.env.errors[here.env._errors_acknowledged :]
            if not isinstance(error, discord.app_commands.AppCommandError)
            or isinstance(error, discord.app_commands.CommandInvokeError)
        ]
        here.env._errors_acknowledged = here.env.error_cursor
        return found + self._journal.troubles()

    async def _emit(self, person: MemberActor, kind: int, data: dict[str, Any]) -> None:
        env = self._here.env
        private = self._draw.random() < 0.5
        channel = person.user.dm_channel.id if private else self._here.channel.id
        guild = None if private else self._here.guild.id
        _, payload = base_payload(
            env.backend, type=kind, channel_id=channel, guild_id=guild, user_id=person.id, data=data
        )
        env.backend.emit("INTERACTION_CREATE", payload)
        await env.settle()

    def _options(self, mark: str) -> list[dict[str, Any]]:
        draw = self._draw
        values = (
            hostile.line(draw, mark), hostile.text(draw, mark), draw.choice(hostile.NOTATIONS), 0.7, -1, 2**53, 1e308,
            float("nan"), float("inf"), True, None, [], {}, "1" * 5000, 60,
        )  # fmt: skip
        names = ["temperature", "prompt", "length", "value", "more", draw.choice(hostile.FRAGMENTS)]
        return [
            {
                "name": name,
                "type": draw.choice(_TYPES[:2] + _TYPES[-2:-1] if draw.random() < 0.8 else _TYPES),
                "value": draw.choice(values),
            }
            for name in draw.sample(names, draw.randrange(3))
        ]

    def _command(self, mark: str) -> dict[str, Any]:
        draw = self._draw
        if draw.random() < 0.4:  # as the real client would send it
            options = [{"name": "prompt", "type": 3, "value": hostile.text(draw, mark)[:1000] or "x"}]
            return {"id": "1", "name": draw.choice(("nietzsche", "ladder")), "type": 1, "options": options}
        if draw.random() < 0.3:
            options = [{"name": "value", "type": 3, "value": (hostile.text(draw, mark) or "x")[:32]}]
            return {"id": "1", "name": "temperature", "type": 1, "options": options}
        name = draw.choice((*USER_COMMANDS, *OPERATOR_COMMANDS, mark, draw.choice(hostile.FRAGMENTS)))
        return {"id": "1", "name": name, "type": 1, "options": self._options(mark)}

    async def _slash(self, person: MemberActor, mark: str) -> None:
        data = self._command(mark)
        self.did = f"slash {data}"
        await self._emit(person, SLASH, data)
        if not self._here.env.backend.http_requests:
            raise AssertionError(f"no answer to {hostile.printable(data)}")

    async def _press(self, person: MemberActor, mark: str) -> int:
        data = hostile.button(self._draw, str(person.id), self._made)
        custom_id = self._draw.choice((PREFIX, PREFIX, PREFIX, "", "lstmega", mark)) + data
        self.did = f"press {custom_id}"
        self._here.core.asked.clear()
        await self._emit(person, COMPONENT, {"custom_id": custom_id, "component_type": 2})
        return 1 if custom_id.startswith(PREFIX) else 0

    async def _complete(self, person: MemberActor, mark: str) -> None:
        draw = self._draw
        data = self._command(mark)
        name, kind = draw.choice(("temperature", "value", "prompt")), draw.choice((3, 10))
        data["options"] = [{"name": name, "type": kind, "value": hostile.text(draw, mark)[:100], "focused": True}]
        self.did = f"complete {data}"
        await self._emit(person, AUTOCOMPLETE, data)

    async def _modal(self, person: MemberActor, mark: str) -> int:
        custom_id = self._draw.choice((PREFIX, "")) + hostile.button(self._draw, str(person.id), self._made)
        typed = {"type": 4, "custom_id": "x", "value": hostile.text(self._draw, mark)}
        self.did = f"modal {custom_id}"
        await self._emit(person, MODAL, {"custom_id": custom_id, "components": [{"type": 1, "components": [typed]}]})
        return 0

    async def _mention(self, person: MemberActor, mark: str) -> int:
        name = f"<@{self._here.bot_id}>"
        typed = hostile.text(self._draw, mark)
        content = self._draw.choice((f"{name} {typed}", f"{name}{typed}", f"{typed} {name}", typed))[:MAX_MESSAGE]
        if not content.strip():
            return 0
        self.did = f"mention {content}"
        await person.send(self._here.channel, content)
        return None if content.lstrip().startswith(name) else 0

    def _told(self, path: str, body: dict[str, Any], mark: str) -> list[str]:
        if path.endswith("/typing"):
            return []
        if path.endswith("/callback"):
            if body["type"] == discord.InteractionResponseType.autocomplete_result.value:
                choices = body["data"]["choices"]
                long = any(len(choice["name"]) > MAX_CHOICE_NAME for choice in choices)
                return ["suggestions out of their limits"] if long or len(choices) > MAX_CHOICES else []
            body = body.get("data") or {}
        if "content" not in body:
            return []
        content, found = body["content"], []
        if not 0 < utf16_length(content) <= MAX_MESSAGE:
            found.append(f"a message of {utf16_length(content)} UTF-16 units")
        try:
            as_shown(content)
        except AssertionError as error:
            found.append(f"markup {error}: {hostile.printable(content)[:300]}")
        if body.get("allowed_mentions") != {"parse": []}:
            found.append(f"mentions allowed: {body.get('allowed_mentions')}")
        if not body.get("flags", 0) & SUPPRESS_EMBEDS:
            found.append("a preview of links")
        found += [
            f"{other}'s words told to somebody else"
            for other in set(self._people.values()) - {mark}
            if other in content
        ]
        self._made = [*self._made[-40:], *_custom_ids(body)]
        return found


def _custom_ids(body: dict[str, Any]) -> list[str]:
    rows = body.get("components") or []
    return [button["custom_id"].removeprefix(PREFIX) for row in rows for button in row["components"]]


@asynccontextmanager
async def strangers(folder: Path, draw: random.Random) -> AsyncIterator[Strangers]:
    """A bot with the weights in `folder`, on a Discord full of strangers."""
    journal = Journal()
    configure_logging()
    async with world(folder, length=30) as here:
        yield Strangers(here, journal, draw)

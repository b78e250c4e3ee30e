"""Users on a loopback Discord: commands arrive through the gateway, answers through the REST interface.

Discord's limits are not simulated. Its 50 requests a second for a bot do not hold here: "Interaction endpoints are not
bound to the bot's Global Rate Limit" (https://discord.com/developers/docs/topics/rate-limits#global-rate-limit).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from benchmarks.service.people import Kind
from testing.discord import DiscordServer, command, interaction_token, json_response, message

Options = dict[str, str | float]
_MESSAGE: Final = 4
"""https://discord.com/developers/docs/interactions/receiving-and-responding#interaction-response-object-interaction-callback-type"""
_EPHEMERAL: Final = 1 << 6
"""Flag of a message that only the user sees, as refusals are.
https://discord.com/developers/docs/resources/message#message-object-message-flags"""
_PICTURE: Final[dict[str, Any]] = {"content": "", "components": True}
_WITH_PICTURE: Final[dict[str, Any]] = _PICTURE | {"type": _MESSAGE, "data": _PICTURE}
"""Stands for a request with a file, which is not read."""
_MESSAGE_SENT: Final = json.dumps(message("50", "")).encode()
"""A webhook's response. The text is not repeated, since the bot does not read it."""


class LoadedDiscord(DiscordServer):
    """The tests' Discord, without a record of messages; each user gets their answer as a future."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1_000_000)
        self._waiting: dict[str, asyncio.Future[tuple[float, int, Kind]]] = {}

    async def ask(self, person: str, channel: str, name: str, options: Options) -> tuple[float, int, Kind]:
        """Uses a command in a channel; returns when the answer with the buttons arrived, its length and kind."""
        number = str(next(self._numbers))
        answer: asyncio.Future[tuple[float, int, Kind]] = asyncio.get_running_loop().create_future()
        self._waiting[interaction_token(number)] = answer
        try:
            await self.send("INTERACTION_CREATE", command(name, number, person, channel, options=options))
            return await answer
        finally:
            del self._waiting[interaction_token(number)]

    async def handle(self, request: web.Request) -> web.Response:
        """Answers one request; what answers a user is not recorded."""
        path = request.match_info["path"].split("/")
        if path[0] not in {"interactions", "webhooks"}:
            return await super().handle(request)
        body = await request.json() if request.content_type == "application/json" else _WITH_PICTURE
        match path:
            case ["interactions", number, token, "callback"]:
                if body["type"] == _MESSAGE:
                    self._resolve(token, body["data"])
                return json_response({"interaction": {"id": number, "type": 2, "response_message_id": "50"}})
            case ["webhooks", _, token, *_]:
                self._resolve(token, body)
                return web.Response(body=_MESSAGE_SENT, content_type="application/json")
        return await super().handle(request)

    def _resolve(self, token: str, message: dict[str, Any]) -> None:
        answer = self._waiting.get(token)
        kind = (
            Kind.REFUSAL if message.get("flags", 0) & _EPHEMERAL else Kind.TEXT if message.get("components") else None
        )
        if answer is not None and not answer.done() and kind is not None:
            answer.set_result((time.monotonic(), len(message["content"]), kind))


@dataclass(frozen=True)
class DiscordPerson:
    """A user in a channel."""

    server: LoadedDiscord
    id: str
    channel: str
    command: str = "nietzsche"
    options: Options = field(default_factory=lambda: {"temperature": 0.7})

    async def ask(self) -> tuple[float, int, Kind]:
        """See `Person`."""
        return await self.server.ask(self.id, self.channel, self.command, self.options)


def in_channels(server: LoadedDiscord, count: int, each: int = 1) -> list[DiscordPerson]:
    """Returns users who use /nietzsche, `each` of them in a channel."""
    return [DiscordPerson(server, str(10_000 + n), str(500_000 + n // each)) for n in range(count)]

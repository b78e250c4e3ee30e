"""The gateway: sessions over WebSocket that identify, send heartbeats, break and resume."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from aiohttp import WSMsgType, web

from testing.discord.payloads import BOT, TOKEN, command, message, user

# https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-opcodes
DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID, HELLO, ACKNOWLEDGED = 0, 1, 2, 6, 7, 9, 10, 11
_AUTHENTICATION_FAILED: Final = 4004
_HEARTBEAT_MILLISECONDS: Final = 45000


class Gateway:
    """Sends events to the newest session. `changed` is set whenever something comes in.

    `deaf`: nothing is read after READY. `silent_heart`: on the next connection heartbeats are wanted every so many
    milliseconds, and not acknowledged. `replay_everything`: a resumed session gets all its events again, not only what
    it has missed. `ignore_resume`: RESUME gets no answer.
    """

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.identified = 0
        self.resumes = 0
        """How many RESUMEs came."""
        self.resumed = 0
        """How many of them were answered."""
        self.shards: list[list[int]] = []
        """Which shard each session is, of how many."""
        self.queries: list[dict[str, str]] = []
        """The query of each connection's address."""
        self.events: list[dict[str, Any]] = []
        """Every event of the session, in order."""
        self.refuse_identify = False
        self.deaf = False
        self.silent_heart = 0
        self.replay_everything = False
        self.ignore_resume = False
        self._sockets: list[web.WebSocketResponse] = []
        self._transports: list[asyncio.Transport | None] = []

    async def send(self, event: str, data: dict[str, Any]) -> None:
        """Sends an event to the newest session; one that is not connected gets it when it resumes."""
        self.events.append({"op": DISPATCH, "t": event, "s": len(self.events) + 2, "d": data})
        with contextlib.suppress(ConnectionError):
            await self._sockets[-1].send_json(self.events[-1])

    async def op(self, op: int, data: Any = None) -> None:
        """Sends an operation of the gateway."""
        await self._sockets[-1].send_json({"op": op, "d": data})

    async def close(self, code: int) -> None:
        """Closes the newest connection with a close code."""
        await self._sockets[-1].close(code=code)

    def cut(self) -> None:
        """Cuts the newest connection without a close code."""
        transport = self._transports[-1]
        if transport is not None:
            transport.abort()

    async def mention(self, number: int, text: str) -> None:
        """Sends a user's message that begins with a mention of the bot."""
        await self.send("MESSAGE_CREATE", message(str(number), f"<@{BOT['id']}> {text}", author=user("7")))

    async def slash(self, name: str, number: int = 900, person: str = "7", **options: str) -> None:
        """Sends a user's command in a direct message."""
        await self.send("INTERACTION_CREATE", command(name, str(number), person, options={**options}))

    async def click(self, custom_id: str, number: int = 900, person: str = "7") -> None:
        """Sends a user's press of a button in a direct message."""
        press = {"type": 3, "data": {"custom_id": custom_id, "component_type": 2}}
        await self.send("INTERACTION_CREATE", command("", str(number), person) | press)

    async def connection(self, request: web.Request) -> web.WebSocketResponse:
        """Serves one connection."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.queries.append(dict(request.query))
        self.changed.set()
        silent, self.silent_heart = self.silent_heart, 0
        await socket.send_json({"op": HELLO, "d": {"heartbeat_interval": silent or _HEARTBEAT_MILLISECONDS}})
        async for received in socket:
            if received.type is not WSMsgType.TEXT:
                continue
            payload = received.json()
            if payload["op"] == HEARTBEAT and not silent:
                await socket.send_json({"op": ACKNOWLEDGED})
            elif payload["op"] == RESUME:
                self._open(socket, request)
                await self._resume(socket, payload["d"])
            elif payload["op"] == IDENTIFY:
                if self.refuse_identify or payload["d"]["token"] != TOKEN:
                    await socket.close(code=_AUTHENTICATION_FAILED, message=b"Authentication failed.")
                    break
                self._open(socket, request)
                await self._identify(socket, payload["d"])
        return socket

    def _open(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self._sockets.append(socket)
        self._transports.append(request.transport)

    async def _resume(self, socket: web.WebSocketResponse, data: dict[str, Any]) -> None:
        self.resumes += 1
        if not self.ignore_resume:
            missed = 0 if self.replay_everything else data["seq"]
            for event in [event for event in self.events if event["s"] > missed]:
                await socket.send_json(event)
            await socket.send_json({"op": DISPATCH, "t": "RESUMED", "s": len(self.events) + 2, "d": {}})
            self.resumed += 1
        self.changed.set()

    async def _identify(self, socket: web.WebSocketResponse, data: dict[str, Any]) -> None:
        self.events.clear()  # of another session
        shard = data.get("shard", [0, 1])
        self.shards.append(shard)
        ready = {"v": 10, "user": BOT, "guilds": [], "session_id": "s", "shard": shard}
        ready |= {"application": {"id": BOT["id"], "flags": 0}, "resume_gateway_url": "wss://example.invalid"}
        await socket.send_json({"op": DISPATCH, "t": "READY", "s": 1, "d": ready})
        self.identified += 1
        self.changed.set()
        if self.deaf:
            await asyncio.Event().wait()

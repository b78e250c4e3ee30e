"""A Discord on loopback, for what lies below simcord: real HTTP and a real connection to the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

TOKEN = "MTIz.secret-token.of-the-bot"  # noqa: S105 - of nobody
BOT = {"id": "100", "username": "lstmega", "discriminator": "0", "avatar": None, "bot": True}
DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID, HELLO, ACKNOWLEDGED = 0, 1, 2, 6, 7, 9, 10, 11
ALREADY_ACKNOWLEDGED = 40060


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """As Discord answers: the library knows JSON by exactly this content type, without a charset."""
    return web.Response(body=json.dumps(body).encode(), status=status, headers=headers, content_type="application/json")


_EMPTY = ("mentions", "mention_roles", "attachments", "embeds", "components")
_MESSAGE: dict[str, Any] = {
    "timestamp": "2024-01-01T00:00:00+00:00",
    "edited_timestamp": None,
    "tts": False,
    "mention_everyone": False,
    "pinned": False,
    "flags": 0,
    **{name: [] for name in _EMPTY},
}


class DiscordServer:
    """Answers what the bot asks, records it, and sends it events.

    `answers`: path prefix -> (status, body, headers), each given once before the real ones. `deaf`: the gateway hears
    nothing more after READY. `faults`: parts of paths and what happens, each once, to a request whose path holds it:
    "cut" it is before it is carried out, or "cut after", or it is carried out and a status given instead of the result.
    `shown`: what stands in the channel, as (what it answers, text); an interaction may be answered once, and a message
    with a nonce is posted once. `silent_heart`: on the next connection heartbeats are wanted every so many
    milliseconds, and not acknowledged.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, str, Any]] = []
        self.answers: dict[str, list[tuple[int, dict[str, Any], dict[str, str]]]] = {}
        self.identified = 0
        self.shards: list[list[int]] = []
        """What each connection said which shard it is, of how many."""
        self.queries: list[dict[str, str]] = []
        self.refuse_identify = False
        self.deaf = False
        self.changed = asyncio.Event()
        self.faults: list[tuple[str, str | int]] = []
        self.shown: list[list[str]] = []
        self.events: list[dict[str, Any]] = []
        """Every event of the session, in order."""
        self.resumed = 0
        self.replay_everything = False
        """Whether a session that goes on is told all its events again, not only what it has missed."""
        self.silent_heart = 0
        self.ignore_resume = False
        """Whether RESUME is left without an answer."""
        self.resumes = 0
        """How many RESUMEs came."""
        self._acknowledged: dict[str, list[str] | None] = {}
        """By interaction, what its original response shows; `None` while that says that the bot thinks."""
        self._nonces: dict[str, list[str]] = {}
        self._sockets: list[web.WebSocketResponse] = []
        self._transports: list[asyncio.Transport | None] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[DiscordServer]:
        """Serves on a free port."""
        app = web.Application()
        app.router.add_get("/gateway/", self._gateway)
        app.router.add_route("*", "/api/v10/{path:.*}", self._rest)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    @property
    def gateway_url(self) -> str:
        return self.url.replace("http:", "ws:") + "/gateway/"

    async def until(self, condition: Callable[[], bool], patience: float = 10) -> None:
        """Waits for something to have come in."""
        async with asyncio.timeout(patience):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def sent(self, method: str, path: str) -> list[Any]:
        return [body for verb, where, body in self.requests if verb == method and path in where]

    async def send(self, event: str, data: dict[str, Any]) -> None:
        """An event, to the newest session; who is not connected gets it when the session goes on."""
        self.events.append({"op": DISPATCH, "t": event, "s": len(self.events) + 2, "d": data})
        with contextlib.suppress(ConnectionError):
            await self._sockets[-1].send_json(self.events[-1])

    async def op(self, op: int, data: Any = None) -> None:
        """An operation of the gateway."""
        await self._sockets[-1].send_json({"op": op, "d": data})

    async def close(self, code: int) -> None:
        """Closes the connection to the gateway with a close code."""
        await self._sockets[-1].close(code=code)

    def cut(self) -> None:
        """The connection to the gateway is gone, without a word."""
        transport = self._transports[-1]
        if transport is not None:
            transport.abort()

    async def mention(self, number: int, text: str) -> None:
        """Somebody writes to the bot by its name."""
        user = {"id": "7", "username": "alice", "discriminator": "0", "avatar": None}
        message = {"id": str(number), "channel_id": "5", "type": 0, "author": user, "content": f"<@100> {text}"}
        await self.send("MESSAGE_CREATE", message | _MESSAGE)

    async def slash(self, name: str, number: int = 900, person: str = "7", **options: str) -> None:
        """Somebody uses a command in a direct message."""
        user = {"id": person, "username": "alice", "discriminator": "0", "avatar": None}
        await self.send(
            "INTERACTION_CREATE",
            {
                "id": str(number),
                "application_id": BOT["id"],
                "type": 2,
                "token": f"interaction-token-{number}",
                "version": 1,
                "data": {
                    "id": "1",
                    "name": name,
                    "type": 1,
                    "options": [{"name": option, "type": 3, "value": value} for option, value in options.items()],
                },
                "channel_id": "5",
                "channel": {"id": "5", "type": 1, "recipients": [user], "last_message_id": None},
                "user": user,
                "locale": "en-US",
                "entitlements": [],
                "context": 1,
                "authorizing_integration_owners": {"1": person},
                "attachment_size_limit": 1,
            },
        )

    async def _rest(self, request: web.Request) -> web.Response:
        path = "/" + request.match_info["path"]
        body = await request.json() if request.content_type == "application/json" and request.can_read_body else None
        self.requests.append((request.method, path, body))
        self.changed.set()
        for prefix, answers in self.answers.items():
            if path.startswith(prefix) and answers:
                status, given, headers = answers.pop(0)
                return _json(given, status=status, headers=headers)
        fault = next((fault for fault in self.faults if fault[0] in f"{request.method} {path}"), None)
        if fault is not None:
            self.faults.remove(fault)
            if fault[1] != "cut":
                self._answer(request.method, path, body)
            if isinstance(fault[1], int):
                return _json({}, status=fault[1])
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        signed = path.startswith(("/interactions/", "/webhooks/"))  # with the token of the interaction
        if not signed and request.headers.get("Authorization") != f"Bot {TOKEN}":
            return _json({"code": 0, "message": "401: Unauthorized"}, status=401)
        return self._answer(request.method, path, body)

    def _answer(self, method: str, path: str, body: Any) -> web.Response:  # noqa: PLR0911 - a table of paths
        if path == "/users/@me":
            return _json(BOT)
        if path == "/oauth2/applications/@me":
            application = {"id": BOT["id"], "name": "lstmega", "icon": None, "description": "", "bot_public": True}
            return _json(
                application
                | {"bot_require_code_grant": False, "verify_key": "0", "flags": 0, "team": None, "owner": BOT}
            )
        if path == "/gateway/bot":
            limits = {"total": 1000, "remaining": 999, "reset_after": 1, "max_concurrency": 1}
            return _json({"url": self.gateway_url, "shards": 1, "session_start_limit": limits})
        if method == "PUT" and path.endswith("/commands"):
            told = [{"id": str(n), "application_id": BOT["id"], "version": "1"} | one for n, one in enumerate(body)]
            return _json(told)
        if path.endswith("/callback"):
            if path.split("/")[2] in self._acknowledged:
                return _json({"code": ALREADY_ACKNOWLEDGED, "message": "Interaction has already been ..."}, status=400)
            self._acknowledge(path, body)
            given = {"id": path.split("/")[2], "type": 2, "response_message_id": "50"}
            return _json({"interaction": given})
        if path.startswith("/webhooks/"):
            return self._webhook(method, path.split("/")[3].rpartition("-")[2], body)
        if method == "POST" and path.startswith("/channels/") and path.endswith("/messages"):
            said = [str(body.get("message_reference", {}).get("message_id", "")), body["content"]]
            if body["nonce"] not in self._nonces or not body.get("enforce_nonce"):
                self._nonces[body["nonce"]] = said
                self.shown.append(said)
            return _json(
                {"id": "51", "channel_id": "5", "type": 0, "author": BOT, "content": body["content"]} | _MESSAGE
            )
        return _json({"code": 10003, "message": "Unknown Channel"}, status=404)

    def _acknowledge(self, path: str, body: Any) -> None:
        number = path.split("/")[2]
        said = [number, body["data"]["content"]] if body["type"] == 4 else None
        self._acknowledged[number] = said
        if said is not None:
            self.shown.append(said)

    def _webhook(self, method: str, number: str, body: Any) -> web.Response:
        """The original response is asked for or edited, or a follow-up is posted."""
        said = self._acknowledged.get(number)
        if method == "PATCH" and said is not None:
            said[1] = body["content"]
        elif method != "GET":
            said = [number, body["content"]]
            self.shown.append(said)
            if method == "PATCH":
                self._acknowledged[number] = said
        message = {"id": "50", "channel_id": "5", "type": 0, "author": BOT, "content": said[1] if said else ""}
        return _json(message | _MESSAGE | {"flags": 0 if said else 128})

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.queries.append(dict(request.query))
        self.changed.set()
        silent, self.silent_heart = self.silent_heart, 0
        await socket.send_json({"op": HELLO, "d": {"heartbeat_interval": silent or 45000}})
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.json()["op"] == HEARTBEAT and not silent:
                await socket.send_json({"op": ACKNOWLEDGED})
            if message.type is WSMsgType.TEXT and message.json()["op"] == RESUME:
                self.resumes += 1
                self.changed.set()
                if self.ignore_resume:
                    self._sockets.append(socket)
                    continue
                self._sockets.append(socket)
                self._transports.append(request.transport)
                missed = 0 if self.replay_everything else message.json()["d"]["seq"]
                for event in [event for event in self.events if event["s"] > missed]:
                    await socket.send_json(event)
                await socket.send_json({"op": DISPATCH, "t": "RESUMED", "s": len(self.events) + 2, "d": {}})
                self.resumed += 1
                self.changed.set()
            if message.type is WSMsgType.TEXT and message.json()["op"] == IDENTIFY:
                if self.refuse_identify or message.json()["d"]["token"] != TOKEN:
                    await socket.close(code=4004, message=b"Authentication failed.")
                    break
                self._sockets.append(socket)
                self._transports.append(request.transport)
                self.events.clear()  # of another session
                shard = message.json()["d"].get("shard", [0, 1])
                self.shards.append(shard)
                ready = {"v": 10, "user": BOT, "guilds": [], "session_id": "s", "shard": shard}
                ready |= {"application": {"id": BOT["id"], "flags": 0}, "resume_gateway_url": "wss://example.invalid"}
                await socket.send_json({"op": DISPATCH, "t": "READY", "s": 1, "d": ready})
                self.identified += 1
                self.changed.set()
                if self.deaf:
                    await asyncio.Event().wait()
        return socket

"""A Discord on loopback, for what lies below simcord: real HTTP and a real connection to the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

TOKEN = "MTIz.secret-token.of-the-bot"  # noqa: S105 - of nobody
BOT = {"id": "100", "username": "lstmega", "discriminator": "0", "avatar": None, "bot": True}
DISPATCH, IDENTIFY, RECONNECT, HELLO = 0, 2, 7, 10


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """As Discord answers: the library knows JSON by exactly this content type, without a charset."""
    return web.Response(body=json.dumps(body).encode(), status=status, headers=headers, content_type="application/json")


class DiscordServer:
    """Answers what the bot asks, records it, and sends it events.

    `answers`: path prefix -> (status, body, headers), each given once before the real ones. `deaf`: the gateway hears
    nothing more after READY.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, str, Any]] = []
        self.answers: dict[str, list[tuple[int, dict[str, Any], dict[str, str]]]] = {}
        self.identified = 0
        self.queries: list[dict[str, str]] = []
        self.refuse_identify = False
        self.deaf = False
        self.changed = asyncio.Event()
        self._sockets: list[web.WebSocketResponse] = []

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

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something to have come in."""
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def sent(self, method: str, path: str) -> list[Any]:
        return [body for verb, where, body in self.requests if verb == method and path in where]

    async def send(self, event: str, data: dict[str, Any]) -> None:
        """An event, to the newest session."""
        await self._sockets[-1].send_json({"op": DISPATCH, "t": event, "s": 2, "d": data})

    async def op(self, op: int, data: Any = None) -> None:
        """An operation of the gateway."""
        await self._sockets[-1].send_json({"op": op, "d": data})

    async def slash(self, name: str, number: int = 900, person: str = "7") -> None:
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
                "data": {"id": "1", "name": name, "type": 1},
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
            given = {"id": path.split("/")[2], "type": 2, "response_message_id": "50"}
            return _json({"interaction": given})
        if path.startswith("/webhooks/"):
            message = {"id": "50", "channel_id": "5", "type": 0, "author": BOT, "content": body["content"], "flags": 0}
            message |= {"timestamp": "2024-01-01T00:00:00+00:00", "edited_timestamp": None, "tts": False}
            empty = ("mentions", "mention_roles", "attachments", "embeds", "components")
            return _json(message | {"mention_everyone": False, "pinned": False} | {name: [] for name in empty})
        return _json({"code": 10003, "message": "Unknown Channel"}, status=404)

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.queries.append(dict(request.query))
        self.changed.set()
        await socket.send_json({"op": HELLO, "d": {"heartbeat_interval": 45000}})
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.json()["op"] == IDENTIFY:
                if self.refuse_identify or message.json()["d"]["token"] != TOKEN:
                    await socket.close(code=4004, message=b"Authentication failed.")
                    break
                self._sockets.append(socket)
                ready = {"v": 10, "user": BOT, "guilds": [], "session_id": "s", "shard": [0, 1]}
                ready |= {"application": {"id": BOT["id"], "flags": 0}, "resume_gateway_url": "wss://example.invalid"}
                await socket.send_json({"op": DISPATCH, "t": "READY", "s": 1, "d": ready})
                self.identified += 1
                self.changed.set()
                if self.deaf:
                    await asyncio.Event().wait()
        return socket

"""The Bot API over HTTP on a loopback port."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bot.core.clock import MONOTONIC, Clock
from testing.inbox import Inbox
from testing.telegram.api import TOKEN, ApiError, Call, Params, error_response, read_parameters
from testing.telegram.faults import Faults, cut_connection
from testing.telegram.methods import Methods


class TelegramServer(Methods, Faults):
    """The server: open it with `async with`. `url` is what a bot takes as the address of the Bot API.

    `calls` keeps every request in order. Faults: `flood`, `fail`, `drop`, `garble`, `hold`, `down`, `revoke`.
    `clock`: what the server's own times go by, such as the end of a flood.
    """

    def __init__(
        self, *, port: int = 0, token: str = TOKEN, username: str = "lstmega_bot", clock: Clock = MONOTONIC
    ) -> None:
        Methods.__init__(self, token, username, clock)
        Faults.__init__(self, clock)
        self.calls: list[Call] = []
        self._port = port
        self._watchers: list[tuple[str, Inbox[Call]]] = []
        self._runner: web.AppRunner | None = None
        self._methods: dict[str, tuple[str, Callable[[Params], Awaitable[Any]]]] = {
            name.lower(): (name, method)
            for name, method in {
                "getMe": self._get_me,
                "getUpdates": self._get_updates,
                "setMyCommands": self._set_my_commands,
                "getMyCommands": self._get_my_commands,
                "setMyDescription": self._set_my_description,
                "getMyDescription": self._get_my_description,
                "setMyShortDescription": self._set_my_short_description,
                "getMyShortDescription": self._get_my_short_description,
                "sendMessage": self._send_message,
                "sendPhoto": self._send_photo,
                "getChatAdministrators": self._get_chat_administrators,
                "sendDocument": self._send_document,
                "sendChatAction": self._send_chat_action,
                "editMessageText": self._edit_message_text,
                "editMessageReplyMarkup": self._edit_message_reply_markup,
                "answerCallbackQuery": self._answer_callback_query,
                "answerInlineQuery": self._answer_inline_query,
                "setWebhook": self._set_webhook,
                "deleteWebhook": self._delete_webhook,
                "getWebhookInfo": self._get_webhook_info,
            }.items()
        }

    async def __aenter__(self) -> TelegramServer:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_courier()
        await self.down()

    @property
    def methods(self) -> set[str]:
        """The methods of the Bot API that it has."""
        return {name for name, _ in self._methods.values()}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def up(self) -> None:
        """Listen; again on the same port after `down`."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/bot{token}/{method}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = int(self._runner.addresses[0][1])

    async def down(self) -> None:
        """Cut every connection and accept no new one."""
        for fault in self._faults:
            fault._released.set()
        self.hang_up()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def forget(self) -> None:
        """Drop what was said and requested so far, which a long run would fill the memory with."""
        super().forget()
        self.calls.clear()

    def revoke(self, token: str = "") -> None:
        """Accept no other token than `token` from now on."""
        self.token = token or f"{self.token}-revoked"

    def calls_of(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method == method]

    def watch(self, method: str) -> Inbox[Call]:
        """Return an inbox that gets the requests of a method from now on."""
        inbox: Inbox[Call] = Inbox(f"{method} request")
        self._watchers.append((method, inbox))
        return inbox

    def unwatch(self) -> None:
        """End every `watch`."""
        self._watchers.clear()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != self.token:
            return error_response(ApiError(401, "Unauthorized"))
        key = request.match_info["method"].lower()
        if key not in self._methods:
            return error_response(ApiError(404, "Not Found: method not found"))
        name, method = self._methods[key]
        call = Call(name, Params(await read_parameters(request)), self._clock.time())
        self.calls.append(call)
        for watched, inbox in self._watchers:
            if watched == name:
                inbox.put(call)
        fault = self.fault_of(key, call.params.integer("chat_id") or None)
        if fault is not None:
            early = await self.meet(fault, call, request)
            if early is not None:
                return early
        try:
            result = await method(call.params)
        except ApiError as error:
            return error_response(error)
        if fault is not None and fault.kind == "drop after":
            return cut_connection(request)
        whole = json.dumps({"ok": True, "result": result})
        length = len(whole) // 2 if fault is not None and fault.kind == "garble" else None
        return web.Response(text=whole[:length], content_type="application/json")

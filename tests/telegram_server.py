"""A Telegram on this machine: the Bot API over HTTP on a loopback port, and the people on the other side of it.

It answers as https://core.telegram.org/bots/api documents, and refuses what the real one refuses, in the real one's
words (they are in telegram-bot-api/Client.cpp and in TDLib). It knows nothing of the bot it talks to.

    async with TelegramServer() as server:
        chat = server.private(server.user("Alice"))
        await chat.send("/nietzsche 0.7")
        message = await chat.next_message()

Everything that waits, waits for an event and gives up after `PATIENCE` with an `AssertionError`.
`python -m tests.telegram_server --port 8081` talks with a bot from a terminal.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from aiohttp import ClientError, ClientSession, ClientTimeout, web

PATIENCE: Final = 10.0
"""Seconds that a test waits for something before it fails."""
TOKEN: Final = "123456789:AAloopbackloopbackloopbackloopback0"  # noqa: S105 - opens nothing but this server
MAX_TEXT: Final = 4096
"""Characters (code points: TDLib compares `utf8_length`) of a message."""
MAX_CAPTION: Final = 1024
MAX_ALERT: Final = 200
MAX_CALLBACK_DATA: Final = 64
"""Bytes behind a button."""
MAX_POLL_SECONDS: Final = 50
"""`LONG_POLL_MAX_TIMEOUT` of telegram-bot-api."""
WEBHOOK_RETRY_SECONDS: Final = 0.05
"""The real one waits a second and more before it delivers an update again."""
SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a name
ACTIONS: Final = frozenset({"typing", "upload_photo", "record_video", "upload_video", "upload_document"})
QUERY_TOO_OLD: Final = "query is too old and response timeout expired or query ID is invalid"
WEBHOOK_ACTIVE: Final = (
    "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)
OTHER_POLLER: Final = "terminated by other getUpdates request; make sure that only one bot instance is running"
SCOPES: Final = frozenset({"default", "all_private_chats", "all_group_chats", "all_chat_administrators", "chat"})
NOT_MODIFIED: Final = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current content"
    " and reply markup of the message"
)
Json = dict[str, Any]
T = TypeVar("T")


class ApiError(Exception):
    """What the Bot API answers instead of a result."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        prefix = {400: "Bad Request: ", 403: "Forbidden: ", 409: "Conflict: "}.get(code, "")
        self.code, self.parameters = code, parameters
        self.description = prefix + description


class Inbox(Generic[T]):
    """Things in the order in which they came; each is handed out once. `all` keeps every one."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._unread: asyncio.Queue[T] = asyncio.Queue()
        self.all: list[T] = []

    def put(self, item: T) -> None:
        self.all.append(item)
        self._unread.put_nowait(item)

    async def next(self, patience: float = PATIENCE) -> T:
        try:
            async with asyncio.timeout(patience):
                return await self._unread.get()
        except TimeoutError:
            raise AssertionError(f"no {self._what} within {patience} s") from None

    @property
    def unread(self) -> int:
        return self._unread.qsize()


class Params:
    """The parameters of a request, however they were sent; Telegram's types arrive as JSON in a text."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw

    def text(self, name: str, default: str = "") -> str:
        value = self.raw.get(name, default)
        return value if isinstance(value, str) else json.dumps(value)

    def integer(self, name: str, default: int = 0) -> int:
        try:
            return int(self.raw.get(name, default))
        except (TypeError, ValueError):
            return default

    def flag(self, name: str) -> bool:
        return self.text(name).strip('"').lower() in {"true", "1", "yes"}

    def json(self, name: str, what: str) -> Any:
        value = self.raw.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ApiError(400, f"can't parse {what} JSON object") from None


@dataclass(frozen=True)
class Call:
    """A request that reached the server: the method as the documentation writes it, and the clock's time."""

    method: str
    params: Params
    at: float


@dataclass(eq=False)
class Fault:
    """Something that goes wrong for requests of `method` about `chat`, `times` times (`None`: always)."""

    method: str | None
    chat: int | None
    times: int | None
    kind: str
    status: int = 500
    retry_after: int = 0
    hits: int = 0
    open_until: float | None = None
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _met: Inbox[Call] = field(default_factory=lambda: Inbox("request for the fault"))

    async def met(self) -> Call:
        """Waits until a request runs into it."""
        return await self._met.next()

    def release(self) -> None:
        """Ends it: what it held goes on."""
        self.times, self.open_until = 0, None
        self._released.set()

    def wants(self, method: str, chat: int | None) -> bool:
        if self.times is not None and self.hits >= self.times and self.open_until is None:
            return False
        return (self.method is None or self.method.lower() == method) and (self.chat is None or self.chat == chat)


@dataclass(eq=False)
class Sent:
    """A message of the bot as it stands now. `edits` gets its text each time it is edited."""

    id: int | str
    chat: Chat | None
    text: str
    buttons: list[list[Json]]
    silent: bool = False
    preview: bool = True
    reply_to: int | None = None
    thread: int | None = None
    photo: bytes | None = None
    at: float = 0.0
    edits: Inbox[str] = field(default_factory=lambda: Inbox("edit"))

    @property
    def labels(self) -> list[str]:
        return [button["text"] for row in self.buttons for button in row]

    def data(self, label: str) -> str:
        return next(str(b["callback_data"]) for row in self.buttons for b in row if b["text"] == label)

    async def next_edit(self, patience: float = PATIENCE) -> str:
        return await self.edits.next(patience)


@dataclass(eq=False)
class Press:
    """A pressed button; `answers` gets what the bot answers the query with."""

    id: str
    expired: bool = False
    answers: Inbox[Params] = field(default_factory=lambda: Inbox("answer to the press"))

    async def answer(self, patience: float = PATIENCE) -> tuple[str, bool]:
        """The text, and whether it was an alert."""
        params = await self.answers.next(patience)
        return params.text("text"), params.flag("show_alert")


@dataclass(eq=False)
class InlineQuery:
    """What somebody typed behind @bot; `answers` gets the results."""

    server: TelegramServer
    id: str
    user: User
    text: str
    answers: Inbox[Params] = field(default_factory=lambda: Inbox("answer to the inline query"))
    results: list[Json] = field(default_factory=list)

    async def answer(self, patience: float = PATIENCE) -> list[Json]:
        await self.answers.next(patience)
        return self.results

    async def choose(self, index: int = 0, *, feedback: bool = True) -> Sent:
        """Sends a result into some chat; the bot hears of it when inline feedback is on."""
        result = self.results[index]
        buttons = (result.get("reply_markup") or {}).get("inline_keyboard", [])
        sent = Sent(f"inline-{self.server.number()}", None, result["input_message_content"]["message_text"], buttons)
        self.server.inline_messages[str(sent.id)] = sent
        if feedback:
            chosen = {"result_id": result["id"], "from": self.user.json(), "query": self.text}
            if buttons:  # "Available only if there is an inline keyboard attached to the message", says the Bot API
                chosen["inline_message_id"] = sent.id
            await self.server.add_update("chosen_inline_result", chosen)
        return sent


@dataclass(frozen=True, eq=False)
class User:
    """Somebody with a Telegram account."""

    server: TelegramServer
    id: int
    name: str
    is_bot: bool = False

    def json(self) -> Json:
        return {"id": self.id, "is_bot": self.is_bot, "first_name": self.name, "language_code": "en"}

    async def inline(self, text: str) -> InlineQuery:
        """Types "@bot text" in some chat, and pauses."""
        query = InlineQuery(self.server, f"query-{self.server.number()}", self, text)
        self.server.queries[query.id] = query
        await self.server.add_update(
            "inline_query", {"id": query.id, "from": self.json(), "query": text, "offset": "", "chat_type": "group"}
        )
        return query

    async def press(self, sent: Sent, label: str) -> Press:
        """Presses a button of the bot's, on a message in a chat or on an inline one."""
        return await self.press_data(sent, sent.data(label))

    async def press_data(self, sent: Sent, data: str) -> Press:
        """Has a client of one's own send any data for a message."""
        press = Press(f"query-{self.server.number()}")
        self.server.queries[press.id] = press
        where = {"inline_message_id": sent.id} if sent.chat is None else {"message": sent.chat.message_json(sent)}
        query = {"id": press.id, "from": self.json(), "chat_instance": "1", "data": data}
        await self.server.add_update("callback_query", query | where)
        return press


@dataclass(eq=False)
class Chat:
    """A chat that the bot is in. `kind`: private, group or supergroup; `owner`: the person of a private one."""

    server: TelegramServer
    id: int
    kind: str
    owner: User | None = None
    forum: bool = False
    topics: set[int] = field(default_factory=set)
    barred: str = ""
    """Why the bot may not write here: the words of a 403; empty when it may."""
    upgraded_to: int = 0
    sent: dict[int, Sent] = field(default_factory=dict)
    typed: set[int] = field(default_factory=set)
    messages: Inbox[Sent] = field(default_factory=lambda: Inbox("message"))
    actions: Inbox[Params] = field(default_factory=lambda: Inbox("chat action"))

    async def next_message(self, patience: float = PATIENCE) -> Sent:
        return await self.messages.next(patience)

    async def next_action(self, patience: float = PATIENCE) -> str:
        return (await self.actions.next(patience)).text("action")

    async def send(
        self, text: str, *, by: User | None = None, topic: int | None = None, thread: int | None = None, **extra: Any
    ) -> int:
        """Somebody writes; `extra` goes into the message, and without a `text` none does.

        `topic`: a forum's; `thread`: a reply thread of an ordinary supergroup.
        """
        message = self._typed(text, by, extra)
        if topic is not None or thread is not None:
            message["message_thread_id"] = topic if topic is not None else thread
        if topic is not None:
            message["is_topic_message"] = True
            self.topics.add(topic)
        await self.server.add_update("message", message)
        return int(message["message_id"])

    async def edit(self, message_id: int, text: str, *, by: User | None = None) -> None:
        """Somebody edits what they wrote."""
        message = self._typed(text, by, {"edit_date": int(time.time())}) | {"message_id": message_id}
        await self.server.add_update("edited_message", message)

    def block(self) -> None:
        """The person blocks the bot, or the group throws it out."""
        kicked = f"bot was kicked from the {self.kind} chat"
        self.barred = "bot was blocked by the user" if self.kind == "private" else kicked

    async def upgrade(self, *, told_here: bool = True, told_there: bool = True) -> Chat:
        """The group becomes a supergroup, with another number. Telegram tells both, unless a test forbids it."""
        new = Chat(self.server, -1_000_000_000_000 - self.server.number(), "supergroup")
        self.server.chats[new.id] = new
        self.upgraded_to = new.id
        admin = self.server.user("Admin")
        if told_here:
            await self.server.add_update("message", self._typed("", admin, {"migrate_to_chat_id": new.id}))
        if told_there:
            await self.server.add_update("message", new._typed("", admin, {"migrate_from_chat_id": self.id}))
        return new

    def json(self) -> Json:
        if self.owner is not None:
            return {"id": self.id, "type": self.kind, "first_name": self.owner.name}
        return {"id": self.id, "type": self.kind, "title": "A group"} | ({"is_forum": True} if self.forum else {})

    def message_json(self, sent: Sent) -> Json:
        content = {"text": sent.text} if sent.photo is None else {"caption": sent.text, "photo": [_PHOTO]}
        message = {"message_id": sent.id, "date": int(time.time()), "chat": self.json(), "from": self.server.me()}
        if sent.thread is not None:
            message |= {"message_thread_id": sent.thread, "is_topic_message": True}
        return message | content | ({"reply_markup": {"inline_keyboard": sent.buttons}} if sent.buttons else {})

    def _typed(self, text: str, by: User | None, extra: Json) -> Json:
        writer = by or self.owner
        if writer is None:
            raise ValueError("in a group, say who writes: by=...")
        message_id = self.server.number()
        self.typed.add(message_id)
        message = {"message_id": message_id, "date": int(time.time()), "chat": self.json(), "from": writer.json()}
        if text.startswith("/"):
            length = len(text.split(maxsplit=1)[0])
            message["entities"] = [{"type": "bot_command", "offset": 0, "length": length}]
        return message | ({"text": text} if text else {}) | extra


_PHOTO: Final = {"file_id": "photo", "file_unique_id": "photo", "width": 1, "height": 1}


@dataclass(frozen=True)
class Webhook:
    """What setWebhook was told; without an address there is none."""

    url: str = ""
    secret: str = ""
    max_connections: int = 40


class TelegramServer:
    """The server: open it with `async with`. `url` is what a bot takes as the address of the Bot API.

    `calls` keeps every request in order. Faults: `flood`, `fail`, `drop`, `garble`, `hold`, `down`, `revoke`.
    """

    def __init__(self, *, port: int = 0, token: str = TOKEN, username: str = "lstmega_bot") -> None:
        self.token, self.username = token, username
        self.chats: dict[int, Chat] = {}
        self.inline_messages: dict[str, Sent] = {}
        self.queries: dict[str, Press | InlineQuery] = {}
        self.commands: dict[tuple[str, str], list[Json]] = {}
        """By scope (as JSON) and language."""
        self.calls: list[Call] = []
        self.webhook = Webhook()
        self.webhook_statuses: Inbox[int] = Inbox("delivery to the webhook")
        """HTTP status of each delivery; 0 when nobody could be reached."""
        self._port = port
        self._numbers = itertools.count(1001)
        self._update_ids = itertools.count(700_000_001)
        self._pending: list[Json] = []
        self._again: list[Json] = []
        self._past: dict[int, Json] = {}
        self._allowed: list[str] = []
        self._gathering = False
        self._poller: asyncio.Future[None] | None = None
        self._faults: list[Fault] = []
        self._watchers: list[tuple[str, Inbox[Call]]] = []
        self._postman: asyncio.Task[None] | None = None
        self._parcels = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._methods: dict[str, tuple[str, Callable[[Params], Awaitable[Any]]]] = {
            name.lower(): (name, method)
            for name, method in {
                "getMe": self._get_me,
                "getUpdates": self._get_updates,
                "setMyCommands": self._set_my_commands,
                "getMyCommands": self._get_my_commands,
                "sendMessage": self._send_message,
                "sendPhoto": self._send_photo,
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

    # ---- life ---------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> TelegramServer:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop_postman()
        await self.down()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def up(self) -> None:
        """Listens; again on the same port after `down`."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/bot{token}/{method}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = int(self._runner.addresses[0][1])

    async def down(self) -> None:
        """Cuts every connection and takes no new one."""
        for fault in self._faults:
            fault._released.set()
        if self._poller is not None and not self._poller.done():
            self._poller.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # ---- people and chats ---------------------------------------------------------------------------------------

    def number(self) -> int:
        """A number that nothing else has."""
        return next(self._numbers)

    def me(self) -> Json:
        rights = {"can_join_groups": True, "can_read_all_group_messages": True, "supports_inline_queries": True}
        number = int(self.token.split(":", maxsplit=1)[0])
        return {"id": number, "is_bot": True, "first_name": "Bot", "username": self.username} | rights

    def user(self, name: str) -> User:
        return User(self, self.number(), name)

    def private(self, owner: User) -> Chat:
        chat = Chat(self, owner.id, "private", owner)
        return self.chats.setdefault(chat.id, chat)

    def group(self) -> Chat:
        chat = Chat(self, -self.number(), "group")
        self.chats[chat.id] = chat
        return chat

    def supergroup(self, *, forum: bool = False) -> Chat:
        chat = Chat(self, -1_000_000_000_000 - self.number(), "supergroup", forum=forum)
        self.chats[chat.id] = chat
        return chat

    # ---- updates ------------------------------------------------------------------------------------------------

    async def add_update(self, kind: str, payload: Json) -> None:
        """Something happened. Kinds that the bot did not ask for are not kept for it."""
        if self._allowed and kind not in self._allowed:
            return
        number = next(self._update_ids)
        update = self._past[number] = {"update_id": number, kind: payload}
        self._pending.append(update)
        self._wake()

    @property
    def last_update_id(self) -> int:
        return max(self._past)

    @property
    def pending(self) -> int:
        """Updates that the bot has not confirmed."""
        return len(self._pending)

    def forget(self) -> None:
        """Lets go of what was said and requested so far, which a long run would fill the memory with."""
        self.calls.clear()
        self._past.clear()
        for chat in self.chats.values():
            chat.sent.clear()
            chat.typed.clear()
            chat.messages.all.clear()
            chat.actions.all.clear()

    def redeliver(self, update_id: int) -> None:
        """Delivers an update that was delivered before."""
        self._again.append(self._past[update_id])
        self._wake()

    @contextmanager
    def gathered(self, *, reverse: bool = False) -> Iterator[None]:
        """What people do meanwhile reaches the bot at once, in one batch; in the wrong order if `reverse`."""
        self._gathering = True
        before = len(self._pending)
        try:
            yield
        finally:
            self._gathering = False
            if reverse:
                self._pending[before:] = self._pending[before:][::-1]
            self._wake()

    def _wake(self) -> None:
        if self._gathering:
            return
        self._parcels.set()
        if self._poller is not None and not self._poller.done():
            self._poller.set_result(None)

    # ---- faults -------------------------------------------------------------------------------------------------

    def flood(self, chat: Chat | None = None, *, retry_after: int, method: str | None = None) -> Fault:
        """429 to the next request, and to all that come before `retry_after` seconds are over; `hits` counts them."""
        return self._fault("flood", chat, method, 1, retry_after=retry_after)

    def fail(
        self, status: int = 502, *, chat: Chat | None = None, method: str | None = None, times: int | None = 1
    ) -> Fault:
        """An HTTP error of the server, with a page that is not JSON."""
        return self._fault("fail", chat, method, times, status=status)

    def drop(
        self,
        *,
        chat: Chat | None = None,
        method: str | None = None,
        times: int | None = 1,
        after: bool = False,
    ) -> Fault:
        """Cuts the connection before the request is carried out, or `after` it is."""
        return self._fault("drop after" if after else "drop", chat, method, times)

    def garble(self, *, chat: Chat | None = None, method: str | None = None, times: int | None = 1) -> Fault:
        """Carries the request out, and answers with half of the JSON."""
        return self._fault("garble", chat, method, times)

    def hold(self, *, chat: Chat | None = None, method: str | None = None, times: int | None = None) -> Fault:
        """Leaves requests unanswered until `release`; then they are carried out."""
        return self._fault("hold", chat, method, times)

    def revoke(self, token: str = "") -> None:
        """From now on only `token` opens the door."""
        self.token = token or f"{self.token}-revoked"

    def _fault(
        self,
        kind: str,
        chat: Chat | None,
        method: str | None,
        times: int | None,
        *,
        status: int = 500,
        retry_after: int = 0,
    ) -> Fault:
        chat_id = chat.id if chat else None
        self._faults.append(Fault(method, chat_id, times, kind, status=status, retry_after=retry_after))
        return self._faults[-1]

    def calls_of(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method == method]

    def watch(self, method: str) -> Inbox[Call]:
        """The requests of a method from now on."""
        inbox: Inbox[Call] = Inbox(f"{method} request")
        self._watchers.append((method, inbox))
        return inbox

    # ---- requests -----------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != self.token:
            return _answer(ApiError(401, "Unauthorized"))
        key = request.match_info["method"].lower()
        if key not in self._methods:
            return _answer(ApiError(404, "Not Found: method not found"))
        name, method = self._methods[key]
        call = Call(name, Params(await _parameters(request)), time.monotonic())
        self.calls.append(call)
        for watched, inbox in self._watchers:
            if watched == name:
                inbox.put(call)
        fault = self._fault_of(key, call.params.integer("chat_id") or None)
        if fault is not None:
            early = await self._meet(fault, call, request)
            if early is not None:
                return early
        try:
            result = await method(call.params)
        except ApiError as error:
            return _answer(error)
        if fault is not None and fault.kind == "drop after":
            return _cut(request)
        whole = json.dumps({"ok": True, "result": result})
        length = len(whole) // 2 if fault is not None and fault.kind == "garble" else None
        return web.Response(text=whole[:length], content_type="application/json")

    def _fault_of(self, method: str, chat: int | None) -> Fault | None:
        return next((fault for fault in self._faults if fault.wants(method, chat)), None)

    async def _meet(self, fault: Fault, call: Call, request: web.Request) -> web.StreamResponse | None:
        """What the fault makes of the request; `None` when it goes its way after all."""
        now = time.monotonic()
        if fault.open_until is not None and now >= fault.open_until:
            self._faults.remove(fault)
            return None
        fault.hits += 1
        fault._met.put(call)
        if fault.kind == "flood":
            if fault.open_until is None:
                fault.open_until = now + fault.retry_after
            seconds = max(1, round(fault.open_until - now))
            return _answer(ApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds))
        if fault.kind == "fail":
            return web.Response(status=fault.status, text=f"<html>{fault.status}: {request.path}</html>")
        if fault.kind == "drop":
            return _cut(request)
        if fault.kind == "hold":
            await fault._released.wait()
        return None

    async def _get_me(self, _: Params) -> Json:
        return self.me()

    async def _get_updates(self, params: Params) -> list[Json]:
        if self.webhook.url:
            raise ApiError(409, WEBHOOK_ACTIVE)
        if params.raw.get("allowed_updates") is not None:
            self._allowed = params.json("allowed_updates", "allowed_updates")
        offset, limit = params.integer("offset"), min(100, max(1, params.integer("limit", 100)))
        timeout = min(MAX_POLL_SECONDS, max(0, params.integer("timeout")))
        if offset > 0:  # every update below it is confirmed and forgotten
            self._pending = [update for update in self._pending if update["update_id"] >= offset]
        elif offset < 0:
            self._pending = self._pending[offset:]
        if self._poller is not None and not self._poller.done():
            self._poller.set_exception(ApiError(409, OTHER_POLLER))
        if self._gathering or not (self._pending or self._again):
            poller = self._poller = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(timeout):
                    await poller
            except TimeoutError:
                return []
            finally:
                if self._poller is poller:
                    self._poller = None
        again, self._again = self._again, []
        return (again + self._pending)[:limit]

    async def _set_my_commands(self, params: Params) -> bool:
        commands = params.json("commands", "commands") or []
        if len(commands) > 100:
            raise ApiError(400, "BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            name, description = command.get("command", ""), command.get("description", "")
            if not (1 <= len(name) <= 32 and name == name.lower() and name.replace("_", "a").isalnum()):
                raise ApiError(400, "BOT_COMMAND_INVALID")
            if not 1 <= len(description) <= 256:
                raise ApiError(400, "BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands[self._menu(params)] = commands
        return True

    async def _get_my_commands(self, params: Params) -> list[Json]:
        return self.commands.get(self._menu(params), [])

    def _menu(self, params: Params) -> tuple[str, str]:
        scope = params.json("scope", "BotCommandScope") or {"type": "default"}
        if scope.get("type") not in SCOPES:
            raise ApiError(400, "can't parse BotCommandScope: Unsupported type specified")
        return str(scope["type"]), params.text("language_code")

    def _chat(self, params: Params) -> Chat:
        if not params.text("chat_id"):
            raise ApiError(400, "chat_id is empty")
        chat = self.chats.get(params.integer("chat_id"))
        if chat is None:
            raise ApiError(400, "chat not found")
        if chat.upgraded_to:
            raise ApiError(400, "group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.upgraded_to)
        if chat.barred:
            raise ApiError(403, chat.barred)
        return chat

    async def _send_message(self, params: Params) -> Json:
        chat = self._chat(params)
        return self._post(chat, params, _text(params, "text", MAX_TEXT, "message is too long"))

    async def _send_photo(self, params: Params) -> Json:
        chat = self._chat(params)
        photo = params.raw.get("photo")
        if not photo:
            raise ApiError(400, "there is no photo in the request")
        if isinstance(photo, bytes) and not photo.startswith((b"\x89PNG", b"\xff\xd8")):
            raise ApiError(400, "IMAGE_PROCESS_FAILED")
        caption = _text(params, "caption", MAX_CAPTION, "message caption is too long") if params.text("caption") else ""
        return self._post(chat, params, caption, photo if isinstance(photo, bytes) else b"")

    async def _send_document(self, params: Params) -> Json:
        chat = self._chat(params)
        document = params.raw.get("document")
        if not document:
            raise ApiError(400, "there is no document in the request")
        caption = _text(params, "caption", MAX_CAPTION, "message caption is too long") if params.text("caption") else ""
        return self._post(chat, params, caption, document if isinstance(document, bytes) else b"")

    def _post(self, chat: Chat, params: Params, text: str, photo: bytes | None = None) -> Json:
        buttons = _buttons(params)
        thread = params.integer("message_thread_id") or None
        if thread is not None and thread not in chat.topics:
            raise ApiError(400, "message thread not found")
        reply = params.json("reply_parameters", "reply parameters") or {}
        reply_to = reply.get("message_id")
        if reply_to is not None and reply_to not in chat.typed and reply_to not in chat.sent:
            if not reply.get("allow_sending_without_reply"):
                raise ApiError(400, "message to be replied not found")
            reply_to = None
        sent = Sent(
            id=self.number(),
            chat=chat,
            text=text,
            buttons=buttons,
            silent=params.flag("disable_notification"),
            preview=not (params.json("link_preview_options", "link preview options") or {}).get("is_disabled"),
            reply_to=reply_to,
            thread=thread,
            photo=photo,
            at=time.monotonic(),
        )
        chat.sent[int(sent.id)] = sent
        chat.messages.put(sent)
        return chat.message_json(sent)

    async def _send_chat_action(self, params: Params) -> bool:
        chat = self._chat(params)
        if params.text("action") not in ACTIONS:
            raise ApiError(400, "wrong parameter action in request")
        chat.actions.put(params)
        return True

    def _edited(self, params: Params) -> Sent:
        if params.text("inline_message_id"):
            sent = self.inline_messages.get(params.text("inline_message_id"))
            if sent is None:
                raise ApiError(400, "MESSAGE_ID_INVALID")
            return sent
        chat = self._chat(params)
        sent = chat.sent.get(params.integer("message_id"))
        if sent is None:
            mine = params.integer("message_id") in chat.typed
            raise ApiError(400, "message can't be edited" if mine else "message to edit not found")
        return sent

    async def _edit_message_text(self, params: Params) -> Any:
        sent = self._edited(params)
        text, buttons = _text(params, "text", MAX_TEXT, "MESSAGE_TOO_LONG"), _buttons(params)
        if sent.photo is not None:
            raise ApiError(400, "there is no text in the message to edit")
        if (text, buttons) == (sent.text, sent.buttons):
            raise ApiError(400, NOT_MODIFIED)
        sent.text, sent.buttons = text, buttons
        sent.preview = not (params.json("link_preview_options", "link preview options") or {}).get("is_disabled")
        sent.edits.put(text)
        return True if sent.chat is None else sent.chat.message_json(sent)

    async def _edit_message_reply_markup(self, params: Params) -> Any:
        sent, buttons = self._edited(params), _buttons(params)
        if buttons == sent.buttons:
            raise ApiError(400, NOT_MODIFIED)
        sent.buttons = buttons
        return True if sent.chat is None else sent.chat.message_json(sent)

    async def _answer_callback_query(self, params: Params) -> bool:
        query = self.queries.get(params.text("callback_query_id"))
        if not isinstance(query, Press) or query.expired:
            raise ApiError(400, QUERY_TOO_OLD)
        if len(params.text("text")) > MAX_ALERT:
            raise ApiError(400, "MESSAGE_TOO_LONG")
        query.answers.put(params)
        return True

    async def _answer_inline_query(self, params: Params) -> bool:
        query = self.queries.get(params.text("inline_query_id"))
        if not isinstance(query, InlineQuery):
            raise ApiError(400, QUERY_TOO_OLD)
        results = params.json("results", "inline query results")
        if not isinstance(results, list):
            raise ApiError(400, "expected an Array of inline query results")
        if len(results) > 50:
            raise ApiError(400, "too many inline query results specified")
        for result in results:
            content = Params(result.get("input_message_content", {}))
            if not 1 <= len(str(result.get("id", "")).encode()) <= 64 or not result.get("title"):
                raise ApiError(400, "RESULT_ID_INVALID" if result.get("title") else "ARTICLE_TITLE_EMPTY")
            _text(content, "message_text", MAX_TEXT, "message is too long")
            _buttons(Params(result))
        query.results = results
        query.answers.put(params)
        return True

    # ---- webhook ------------------------------------------------------------------------------------------------

    async def _set_webhook(self, params: Params) -> bool:
        url, secret = params.text("url"), params.text("secret_token")
        if not url:
            return await self._delete_webhook(params)
        # The public server wants https; a local Bot API server (--local), which this is, takes http as well.
        if not url.startswith(("https://", "http://")):
            raise ApiError(400, "invalid webhook URL specified")
        if len(secret) > 256:
            raise ApiError(400, "secret token is too long")
        if not secret.replace("-", "a").replace("_", "a").isalnum() and secret:
            raise ApiError(400, "secret token contains unallowed characters")
        if params.raw.get("allowed_updates") is not None:
            self._allowed = params.json("allowed_updates", "allowed_updates")
        if self._poller is not None and not self._poller.done():
            self._poller.set_exception(ApiError(409, "terminated by setWebhook request"))
        await self._stop_postman()
        self.webhook = Webhook(url, secret, params.integer("max_connections", 40))
        self._postman = asyncio.create_task(self._deliver(self.webhook))
        return True

    async def _delete_webhook(self, params: Params) -> bool:
        await self._stop_postman()
        self.webhook = Webhook()
        if params.flag("drop_pending_updates"):
            self._pending.clear()
        return True

    async def _get_webhook_info(self, _: Params) -> Json:
        info = {"url": self.webhook.url, "has_custom_certificate": False, "pending_update_count": self.pending}
        return info | ({"max_connections": self.webhook.max_connections} if self.webhook.url else {})

    async def _deliver(self, webhook: Webhook) -> None:
        headers = {SECRET_HEADER: webhook.secret} if webhook.secret else {}
        async with ClientSession(headers=headers, timeout=ClientTimeout(total=PATIENCE)) as session:
            while True:
                if self._gathering or not (self._pending or self._again):
                    self._parcels.clear()
                    await self._parcels.wait()
                    continue
                queue = self._again or self._pending
                update = queue[0]
                try:
                    async with session.post(webhook.url, json=update) as response:
                        status = response.status
                except (ClientError, TimeoutError):
                    status = 0
                self.webhook_statuses.put(status)
                if 200 <= status < 300:
                    queue.remove(update)
                else:
                    await asyncio.sleep(WEBHOOK_RETRY_SECONDS)

    async def _stop_postman(self) -> None:
        if self._postman is not None:
            self._postman.cancel()
            await asyncio.wait({self._postman})
            self._postman = None


def _answer(error: ApiError) -> web.Response:
    body: Json = {"ok": False, "error_code": error.code, "description": error.description}
    if error.parameters:
        body["parameters"] = error.parameters
    return web.json_response(body, status=error.code)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # nobody reads it


async def _parameters(request: web.Request) -> dict[str, Any]:
    """GET query, form, multipart or JSON: the documentation allows all four. Files are their bytes."""
    values: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        return values | dict(await request.json())
    form = await request.post()
    files: dict[str, bytes] = {}
    for name, value in form.items():
        if isinstance(value, web.FileField):
            files[name] = value.file.read()
        else:
            values[name] = value
    for name, value in list(values.items()):
        if isinstance(value, str) and value.startswith("attach://"):
            values[name] = files[value.removeprefix("attach://")]
    return values | files


def _text(params: Params, name: str, limit: int, too_long: str) -> str:
    """The text as it would be shown. Raises `ApiError` for what the Bot API does not take."""
    text = params.text(name)
    if not text:
        raise ApiError(400, "message text is empty")
    if len(text.encode()) > 1 << 15:
        raise ApiError(400, "text is too long")
    _check_entities(params, text)
    text = text.strip()
    if not text:
        raise ApiError(400, "text must be non-empty")
    if len(text) > limit:
        raise ApiError(400, too_long)
    return text


def _check_entities(params: Params, text: str) -> None:
    mode = params.text("parse_mode").lower()
    if mode not in {"", "html", "markdown", "markdownv2"}:
        raise ApiError(400, "unsupported parse_mode")
    if mode == "html" and text.count("<") != text.count(">"):
        at = len(text[: text.find("<")].encode())
        raise ApiError(400, f"can't parse entities: Can't find end tag corresponding to start tag at byte offset {at}")
    for sign in "*_`" if mode.startswith("markdown") else "":
        if text.count(sign) % 2:
            at = len(text[: text.rfind(sign)].encode())
            raise ApiError(400, f"can't parse entities: Can't find end of the entity starting at byte offset {at}")
    units = text.encode("utf-16-le")
    for entity in params.json("entities", "entities") or []:
        start, end = entity.get("offset"), entity.get("offset", 0) + entity.get("length", 0)
        if not isinstance(start, int) or start < 0 or end > len(units) // 2:
            raise ApiError(400, 'can\'t parse MessageEntity: Field "offset" must be of type Number')
        for place, at in (("begins", start), ("ends", end)):
            if 0xDC <= (units[2 * at + 1] if 2 * at < len(units) else 0) <= 0xDF:
                raise ApiError(400, f"entity {place} in the middle of a UTF-16 symbol at byte offset {at}")


def _buttons(params: Params) -> list[list[Json]]:
    markup = params.json("reply_markup", "reply keyboard markup") or {}
    if not isinstance(markup, dict):
        raise ApiError(400, "object expected as reply markup")
    rows: list[list[Json]] = [row for row in markup.get("inline_keyboard", []) if row]
    for button in itertools.chain.from_iterable(rows):
        if not button.get("text"):
            raise ApiError(400, "inline keyboard button text is empty")
        if not ({"callback_data", "url", "switch_inline_query", "switch_inline_query_current_chat"} & button.keys()):
            raise ApiError(400, "text buttons are unallowed in the inline keyboard")
        if len(button.get("callback_data", "").encode()) > MAX_CALLBACK_DATA:
            raise ApiError(400, "BUTTON_DATA_INVALID")
    return rows


async def _talk(port: int, token: str) -> None:
    """You are the only user; each line that you type is a message to the bot."""
    async with TelegramServer(port=port, token=token) as server:
        print(f'api_url = "{server.url}"\ntoken = "{server.token}"', flush=True)
        chat = server.private(server.user("You"))

        async def show() -> None:
            while True:
                sent = await chat.next_message(patience=10**9)
                print(sent.text, *(f"[{label}]" for label in sent.labels), sep="\n", flush=True)

        async with asyncio.TaskGroup() as group:
            printer = group.create_task(show())
            while line := await asyncio.to_thread(sys.stdin.readline):
                await chat.send(line.strip())
            if sys.stdin.isatty():
                printer.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description="A Bot API server on the loopback interface.")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--token", default=TOKEN)
    arguments = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(_talk(arguments.port, arguments.token))


if __name__ == "__main__":
    main()

"""The people in a loopback Telegram, their chats, and what the bot sent there."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from testing.inbox import PATIENCE, Inbox
from testing.telegram.api import Json, Params

if TYPE_CHECKING:
    from testing.telegram.world import World

_PHOTO: Final = {"file_id": "photo", "file_unique_id": "photo", "file_size": 1, "width": 1, "height": 1}
_DOCUMENT: Final = {
    "file_id": "document",
    "file_unique_id": "document",
    "file_size": 1,
    "file_name": "picture.png",
    "mime_type": "image/png",
}


@dataclass(eq=False)
class Sent:
    """A message of the bot as it stands now. `edits` gets its text each time it is edited."""

    id: int | str
    chat: Chat | None
    text: str
    buttons: list[list[Json]]
    silent: bool = False
    preview_options: Json = field(default_factory=dict)
    entities: list[Json] = field(default_factory=list)
    reply_to: int | None = None
    thread: int | None = None
    photo: bytes | None = None
    is_document: bool = False
    edited: bool = False
    at: float = 0.0
    edits: Inbox[str] = field(default_factory=lambda: Inbox("edit"))

    @property
    def preview(self) -> bool:
        """Whether Telegram may show a preview of links."""
        return not self.preview_options.get("is_disabled")

    def marked(self, kind: str) -> list[str]:
        """What is marked so, such as "bold"."""
        units = self.text.encode("utf-16-le")
        spans = [(each["offset"], each["offset"] + each["length"]) for each in self.entities if each["type"] == kind]
        return [units[2 * start : 2 * end].decode("utf-16-le") for start, end in spans]

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
    """What a user typed behind @bot; `answers` gets the results."""

    server: World
    id: str
    user: User
    text: str
    answers: Inbox[Params] = field(default_factory=lambda: Inbox("answer to the inline query"))
    results: list[Json] = field(default_factory=list)
    button: Json = field(default_factory=dict)

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
    """An account."""

    server: World
    id: int
    name: str
    is_bot: bool = False
    language: str = "en"

    def json(self) -> Json:
        return {"id": self.id, "is_bot": self.is_bot, "first_name": self.name, "language_code": self.language}

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
        """Send any data for a message, as a modified client can."""
        press = Press(f"query-{self.server.number()}")
        self.server.queries[press.id] = press
        where = {"inline_message_id": sent.id} if sent.chat is None else {"message": sent.chat.message_json(sent)}
        query = {"id": press.id, "from": self.json(), "chat_instance": "1", "data": data}
        await self.server.add_update("callback_query", query | where)
        return press


@dataclass(eq=False)
class Chat:
    """A chat that the bot is in. `kind`: private, group or supergroup; `owner`: the person of a private one."""

    server: World
    id: int
    kind: str
    owner: User | None = None
    forum: bool = False
    topics: set[int] = field(default_factory=set)
    administrators: list[User] = field(default_factory=list)
    barred: str = ""
    """Why the bot may not write here: the words of a 403; empty when it may."""
    upgraded_to: int = 0
    sent: dict[int, Sent] = field(default_factory=dict)
    typed: set[int] = field(default_factory=set)
    messages: Inbox[Sent] = field(default_factory=lambda: Inbox("message"))
    actions: Inbox[Params] = field(default_factory=lambda: Inbox("chat action"))

    async def next_message(self, patience: float = PATIENCE) -> Sent:
        """Returns the next message when it is whole: a text that takes long grows, and ends in ". …" until then."""
        sent = await self.messages.next(patience)
        while re.search(r"[.!?][\"'”’»)\]]* …$", sent.text) and not sent.buttons:
            await sent.next_edit(patience)
        return sent

    async def next_action(self, patience: float = PATIENCE) -> str:
        return (await self.actions.next(patience)).text("action")

    async def send(
        self, text: str, *, by: User | None = None, topic: int | None = None, thread: int | None = None, **extra: Any
    ) -> int:
        """Write a message; `extra` goes into it, and without a `text` it has none.

        `topic`: a forum's; `thread`: a reply thread of an ordinary supergroup.
        """
        message = self.typed_message(text, by, extra)
        if topic is not None or thread is not None:
            message["message_thread_id"] = topic if topic is not None else thread
        if topic is not None:
            message["is_topic_message"] = True
            self.topics.add(topic)
        await self.server.add_update("message", message)
        return int(message["message_id"])

    async def edit(self, message_id: int, text: str, *, by: User | None = None) -> None:
        """Edit a message."""
        message = self.typed_message(text, by, {"edit_date": int(time.time())}) | {"message_id": message_id}
        await self.server.add_update("edited_message", message)

    async def reply(self, sent: Sent, text: str, *, by: User | None = None, **extra: Any) -> int:
        """Answer a message of the bot's."""
        return await self.send(text, by=by, reply_to_message=self.message_json(sent), **extra)

    async def add_bot(self, *, by: User, was: str = "left", now: str = "member") -> None:
        """Someone adds the bot to the chat, or changes what it is there. Later statuses: "administrator", "kicked"."""
        change = {"chat": self.json(), "from": by.json(), "date": int(time.time())}
        member = {"user": self.server.bot_user(), "until_date": 0}
        change |= {"old_chat_member": member | {"status": was}, "new_chat_member": member | {"status": now}}
        await self.server.add_update("my_chat_member", change)

    def block(self) -> None:
        """The person blocks the bot, or the group throws it out."""
        kicked = f"bot was kicked from the {self.kind} chat"
        self.barred = "bot was blocked by the user" if self.kind == "private" else kicked

    async def upgrade(self, *, announced_here: bool = True, announced_there: bool = True) -> Chat:
        """The group becomes a supergroup, with another number. Telegram tells both, unless a test forbids it."""
        new = Chat(self.server, -1_000_000_000_000 - self.server.number(), "supergroup")
        self.server.chats[new.id] = new
        self.upgraded_to = new.id
        admin = self.server.user("Admin")
        if announced_here:
            await self.server.add_update("message", self.typed_message("", admin, {"migrate_to_chat_id": new.id}))
        if announced_there:
            await self.server.add_update("message", new.typed_message("", admin, {"migrate_from_chat_id": self.id}))
        return new

    def json(self) -> Json:
        if self.owner is not None:
            return {"id": self.id, "type": self.kind, "first_name": self.owner.name}
        return {"id": self.id, "type": self.kind, "title": "A group"} | ({"is_forum": True} if self.forum else {})

    def message_json(self, sent: Sent) -> Json:
        """The `Message` object of a message of the bot's."""
        message: Json = {
            "message_id": sent.id,
            "from": self.server.bot_user(),
            "chat": self.json(),
            "date": int(time.time()),
        }
        if sent.edited:
            message["edit_date"] = int(time.time())
        if sent.thread is not None:
            message |= {"message_thread_id": sent.thread, "is_topic_message": True}
        if sent.photo is None:
            message["text"] = sent.text
        else:
            message |= {"document": _DOCUMENT} if sent.is_document else {"photo": [_PHOTO]}
            message |= {"caption": sent.text} if sent.text else {}
        if sent.preview_options:
            message["link_preview_options"] = sent.preview_options
        return message | ({"reply_markup": {"inline_keyboard": sent.buttons}} if sent.buttons else {})

    def typed_message(self, text: str, by: User | None, extra: Json) -> Json:
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

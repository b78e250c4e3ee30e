"""Hostile users in Telegram: many at once, who send what no client would, and what comes of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hostile
from conftest import english
from hostile import Journal
from prometheus_client import generate_latest
from voice_support import voices_of

from bot.config.schema import BotSection, Secret, TelegramSection
from bot.core.commands import USER_COMMANDS, Commands
from bot.core.parsing import parse_line
from bot.platforms.telegram.platform import Telegram
from bot.platforms.telegram.rate_limit import Limits, Rate
from bot.platforms.text import utf16_length
from bot.service.monitoring import Metrics, Status
from bot.service.reload import Reloading
from bot.store.store import Store
from generator.serving.generator import ThreadedGenerator
from testing.telegram import Chat, Press, Sent, TelegramServer, User

FAST = Limits(Rate(10_000, 1.0), Rate(10_000, 1.0), Rate(10_000, 1.0))
PEOPLE, GROUPS = 16, 3
MOST_MESSAGES = 3
"""Of one answer: five texts and their prompts do not fit into one message."""
MOST_SECONDS = 20.0
"""For all that was asked in one round. It takes a tenth of a second; a machine may have other things to do."""


@dataclass
class Actor:
    """A user, with their private chat, and what came of their last actions."""

    user: User
    mark: str
    private: Chat
    press: Press | None = None
    expects: Counter[str] = field(default_factory=Counter)


class Strangers:
    """People and chats around one bot. `round` has each of them do something, and returns what went wrong."""

    def __init__(
        self, server: TelegramServer, telegram: Telegram, journal: Journal, metrics: Metrics, draw: random.Random
    ) -> None:
        self._server, self._telegram, self._journal, self._metrics, self._draw = (
            server,
            telegram,
            journal,
            metrics,
            draw,
        )
        self._groups = [server.supergroup() for _ in range(GROUPS)]
        self._actors = []
        for _ in range(PEOPLE):
            name, mark = hostile.word(draw), hostile.word(draw)
            user = server.user(name)
            self._actors.append(Actor(user, mark, server.private(user)))
            journal.secret |= {name, mark}
        self._group_marks = {group.id: hostile.word(draw) for group in self._groups}
        journal.secret |= set(self._group_marks.values())
        self._seen: Counter[Any] = Counter()
        self._inline: list[tuple[Sent, str]] = []
        """Messages that people put into other chats, and whose they are."""
        self._cancellable: Counter[int] = Counter()
        """Commands of a group's anonymous administrators in this round: one sender, whose /cancel stops all of them."""
        self.did: list[str] = []
        """What was done in the last round, for a report."""

    async def round(self) -> list[str]:
        """Every actor does one thing at once."""
        expected: dict[int, tuple[int, int]] = {}
        marks: dict[int, set[str]] = {}
        answers: list[tuple[str, Any, int]] = []
        self.did = []
        self._cancellable.clear()
        before = len(self._server.calls)
        for chat in self._server.chats.values():
            self._seen[chat.id] = len(chat.messages.all)
        began = time.monotonic()
        with self._server.gathered():
            for actor in self._actors:
                chat, least, most, answer, mark = await self._act(actor)
                if chat is not None:
                    low, high = expected.get(chat.id, (0, 0))
                    expected[chat.id] = low + least, high + most
                    marks.setdefault(chat.id, set()).update({actor.mark, mark})
                if answer is not None:
                    answers.append(answer)
        await self._quiet()
        took = time.monotonic() - began
        found = [] if took < MOST_SECONDS else [f"took {took:.1f} s"]
        all_marks = {actor.mark for actor in self._actors} | set(self._group_marks.values())
        for chat in self._server.chats.values():
            new = chat.messages.all[self._seen[chat.id] :]
            low, high = expected.get(chat.id, (0, 0))
            if not low <= len(new) <= high:
                found.append(f"{len(new)} messages in chat {chat.id}, {low} to {high} were due")
            for sent in new:
                found += self._check_text(sent.text, sent.entities, written=bool(sent.buttons))
                foreign = {mark for mark in all_marks - marks.get(chat.id, set()) if mark in sent.text}
                found += [f"{mark} in chat {chat.id}, where they said nothing" for mark in foreign]
        for sent, owner in self._inline:
            for shown in sent.edits.all[self._seen[sent.id] :]:
                foreign = {mark for mark in all_marks - {owner} if mark in shown}
                found += [f"{mark} in an inline message of {owner}" for mark in foreign]
            self._seen[sent.id] = len(sent.edits.all)
        for what, inbox, due in answers:
            if len(inbox.all) != due:
                found.append(f"{what}: {len(inbox.all)} answers")
        for call in self._server.calls[before:]:
            found += self._well_formed(call.method, call.params)
        found += self._journal.troubles()
        shown = generate_latest(self._metrics.registry).decode()
        found += [f"{words} in the metrics" for words in self._journal.secret if words in shown]
        self._server.calls.clear()
        self._server.forget_updates()
        return found

    async def _quiet(self) -> None:
        """Until the bot has taken everything and answered it."""
        async with asyncio.timeout(60):
            while self._server.pending or self._telegram._dispatcher is None:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.001)
            await self._telegram._dispatcher.join()

    async def _act(self, actor: Actor) -> tuple[Chat | None, int, int, tuple[str, Any, int] | None, str]:
        """Something: the chat that an answer is due in, how many messages at least and at most, what else is due."""
        draw = self._draw
        kind = draw.choices(("private", "group", "press", "inline", "chosen", "odd"), (40, 20, 20, 8, 8, 4))[0]
        if kind == "private":
            typed = hostile.cut(hostile.line(draw, actor.mark), hostile.MAX_MESSAGE) or "x"
            self.did.append(f"private {typed}")
            await actor.private.send(typed)
            other = (parse_line(typed) is not None) and _addressed_elsewhere(typed)
            return actor.private, 0 if other or not typed.strip() else 1, MOST_MESSAGES, None, ""
        if kind == "group":
            return await self._in_group(actor)
        if kind == "press":
            return await self._pressed(actor)
        if kind == "inline":
            typed = hostile.cut(hostile.text(draw, actor.mark), 256)
            self.did.append(f"inline {typed}")
            query = await actor.user.inline(typed)
            return None, 0, 0, ("an inline query", query.answers, 1), ""
        if kind == "chosen":
            typed = hostile.cut(hostile.text(draw, actor.mark), 256)
            self.did.append(f"chosen {typed}")
            sent = Sent(f"inline-{self._server.number()}", None, english("inline-placeholder"), [])
            self._server.inline_messages[str(sent.id)] = sent
            chosen = {
                "result_id": draw.choice(("0.5", "77", "nietzsche")),
                "from": actor.user.json(),
                "query": typed,
                "inline_message_id": sent.id,
            }
            await self._server.add_update("chosen_inline_result", chosen)
            self._inline = [*self._inline[-20:], (sent, actor.mark)]
            return None, 0, 0, ("an inline message", sent.edits, 1), ""
        await self._odd(actor)
        return actor.private, 0, MOST_MESSAGES, None, ""

    async def _in_group(self, actor: Actor) -> tuple[Chat, int, int, None, str]:
        draw, group = self._draw, self._draw.choice(self._groups)
        typed = hostile.cut(hostile.line(draw, actor.mark), hostile.MAX_MESSAGE) or "x"
        mark, extra = "", {}
        if draw.random() < 0.15:  # an anonymous administrator
            mark = self._group_marks[group.id]
            typed = typed.replace(actor.mark, mark)
            extra = {"sender_chat": group.json()}
        self.did.append(f"group {typed}")
        await group.send(typed, by=actor.user, **extra)
        line = parse_line(typed)
        known = line is not None and line.command in USER_COMMANDS and "@" not in typed.split(maxsplit=1)[0]
        least = 1 if known else 0
        if mark and line is not None and line.command == "cancel":
            least -= self._cancellable.pop(group.id, 0)
        elif mark:
            self._cancellable[group.id] += least
        return group, least, 0 if line is None else MOST_MESSAGES, None, mark

    async def _pressed(self, actor: Actor) -> tuple[Chat | None, int, int, tuple[str, Any, int], str]:
        """A button under any message that the bot ever sent, as it is or with any other data."""
        draw = self._draw
        chat = draw.choice([actor.private, *self._groups])
        sents = list(chat.sent.values())[-30:]
        sent = draw.choice(sents) if sents and draw.random() < 0.8 else None
        inline = draw.choice(self._inline)[0] if self._inline and draw.random() < 0.3 else None
        own = [sent for sent, owner in self._inline if owner == actor.mark] if inline else []
        real = [b["callback_data"] for s in (sent, inline, *own) if s for row in s.buttons for b in row]
        data = hostile.button(draw, str(actor.user.id), real)
        self.did.append(f"press {data}")
        press = Press(f"query-{self._server.number()}")
        self._server.queries[press.id] = press
        query: dict[str, Any] = {"id": press.id, "from": actor.user.json(), "chat_instance": "1", "data": data}
        if inline is not None:
            query["inline_message_id"] = inline.id
        elif sent is not None:
            query["message"] = chat.message_json(sent)
        await self._server.add_update("callback_query", query)
        where = chat if inline is None and sent is not None else None
        return where, 0, MOST_MESSAGES, ("a press", press.answers, 1), self._group_marks.get(chat.id, "")

    async def _odd(self, actor: Actor) -> None:
        """Updates that no documentation promises."""
        draw, server = self._draw, self._server
        nonsense = draw.choice((5, -1, 1.5, None, True, "", "x", [], [5], {}, {"id": "x"}, 2**70))
        message = actor.private.typed_message(hostile.line(draw, actor.mark), None, {})
        key = draw.choice(list(message))
        self.did.append(f"odd {key}={nonsense!r}")
        kind = draw.choice(("message", "message", "callback_query", "inline_query", "chosen_inline_result"))
        if kind == "message":
            await server.add_update(kind, message | {key: nonsense})
        else:
            body = {"id": "1", "from": actor.user.json(), "query": "x", "data": "c:1:2", "offset": "", "result_id": "1"}
            await server.add_update(kind, body | {draw.choice(("id", "from", "data", "result_id")): nonsense})

    def _check_text(self, shown: str, entities: list[Any], *, written: bool) -> list[str]:
        found = []
        if utf16_length(shown) > hostile.MAX_MESSAGE:
            found.append(f"{utf16_length(shown)} UTF-16 units in a message")
        if (trouble := hostile.lively(hostile.outside_code(shown, entities))) is not None:
            found.append(f"{trouble} in {'a text' if written else 'an answer'}: {hostile.printable(shown)[:300]}")
        return found

    def _well_formed(self, method: str, params: Any) -> list[str]:
        found = [f"{method} with a parse mode"] if params.raw.get("parse_mode") else []
        if method in {"sendMessage", "editMessageText"}:
            preview = params.json("link_preview_options", "link_preview_options") or {}
            if not preview.get("is_disabled"):
                found.append(f"{method} with a preview of links")
        if method == "editMessageText":
            entities = params.json("entities", "entities") or []
            found += self._check_text(params.text("text"), entities, written=False)
        if method == "answerCallbackQuery" and utf16_length(params.text("text")) > 200:
            found.append("a long alert")
        return found


def _addressed_elsewhere(typed: str) -> bool:
    first = typed.lstrip().split(maxsplit=1)[0]
    _, at, bot = first.partition("@")
    return bool(at and bot) and bot.lower() != "lstmega_bot"


@asynccontextmanager
async def connected(server: TelegramServer, commands: Commands, limits: Limits = FAST) -> AsyncIterator[Telegram]:
    """The adapter, listening to what people in `server` do."""
    telegram = Telegram(TelegramSection(token=Secret(server.token), api_url=server.url), commands, limits=limits)
    polls = server.watch("getUpdates")
    task = asyncio.create_task(telegram.serve())
    try:
        await polls.next(60.0)
        yield telegram
    finally:
        task.cancel()
        await asyncio.wait({task})


async def press(server: TelegramServer, chat: Chat, data: str) -> Press:
    """A press of a button that carries whatever one likes, by the owner of a private chat."""
    assert chat.owner is not None
    made = Press(f"query-{server.number()}")
    server.queries[made.id] = made
    message = {"message_id": 1, "date": 1, "chat": chat.json(), "from": server.me(), "text": "x"}
    query = {"id": made.id, "from": chat.owner.json(), "chat_instance": "1", "data": data, "message": message}
    await server.add_update("callback_query", query)
    return made


@asynccontextmanager
async def strangers(folder: Path, draw: random.Random) -> AsyncIterator[Strangers]:
    """A bot with the weights in `folder`, in a Telegram full of strangers."""
    journal, metrics = Journal(), Metrics()
    async with (
        TelegramServer() as server,
        Store.open(folder / f"hostile-{draw.randrange(10**9)}.sqlite3") as store,
        ThreadedGenerator.open(folder, threads=1) as generator,
    ):
        settings = BotSection(length=30, cooldown=0.0, operators=("telegram:1",))
        reloading = Reloading(generator)
        commands = Commands(
            voices_of(generator), store, settings, observer=metrics, reload=lambda: reloading.reload("/reload")
        )
        metrics.registry.register(Status(commands, (), lambda _: reloading.refusal))
        async with connected(server, commands) as telegram:
            server.unwatch()
            yield Strangers(server, telegram, journal, metrics, draw)

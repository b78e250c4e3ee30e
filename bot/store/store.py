"""What the bot remembers: each person's temperature, and their last text in each chat.

In an SQLite file of one process, or in a PostgreSQL that several processes share: the statements here are for both.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bot.config.schema import Secret, shown
from bot.store.errors import StoreError
from bot.store.sqlite import PATIENCE_SECONDS, SET_NOTE, Database
from generator.types import ScoringRequest

if TYPE_CHECKING:
    from bot.store import postgres
    from bot.store import sqlite as database

    Connection = database.Connection | postgres.Connection


@dataclass(frozen=True, slots=True)
class Conversation:
    """A person's last text in a chat: how it began, and where it stopped.

    `state` is `Generation.state`, opaque bytes of the weights `version`; `tail` the last characters of the raw text.
    `written` is the raw text itself; `None` in what was kept before the whole of it was.
    """

    prompt: str
    temperature: float
    version: str
    state: bytes
    tail: str
    written: ScoringRequest | None = None


class Store:
    """The database, open. Make one with `Store.open`. Every method raises `StoreError` when the database fails."""

    def __init__(self, database: Database | postgres.Database) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, place: Path | Secret, *, patience: float = PATIENCE_SECONDS) -> AsyncIterator[Store]:
        """Opens the database: a file, or a PostgreSQL by its address. What is missing in it is made.

        `patience` and errors are those of `bot.store.sqlite.Database.open` and `bot.store.postgres.Database.open`.
        Raises `StoreError` also when the library for PostgreSQL is not installed.
        """
        opened = Database.open(place, patience) if isinstance(place, Path) else postgres_of(place).open(place, patience)
        async with opened as it:
            yield cls(it)

    @staticmethod
    async def look(address: Secret) -> str:
        """How a PostgreSQL is, in a few words; nothing is changed there. Errors are those of `open`."""
        return await postgres_of(address).look(address)

    async def temperature(self, platform: str, person: str) -> float | None:
        """The person's own temperature, or `None` when they set none."""
        rows = await self._database.read(
            "SELECT temperature FROM preferences JOIN people ON people.id = person_id"
            " WHERE platform = $1 AND person = $2",
            platform,
            person,
        )
        return float(rows[0][0]) if rows else None

    async def set_temperature(self, platform: str, person: str, temperature: float | None) -> None:
        """Sets the person's own temperature; `None` clears it."""
        async with self._database.transaction() as change:
            if temperature is None:  # whoever is not known has none, and stays unknown
                await change.run(
                    "DELETE FROM preferences"
                    " WHERE person_id IN (SELECT id FROM people WHERE platform = $1 AND person = $2)",
                    platform,
                    person,
                )
            else:
                await change.run(
                    "INSERT INTO preferences (person_id, temperature) VALUES ($1, $2)"
                    " ON CONFLICT (person_id) DO UPDATE SET temperature = $2",
                    await _person_id(change, platform, person),
                    temperature,
                )

    async def conversation(self, platform: str, chat: str, person: str) -> Conversation | None:
        """The person's last text in the chat, or `None` when there is none."""
        rows = await self._database.read(
            "SELECT opening, temperature, version, state, tail, preceding, written, seed FROM conversations"
            " JOIN people ON people.id = person_id WHERE platform = $1"
            " AND chat = coalesce((SELECT new FROM moved_chats WHERE platform = $1 AND old = $2), $2)"
            " AND person = coalesce((SELECT new FROM moved_chats WHERE platform = $1 AND old = $3), $3)",
            platform,
            chat,
            person,
        )
        if not rows:
            return None
        prompt, temperature, version, state, tail, preceding, text, seed = rows[0]
        written = None if text is None else ScoringRequest(preceding, text, seed)
        return Conversation(prompt, temperature, version, state, tail, written)

    async def number(self, platform: str, person: str) -> int | None:
        """The number that the person has until they are forgotten, or `None` when nothing is known of them."""
        rows = await self._database.read(
            "SELECT id FROM people WHERE platform = $1"
            " AND person = coalesce((SELECT new FROM moved_chats WHERE platform = $1 AND old = $2), $2)",
            platform,
            person,
        )
        return int(rows[0][0]) if rows else None

    async def make_known(self, platform: str, person: str) -> int:
        """The person's number; whoever has none gets one."""
        while (number := await self.number(platform, person)) is None:
            await self._database.change(
                "INSERT INTO people (platform, person)"
                " VALUES ($1, coalesce((SELECT new FROM moved_chats WHERE platform = $1 AND old = $2), $2))"
                " ON CONFLICT DO NOTHING",
                platform,
                person,
            )
        return number

    async def save_conversation(
        self, platform: str, chat: str, person: str, number: int, conversation: Conversation
    ) -> bool:
        """Keeps the person's last text in the chat, in place of the one before it.

        `number` is the one that the person had when the text was begun. Whoever was forgotten since, be it in another
        process, has it no more: then nothing is kept, and the answer is `False`.
        """
        written = conversation.written
        changed = await self._database.change(
            "INSERT INTO conversations"
            " (person_id, chat, opening, temperature, version, state, tail, updated_at, preceding, written, seed)"
            " SELECT id, coalesce((SELECT new FROM moved_chats WHERE platform = $2 AND old = $4), $4),"
            " $5, $6, $7, $8, $9, $10, $11, $12, $13 FROM people WHERE id = $1 AND platform = $2"
            " AND person = coalesce((SELECT new FROM moved_chats WHERE platform = $2 AND old = $3), $3)"
            " ON CONFLICT (person_id, chat) DO UPDATE SET opening = $5, temperature = $6, version = $7,"
            " state = $8, tail = $9, updated_at = $10, preceding = $11, written = $12, seed = $13",
            number,
            platform,
            person,
            chat,
            conversation.prompt,
            conversation.temperature,
            conversation.version,
            conversation.state,
            conversation.tail,
            int(time.time()),
            written and written.before,
            written and written.text,
            written and written.seed,
        )
        return changed > 0

    async def move_chat(self, platform: str, old: str, new: str) -> None:
        """The chat `old` goes under the name `new` from now on: with what people wrote there, also what comes later.

        A chat may speak for itself (an anonymous administrator does so in its name); then it is moved as a person too.
        What is there under the new name already is the newer, and stays.
        """
        async with self._database.transaction(alone=True) as change:
            await change.run(
                "INSERT INTO moved_chats (platform, old, new) VALUES ($1, $2, $3)"
                " ON CONFLICT (platform, old) DO UPDATE SET new = $3",
                platform,
                old,
                new,
            )
            await change.run(
                "UPDATE conversations SET chat = $3"
                " WHERE chat = $2 AND person_id IN (SELECT id FROM people WHERE platform = $1)"
                " AND person_id NOT IN (SELECT person_id FROM conversations WHERE chat = $3)",
                platform,
                old,
                new,
            )
            await change.run(
                "DELETE FROM conversations"
                " WHERE chat = $2 AND person_id IN (SELECT id FROM people WHERE platform = $1)",
                platform,
                old,
            )
            await change.run(
                "UPDATE people SET person = $3 WHERE platform = $1 AND person = $2"
                " AND NOT EXISTS (SELECT 1 FROM people WHERE platform = $1 AND person = $3)",
                platform,
                old,
                new,
            )
            await change.run("DELETE FROM people WHERE platform = $1 AND person = $2", platform, old)

    async def forget(self, platform: str, person: str) -> int:
        """Deletes every row about the person and returns how many there were.

        Nothing of them stays in an SQLite file, which is written anew; that takes its time, and others who only read do
        not wait meanwhile. A PostgreSQL sees to its files itself (`bot.store.postgres`). A chat that speaks for itself
        is forgotten under each name that it had, and so is that it moved: a button from before finds nothing any more.
        """
        async with self._database.transaction(alone=True) as change:
            name = await _name_now(change, platform, person)
            rows = await change.read("SELECT id FROM people WHERE platform = $1 AND person = $2", platform, name)
            deleted = await change.run("DELETE FROM moved_chats WHERE platform = $1 AND new = $2", platform, name)
            for (person_id,) in rows:
                deleted += await change.run("DELETE FROM preferences WHERE person_id = $1", person_id)
                deleted += await change.run("DELETE FROM conversations WHERE person_id = $1", person_id)
                deleted += await change.run("DELETE FROM people WHERE id = $1", person_id)
            if deleted:
                await change.deleted()
        if deleted:
            await self._database.scrub()
        return deleted

    async def note(self, key: str) -> str | None:
        """A fact that the service noted about itself, or `None`."""
        rows = await self._database.read("SELECT value FROM notes WHERE key = $1", key)
        return str(rows[0][0]) if rows else None

    async def set_note(self, key: str, value: str) -> None:
        """Notes a fact, in place of the one before it."""
        await self._database.change(SET_NOTE, key, value)

    async def probe(self) -> None:
        """Writes something, to find out whether that works; does not wait long for another process."""
        await self._database.probe()

    async def integrity(self) -> list[str]:
        """What the database finds wrong with itself; empty when all is right."""
        return await self._database.damage()


async def _name_now(change: Connection, platform: str, chat: str) -> str:
    """The name under which the chat goes: this one, unless it was moved."""
    rows = await change.read("SELECT new FROM moved_chats WHERE platform = $1 AND old = $2", platform, chat)
    return str(rows[0][0]) if rows else chat


async def _person_id(change: Connection, platform: str, person: str) -> int:
    await change.run("INSERT INTO people (platform, person) VALUES ($1, $2) ON CONFLICT DO NOTHING", platform, person)
    rows = await change.read("SELECT id FROM people WHERE platform = $1 AND person = $2", platform, person)
    return int(rows[0][0])


def postgres_of(address: Secret) -> type[postgres.Database]:
    """What opens the PostgreSQL of that address. Raises `StoreError` when its library is not installed."""
    try:
        from bot.store import postgres  # noqa: PLC0415 - its library is installed by those who want it
    except ModuleNotFoundError as error:
        raise StoreError(
            shown(address), "needs asyncpg, which is not installed: pip install 'lstmega[postgres]'"
        ) from error
    return postgres.Database

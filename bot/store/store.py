"""What the bot remembers: each user's temperature, and their last text in each chat.

The interface of the store. Its statements are for SQLite and PostgreSQL alike.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bot.config.schema import Secret, redact_url
from bot.store import inspection, sqlite
from bot.store.errors import StoreError
from bot.store.sqlite import BUSY_TIMEOUT_SECONDS, SET_SETTING
from generator.types import ScoringRequest

if TYPE_CHECKING:
    from bot.store import postgres

EXPIRY_BATCH: Final = 50
"""Users whose texts expire in one transaction, which takes about 0.01 s."""
EXPIRY_PAUSE_SECONDS: Final = 1.0
"""Between two batches."""
MAINTENANCE_SECONDS: Final = 60.0
"""Between two searches for deleted bytes and old texts."""
NIGHT_HOUR: Final = 4
"""Local time at which the bytes are erased that a large SQLite file still holds."""
_DAY_SECONDS: Final = 86_400
log = logging.getLogger(__name__)


def _current(chat: str) -> str:
    """SQL for the ID that a chat has now, from the one that it had; `$1` is the platform."""
    return f"coalesce((SELECT new FROM moved_chats WHERE platform = $1 AND old = {chat}), {chat})"


_USER: Final = f"platform = $1 AND person = {_current('$2')}"
"""SQL that finds a user. A chat may be one: an anonymous administrator writes in its name."""

_TEXT: Final = ("opening", "temperature", "version", "state", "tail", "preceding", "written", "seed")
"""The columns of a `Conversation`."""
_SAVED: Final = {column: f"${number}" for number, column in enumerate((*_TEXT, "updated_at"), 5)}
_SAVE: Final = (
    f"INSERT INTO conversations (person_id, chat, {', '.join(_SAVED)})"
    f" SELECT id, {_current('$3')}, {', '.join(_SAVED.values())} FROM people WHERE {_USER} AND id = $4"
    f" ON CONFLICT (person_id, chat) DO UPDATE SET {', '.join(f'{name} = {value}' for name, value in _SAVED.items())}"
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A user's last text in a chat: its prompt, and where it stopped.

    `state` is `Generation.state`, opaque bytes of the weights `version`; `tail` the last characters of the raw text.
    `written` is the raw text itself, `None` in rows of older versions.
    """

    prompt: str
    temperature: float
    version: str
    state: bytes
    tail: str
    written: ScoringRequest | None = None


class Store:
    """The open database. Make one with `Store.open`. Every method raises `StoreError` when the database fails."""

    def __init__(self, database: sqlite.Database | postgres.Database) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(
        cls, place: Path | Secret, *, busy_timeout: float = BUSY_TIMEOUT_SECONDS, keep_days: int = 0
    ) -> AsyncIterator[Store]:
        """Opens the database, a file or a PostgreSQL by its address; creates what is missing.

        Texts older than `keep_days` are deleted in the background; 0 keeps them. `busy_timeout` and errors are those of
        `sqlite.Database.open` and `postgres.Database.open`.
        """
        database = sqlite.Database if isinstance(place, Path) else postgres_database(place)
        async with database.open(place, busy_timeout) as opened:  # type: ignore[arg-type]
            store = cls(opened)
            maintenance = asyncio.create_task(store._maintain(keep_days))
            try:
                yield store
            finally:
                maintenance.cancel()
                await asyncio.wait([maintenance])

    @staticmethod
    async def inspect(place: Path | Secret) -> str:
        """Describes a database in a few words, and changes nothing. Raises `StoreError` as `open`, and for damage."""
        if isinstance(place, Path):
            return await asyncio.to_thread(inspection.inspect, place)
        return await postgres_database(place).inspect(place)

    async def temperature(self, platform: str, user: str) -> float | None:
        """The user's own temperature, or `None`."""
        rows = await self._database.read(
            f"SELECT temperature FROM preferences JOIN people ON people.id = person_id WHERE {_USER}", platform, user
        )
        return float(rows[0][0]) if rows else None

    async def set_temperature(self, platform: str, user: str, temperature: float | None) -> None:
        """Sets the user's own temperature; `None` clears it."""
        if temperature is None:
            await self._database.change(
                f"DELETE FROM preferences WHERE person_id IN (SELECT id FROM people WHERE {_USER})", platform, user
            )
            return
        while not await self._database.change(
            f"INSERT INTO preferences (person_id, temperature) SELECT id, $3 FROM people WHERE {_USER}"
            " ON CONFLICT (person_id) DO UPDATE SET temperature = $3",
            platform,
            user,
            temperature,
        ):
            await self.ensure_user(platform, user)

    async def conversation(self, platform: str, chat: str, user: str) -> Conversation | None:
        """The user's last text in the chat, or `None`."""
        rows = await self._database.read(
            f"SELECT {', '.join(_TEXT)} FROM conversations"
            f" JOIN people ON people.id = person_id WHERE {_USER} AND chat = {_current('$3')}",
            platform,
            user,
            chat,
        )
        if not rows:
            return None
        prompt, temperature, version, state, tail, preceding, text, seed = rows[0]
        written = None if text is None else ScoringRequest(preceding, text, seed)
        return Conversation(prompt, temperature, version, state, tail, written)

    async def user_id(self, platform: str, user: str) -> int | None:
        """The number that stands for the user until `forget`; `None` for an unknown user."""
        rows = await self._database.read(f"SELECT id FROM people WHERE {_USER}", platform, user)
        return int(rows[0][0]) if rows else None

    async def ensure_user(self, platform: str, user: str) -> int:
        """Returns `user_id`, after adding the user if necessary."""
        while (user_id := await self.user_id(platform, user)) is None:
            await self._database.change(
                f"INSERT INTO people (platform, person) VALUES ($1, {_current('$2')}) ON CONFLICT DO NOTHING",
                platform,
                user,
            )
        return user_id

    async def save_conversation(
        self, platform: str, chat: str, user: str, user_id: int, conversation: Conversation
    ) -> bool:
        """Saves the user's last text in the chat; it replaces the one before.

        `user_id` is the user's from before the text was begun. If the user was forgotten since, also by another
        process, nothing is saved and the result is `False`.
        """
        kept, written = conversation, conversation.written
        text = (written.before, written.text, written.seed) if written else (None, None, None)
        values = (kept.prompt, kept.temperature, kept.version, kept.state, kept.tail, *text, int(time.time()))
        changed = await self._database.change(_SAVE, platform, user, chat, user_id, *values)
        return changed > 0

    async def move_chat(self, platform: str, old: str, new: str) -> None:
        """Gives a chat another ID: for all that is saved, and for requests under the old ID that come later.

        A chat that writes in its own name is also moved as a user. What is saved under the new ID is newer, and stays.
        """
        async with self._database.transaction(exclusive=True) as change:
            for statement in (
                "INSERT INTO moved_chats (platform, old, new) VALUES ($1, $2, $3)"
                " ON CONFLICT (platform, old) DO UPDATE SET new = $3",
                "UPDATE conversations SET chat = $3"
                " WHERE chat = $2 AND person_id IN (SELECT id FROM people WHERE platform = $1)"
                " AND person_id NOT IN (SELECT person_id FROM conversations WHERE chat = $3)",
                "UPDATE people SET person = $3 WHERE platform = $1 AND person = $2"
                " AND NOT EXISTS (SELECT 1 FROM people WHERE platform = $1 AND person = $3)",
            ):
                await change.run(statement, platform, old, new)
            for statement in (
                "DELETE FROM conversations"
                " WHERE chat = $2 AND person_id IN (SELECT id FROM people WHERE platform = $1)",
                "DELETE FROM people WHERE platform = $1 AND person = $2",
            ):
                await change.run(statement, platform, old)

    async def forget(self, platform: str, user: str) -> int:
        """Deletes every row about the user; returns their number.

        The bytes are erased from an SQLite file too (`bot.store.sqlite` says when); a PostgreSQL sees to its own files.
        For a chat, that includes its former IDs: a request under one of them finds nothing afterwards.
        """
        deleted = 0
        async with self._database.transaction(exclusive=True) as change:
            rows = await change.read(f"SELECT id FROM people WHERE {_USER}", platform, user)
            for (user_id,) in rows:
                for table, column in (("preferences", "person_id"), ("conversations", "person_id"), ("people", "id")):
                    deleted += await change.run(f"DELETE FROM {table} WHERE {column} = $1", user_id)
            deleted += await change.run(
                f"DELETE FROM moved_chats WHERE platform = $1 AND new = {_current('$2')}", platform, user
            )
            if deleted:
                await change.mark_deleted()
        if deleted:
            await self._erase()
        return deleted

    async def expire(self, before: float) -> int:
        """Deletes the texts of up to `EXPIRY_BATCH` users that were saved before a time, in seconds since 1970, and the
        users of whom nothing else is known; returns the number of texts."""
        async with self._database.transaction(exclusive=True) as change:
            rows = await change.read(
                "SELECT person_id FROM conversations WHERE updated_at < $1"
                f" ORDER BY updated_at LIMIT {EXPIRY_BATCH}",  # the order makes SQLite use the index
                int(before),
            )
            users = ", ".join(str(int(user_id)) for (user_id,) in rows) or "NULL"
            deleted = await change.run(
                f"DELETE FROM conversations WHERE updated_at < $1 AND person_id IN ({users})", int(before)
            )
            await change.run(
                f"DELETE FROM people WHERE id IN ({users})"
                " AND NOT EXISTS (SELECT 1 FROM preferences WHERE person_id = id)"
                " AND NOT EXISTS (SELECT 1 FROM conversations WHERE person_id = id)"
            )
        return deleted

    async def _erase(self, *, at_night: bool = False) -> None:
        """Erases the bytes of deleted rows. A failure is logged, and `_maintain` tries again."""
        try:
            await self._database.erase_deleted(at_night=at_night)
        except Exception as error:  # noqa: BLE001 - whatever it is, the rows are deleted
            log.error("store.erase_failed retry_seconds=%g error=%s", MAINTENANCE_SECONDS, error)

    async def _maintain(self, keep_days: int) -> None:
        """Erases what an earlier process, a failure or the day has left, and deletes old texts."""
        while True:
            await self._erase(at_night=datetime.now().astimezone().hour == NIGHT_HOUR)
            deleted = 0
            try:
                deleted = await self.expire(time.time() - keep_days * _DAY_SECONDS) if keep_days else 0
            except Exception as error:  # noqa: BLE001 - the next search may succeed
                log.error("store.expiry_failed retry_seconds=%g error=%s", MAINTENANCE_SECONDS, error)
            await asyncio.sleep(EXPIRY_PAUSE_SECONDS if deleted else MAINTENANCE_SECONDS)

    async def setting(self, key: str) -> str | None:
        """A value that the service saved, or `None`."""
        rows = await self._database.read("SELECT value FROM notes WHERE key = $1", key)
        return str(rows[0][0]) if rows else None

    async def set_setting(self, key: str, value: str) -> None:
        """Saves a value, in place of the one before."""
        await self._database.change(SET_SETTING, key, value)

    async def check_writable(self) -> None:
        """Writes something, and raises `StoreError` if that fails. Does not wait long for another process."""
        await self._database.check_writable()


def postgres_database(address: Secret) -> type[postgres.Database]:
    """Imports what opens a PostgreSQL. Raises `StoreError` when asyncpg is not installed."""
    try:
        from bot.store import postgres  # noqa: PLC0415 - asyncpg is optional
    except ModuleNotFoundError as error:
        raise StoreError(
            redact_url(address), "needs asyncpg, which is not installed: pip install 'lstmega[postgres]'"
        ) from error
    return postgres.Database

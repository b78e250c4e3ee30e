"""What the bot remembers: each user's preferences, and their last texts in each chat.

The interface of the store. Its statements are for SQLite and PostgreSQL alike.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bot.config.schema import Secret, redact_url
from bot.store import sqlite
from bot.store.errors import StoreError
from generator.dependencies import how_to_install
from generator.types import ScoringRequest
from generator.weights.versions import NIETZSCHE

if TYPE_CHECKING:
    from bot.store import postgres

BUSY_TIMEOUT_SECONDS: Final = 5.0  # for which a statement waits for another process that holds the database
ADMINISTRATORS: Final = "administrators"  # who may have texts written in a group, where it is not everyone
KEPT_TEXTS: Final = 10  # of a user in a chat; the next one takes the place of the oldest
EXPIRY_BATCH: Final = 50  # users whose texts expire in one transaction, which takes about 0.01 s
EXPIRY_PAUSE_SECONDS: Final = 1.0  # between two batches
MAINTENANCE_SECONDS: Final = 60.0  # between two searches for deleted bytes and old texts
NIGHT_HOUR: Final = 4  # local time at which the bytes are erased that a large SQLite file still holds
log = logging.getLogger(__name__)


def _current(chat: str) -> str:
    """SQL for the ID that a chat has now, from the one that it had; `$1` is the platform."""
    return f"coalesce((SELECT new FROM moved_chats WHERE platform = $1 AND old = {chat}), {chat})"


_USER: Final = f"platform = $1 AND person = {_current('$2')}"
"""SQL that finds a user. A chat may be one: an anonymous administrator writes in its name."""
_USER_ID: Final = f"(SELECT id FROM people WHERE {_USER})"
_TEXT: Final = "opening, temperature, version, state, tail, preceding, written, seed, voice"  # of a `Conversation`
_SET_SETTING: Final = "INSERT INTO notes (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2"
_SAVE: Final = (
    f"INSERT INTO conversations (person_id, chat, number, slot, {_TEXT}, updated_at)"
    f" SELECT id, here, number, number % {KEPT_TEXTS}, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 FROM"
    f" (SELECT id, here, coalesce(nullif($15, 0), (SELECT max(number) + 1 FROM conversations"
    f" WHERE person_id = id AND chat = here), 1) AS number FROM"
    f" (SELECT id, {_current('$3')} AS here FROM people WHERE {_USER} AND id = $4) AS place) AS numbered WHERE true"
    " ON CONFLICT (person_id, chat, slot) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in (*_TEXT.split(", "), "updated_at", "number"))
)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a user has set, or a group for its members: `None` where they have not.

    `length` in characters. `language`: the name of its folder of messages. `access`: who may have texts written in the
    group, `ADMINISTRATORS` or everyone. `voice`: the name of the one that writes where none is named.
    """

    temperature: float | None = None
    length: int | None = None
    language: str | None = None
    access: str | None = None
    voice: str | None = None

    def over(self, defaults: Preferences) -> Preferences:
        """Returns these, and the defaults for those that are not set."""
        pairs = ((getattr(self, each.name), getattr(defaults, each.name)) for each in fields(self))
        return Preferences(*(default if own is None else own for own, default in pairs))


_PREFERENCES: Final = ", ".join(field.name for field in fields(Preferences))


@dataclass(frozen=True, slots=True)
class Conversation:
    """A user's text in a chat: its prompt, and where it stopped.

    `state` is `Generation.state`, opaque bytes of the weights `version`; `tail` the last characters of the raw text.
    `written` is the raw text itself, `None` in rows of older versions. `number` counts the user's texts in the chat; 0
    for one that is not saved yet. `voice`: the name of the one that wrote it.
    """

    prompt: str
    temperature: float
    version: str
    state: bytes
    tail: str
    written: ScoringRequest | None = None
    number: int = field(default=0, compare=False)
    voice: str = NIETZSCHE


class Store:
    """The open database. Make one with `Store.open`. Every method raises `StoreError` when the database fails."""

    def __init__(self, database: sqlite.Database | postgres.Database, keep_days: int) -> None:
        self._database = database
        self.keep_days = keep_days
        """After so many days texts are deleted; 0: never."""
        self._erasing = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, place: Path | Secret, *, busy_timeout: float = BUSY_TIMEOUT_SECONDS, keep_days: int = 0
    ) -> AsyncIterator[Store]:
        """Opens the database, a file or a PostgreSQL by its address; creates what is missing.

        Texts older than `keep_days` are deleted in the background; 0 keeps them. `busy_timeout` and errors are those of
        `sqlite.Database.open` and `postgres.Database.open`.
        """
        kind = sqlite.Database if isinstance(place, Path) else postgres_database(place)
        async with kind.open(place, busy_timeout) as database:  # type: ignore[arg-type]
            store = cls(database, keep_days)
            maintenance = asyncio.create_task(store._maintain())
            try:
                yield store
            finally:
                maintenance.cancel()
                await asyncio.wait([maintenance])

    @staticmethod
    async def inspect(place: Path | Secret) -> str:
        """Describes a database in a few words, and changes nothing. Raises `StoreError` as `open`, and for damage."""
        if isinstance(place, Path):
            return await asyncio.to_thread(sqlite.inspect, place)
        return await postgres_database(place).inspect(place, BUSY_TIMEOUT_SECONDS)

    async def preferences(self, platform: str, user: str) -> Preferences:
        """What the user has set. A group is a user too: what it has set is the default of its members."""
        statement = f"SELECT {_PREFERENCES} FROM preferences WHERE person_id = {_USER_ID}"
        rows = await self._database.read(statement, platform, user)
        return Preferences(*rows[0]) if rows else Preferences()

    async def set_preference(self, platform: str, user: str, name: str, value: float | str | None) -> None:
        """Sets what the user prefers, by the name of a field of `Preferences`; `None` clears it."""
        if value is None:
            theirs = f"preferences WHERE person_id = {_USER_ID}"
            others = " AND ".join(f"{field.name} IS NULL" for field in fields(Preferences) if field.name != name)
            if not await self._database.change(f"DELETE FROM {theirs} AND {others}", platform, user):
                statement = f"UPDATE preferences SET {name} = NULL WHERE person_id = {_USER_ID}"
                await self._database.change(statement, platform, user)
            return
        statement = (
            f"INSERT INTO preferences (person_id, {name}) SELECT id, $3 FROM people WHERE {_USER}"
            f" ON CONFLICT (person_id) DO UPDATE SET {name} = $3"
        )
        while not await self._database.change(statement, platform, user, value):
            await self.ensure_user(platform, user)

    async def conversations(self, platform: str, chat: str, user: str, most: int = KEPT_TEXTS) -> list[Conversation]:
        """The user's texts in the chat that are kept, the newest first, and no more than `most`."""
        theirs = f"person_id = {_USER_ID} AND chat = {_current('$3')}"
        statement = f"SELECT number, {_TEXT} FROM conversations WHERE {theirs} ORDER BY number DESC LIMIT {most}"
        rows = await self._database.read(statement, platform, user, chat)
        found = []
        for number, prompt, temperature, version, state, tail, preceding, text, seed, voice in rows:
            written = None if text is None else ScoringRequest(preceding, text, seed)
            found.append(Conversation(prompt, temperature, version, state, tail, written, number, voice))
        return found

    async def user_id(self, platform: str, user: str) -> int | None:
        """The number that stands for the user until `forget`; `None` for an unknown user."""
        rows = await self._database.read(f"SELECT id FROM people WHERE {_USER}", platform, user)
        return int(rows[0][0]) if rows else None

    async def ensure_user(self, platform: str, user: str) -> int:
        """Returns `user_id`, after adding the user if necessary."""
        statement = f"INSERT INTO people (platform, person) VALUES ($1, {_current('$2')}) ON CONFLICT DO NOTHING"
        while (user_id := await self.user_id(platform, user)) is None:
            await self._database.change(statement, platform, user)
        return user_id

    async def save_conversation(
        self, platform: str, chat: str, user: str, user_id: int, conversation: Conversation
    ) -> bool:
        """Saves the user's last text in the chat; one that has a `number` takes the place of the text of that number.

        `user_id` is the user's from before the text was begun. If the user was forgotten since, also by another
        process, nothing is saved and the result is `False`.
        """
        kept, written = conversation, conversation.written
        text = (written.before, written.text, written.seed) if written else (None, None, None)
        values = (kept.prompt, kept.temperature, kept.version, kept.state, kept.tail, *text, kept.voice)
        numbers = (int(time.time()), kept.number)
        return await self._database.change(_SAVE, platform, user, chat, user_id, *values, *numbers) > 0

    async def move_chat(self, platform: str, old: str, new: str) -> None:
        """Gives a chat another ID: for all that is saved, and for requests under the old ID that come later.

        A chat that writes in its own name is also moved as a user. What is saved under the new ID is newer, and stays.
        """
        theirs = "chat = $2 AND person_id IN (SELECT id FROM people WHERE platform = $1)"
        newer = "SELECT person_id FROM conversations WHERE chat = $3"
        async with self._database.transaction() as change:
            for statement in (
                "INSERT INTO moved_chats VALUES ($1, $2, $3) ON CONFLICT (platform, old) DO UPDATE SET new = $3",
                f"UPDATE conversations SET chat = $3 WHERE {theirs} AND person_id NOT IN ({newer})",
                "UPDATE people SET person = $3 WHERE platform = $1 AND person = $2"
                " AND NOT EXISTS (SELECT 1 FROM people WHERE platform = $1 AND person = $3)",
            ):
                await change.run(statement, platform, old, new)
            await change.run(f"DELETE FROM conversations WHERE {theirs}", platform, old)
            await change.run("DELETE FROM people WHERE platform = $1 AND person = $2", platform, old)

    async def forget(self, platform: str, user: str) -> int:
        """Deletes every row about the user; returns their number.

        The bytes are erased from an SQLite file too (`bot.store.sqlite` says when); a PostgreSQL sees to its own files.
        For a chat, that includes its former IDs: a request under one of them finds nothing afterwards.
        """
        async with self._database.transaction() as change:
            deleted = 0
            for rows in (
                f"preferences WHERE person_id = {_USER_ID}",
                f"conversations WHERE person_id = {_USER_ID}",
                f"people WHERE {_USER}",
                f"moved_chats WHERE platform = $1 AND new = {_current('$2')}",
            ):
                deleted += await change.run(f"DELETE FROM {rows}", platform, user)
            if deleted:
                await change.run(_SET_SETTING, sqlite.ERASE, str(time.time_ns()))
        if deleted:
            await self._erase()
        return deleted

    async def expire(self, before: float) -> int:
        """Deletes the texts of up to `EXPIRY_BATCH` users that were saved before a time, in seconds since 1970, and the
        users of whom nothing else is known; returns the number of texts."""
        old = "updated_at < $1"
        async with self._database.transaction() as change:
            # The order makes SQLite use the index.
            oldest = f"SELECT person_id FROM conversations WHERE {old} ORDER BY updated_at LIMIT {EXPIRY_BATCH}"
            users = ", ".join(str(int(user_id)) for (user_id,) in await change.read(oldest, int(before))) or "NULL"
            deleted = await change.run(f"DELETE FROM conversations WHERE {old} AND person_id IN ({users})", int(before))
            await change.run(
                f"DELETE FROM people WHERE id IN ({users})"
                " AND NOT EXISTS (SELECT 1 FROM preferences WHERE person_id = id)"
                " AND NOT EXISTS (SELECT 1 FROM conversations WHERE person_id = id)"
            )
        return deleted

    async def _erase(self, *, at_night: bool = False) -> None:
        """Erases the bytes of deleted rows. A failure is logged, and `_maintain` tries again."""
        self._erasing = True
        try:
            await self._database.erase_deleted(at_night=at_night)
        except Exception as error:  # noqa: BLE001 - whatever it is, the rows are deleted
            log.error("store.erase_failed retry_seconds=%g error=%s", MAINTENANCE_SECONDS, error)
        finally:
            self._erasing = False

    async def _maintain(self) -> None:
        """Erases what an earlier process, a failure or the day has left, and deletes old texts."""
        while True:
            await self._erase(at_night=datetime.now().astimezone().hour == NIGHT_HOUR)
            deleted = 0
            try:
                deleted = await self.expire(time.time() - self.keep_days * 86_400) if self.keep_days else 0
                today = int(time.time() // 86_400)
                if await self._database.read("SELECT 1 FROM usage WHERE day < $1 LIMIT 1", today):
                    await self._database.change("DELETE FROM usage WHERE day < $1", today)
            except Exception as error:  # noqa: BLE001 - the next search may succeed
                log.error("store.expiry_failed retry_seconds=%g error=%s", MAINTENANCE_SECONDS, error)
            await asyncio.sleep(EXPIRY_PAUSE_SECONDS if deleted else MAINTENANCE_SECONDS)

    async def usage(self, *keys: str) -> dict[str, tuple[int, int]]:
        """The texts and characters that were counted today under two keys, where there are any."""
        rows = await self._database.read("SELECT key, texts, characters FROM usage WHERE key IN ($1, $2)", *keys)
        return {key: (texts, characters) for key, texts, characters in rows}

    async def add_usage(self, day: int, texts: int, characters: int, *keys: str) -> None:
        """Counts texts and characters under two keys. `day`: since 1970; after it, the rows are deleted."""
        await self._database.change(
            "INSERT INTO usage (key, day, texts, characters) VALUES ($4, $1, $2, $3), ($5, $1, $2, $3)"
            " ON CONFLICT (key) DO UPDATE SET texts = usage.texts + excluded.texts,"
            " characters = usage.characters + excluded.characters",
            *(day, texts, characters, *keys),
        )

    async def setting(self, key: str) -> str | None:
        """A value that the service saved, or `None`."""
        rows = await self._database.read("SELECT value FROM notes WHERE key = $1", key)
        return str(rows[0][0]) if rows else None

    async def set_setting(self, key: str, value: str) -> None:
        """Saves a value, in place of the one before."""
        await self._database.change(_SET_SETTING, key, value)

    async def check_writable(self) -> None:
        """Writes something, and raises `StoreError` if that fails. Does nothing during an erasure, which may be long.

        The write is committed: with write-ahead logging, only a commit reaches a disk that may be full or read-only.
        """
        if not self._erasing:
            await self.set_setting("probe", str(time.time_ns()))


def postgres_database(address: Secret) -> type[postgres.Database]:
    """Imports what opens a PostgreSQL. Raises `StoreError` when asyncpg is not installed."""
    try:
        from bot.store import postgres  # noqa: PLC0415 - asyncpg is optional
    except ModuleNotFoundError as error:
        problem = f"needs asyncpg, which is not installed; {how_to_install('postgres')}"
        raise StoreError(redact_url(address), problem) from error
    return postgres.Database

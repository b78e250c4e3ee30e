"""What the bot remembers: each person's temperature, and their last text in each chat. SQLite through aiosqlite.

One connection; aiosqlite runs its statements one after the other on a thread of its own. Write-ahead logging with
`synchronous = NORMAL`: a committed change survives the death of the process at any moment, and other processes may
read meanwhile. `secure_delete` and `Store.forget` see to it that what was deleted is gone from the file as well.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiosqlite

from bot.errors import StoreError
from bot.migrations import APPLICATION_ID, MIGRATIONS
from generator.surprise import Written

PATIENCE_SECONDS: Final = 5.0
"""How long a statement waits for another process that holds the database."""
PROBE_SECONDS: Final = 1.0
"""How long `Store.probe` waits for it."""
_PROBE: Final = "probe"
"""The note that `Store.probe` writes."""
_RETRY_SECONDS: Final = 0.02
_Values = Sequence[Any] | Mapping[str, Any]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A person's last text in a chat: how it began, and where it stopped.

    `state` is `Generation.state`, opaque bytes of the weights `version`; `tail` the last characters of the raw text.
    `written` is the raw text itself; `None` in what was kept before the whole of it was.
    """

    opening: str
    temperature: float
    version: str
    state: bytes
    tail: str
    written: Written | None = None


class Store:
    """The database, open. Make one with `Store.open`. Every method raises `StoreError` when the database fails."""

    def __init__(self, path: Path, connection: aiosqlite.Connection, patience: float = PATIENCE_SECONDS) -> None:
        self.path = path
        self._patience = patience
        self._connection = connection
        self._turn = asyncio.Lock()
        """Transactions of concurrent tasks share the connection, so they take turns."""

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, *, patience: float = PATIENCE_SECONDS) -> AsyncIterator[Store]:
        """Opens the database, making its folder, the file and the present schema where they are missing.

        `patience`: seconds to wait for another process that holds it. Raises `StoreError`: locked, read-only,
        corrupt, no database, another program's, from a newer version of the bot, folder missing or unwritable.
        """
        await asyncio.to_thread(_make_file, path)
        connection = await aiosqlite.connect(path, timeout=patience, isolation_level=None)
        try:
            store = cls(path, connection, patience)
            await store._prepare()
            yield store
        finally:
            await connection.close()

    async def temperature(self, platform: str, person: str) -> float | None:
        """The person's own temperature, or `None` when they set none."""
        rows = await self._read(
            "SELECT temperature FROM preferences JOIN people ON people.id = person_id"
            " WHERE platform = ? AND person = ?",
            (platform, person),
        )
        return float(rows[0][0]) if rows else None

    async def set_temperature(self, platform: str, person: str, temperature: float | None) -> None:
        """Sets the person's own temperature; `None` clears it."""
        those = "person_id IN (SELECT id FROM people WHERE platform = ? AND person = ?)"
        async with self._transaction():
            if temperature is None:  # whoever is not known has none, and stays unknown
                await self._run(f"DELETE FROM preferences WHERE {those}", (platform, person))  # noqa: S608 - a constant
            else:
                person_id = await self._person_id(platform, person)
                await self._run("INSERT OR REPLACE INTO preferences VALUES (?, ?)", (person_id, temperature))

    async def conversation(self, platform: str, chat: str, person: str) -> Conversation | None:
        """The person's last text in the chat, or `None` when there is none."""
        rows = await self._read(
            "SELECT opening, temperature, version, state, tail, preceding, written, seed FROM conversations"
            " JOIN people ON people.id = person_id WHERE platform = :platform"
            " AND chat = coalesce((SELECT new FROM moved_chats WHERE platform = :platform AND old = :chat), :chat)"
            " AND person = coalesce((SELECT new FROM moved_chats WHERE platform = :platform AND old = :name), :name)",
            {"platform": platform, "chat": chat, "name": person},
        )
        if not rows:
            return None
        opening, temperature, version, state, tail, preceding, text, seed = rows[0]
        written = None if text is None else Written(preceding, text, seed)
        return Conversation(opening, temperature, version, state, tail, written)

    async def save_conversation(self, platform: str, chat: str, person: str, conversation: Conversation) -> None:
        """Keeps the person's last text in the chat, in place of the one before it."""
        written = conversation.written
        async with self._transaction():
            person_id = await self._person_id(platform, await self._name_now(platform, person))
            await self._run(
                "INSERT OR REPLACE INTO conversations"
                " (person_id, chat, opening, temperature, version, state, tail, updated_at, preceding, written, seed)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    person_id,
                    await self._name_now(platform, chat),
                    conversation.opening,
                    conversation.temperature,
                    conversation.version,
                    conversation.state,
                    conversation.tail,
                    int(time.time()),
                    written and written.before,
                    written and written.text,
                    written and written.seed,
                ),
            )

    async def move_chat(self, platform: str, old: str, new: str) -> None:
        """The chat `old` goes under the name `new` from now on: with what people wrote there, also what comes later.

        A chat may speak for itself (an anonymous administrator does so in its name); then it is moved as a person too.
        What is there under the new name already is the newer, and stays.
        """
        async with self._transaction():
            await self._run("INSERT OR REPLACE INTO moved_chats VALUES (?, ?, ?)", (platform, old, new))
            those = "chat = ? AND person_id IN (SELECT id FROM people WHERE platform = ?)"
            await self._run(f"UPDATE OR IGNORE conversations SET chat = ? WHERE {those}", (new, old, platform))  # noqa: S608 - a constant
            await self._run(f"DELETE FROM conversations WHERE {those}", (old, platform))  # noqa: S608 - likewise
            itself = (platform, old)
            await self._run("UPDATE OR IGNORE people SET person = ? WHERE platform = ? AND person = ?", (new, *itself))
            await self._run("DELETE FROM people WHERE platform = ? AND person = ?", itself)

    async def forget(self, platform: str, person: str) -> int:
        """Deletes every row about the person and returns how many there were; nothing of them stays in the file.

        `secure_delete` zeroes deleted rows, but not the copies that SQLite leaves in the unused part of a page when
        it moves rows between pages (seen in an experiment); so the file is written anew (`VACUUM`), and the
        write-ahead log, which holds older pages, is emptied.
        """
        async with self._transaction():
            rows = await self._read("SELECT id FROM people WHERE platform = ? AND person = ?", (platform, person))
            deleted = 0
            for (person_id,) in rows:
                deleted += await self._run("DELETE FROM preferences WHERE person_id = ?", (person_id,))
                deleted += await self._run("DELETE FROM conversations WHERE person_id = ?", (person_id,))
                deleted += await self._run("DELETE FROM people WHERE id = ?", (person_id,))
        if deleted:
            await self._scrub()
        return deleted

    async def note(self, key: str) -> str | None:
        """A fact that the service noted about itself, or `None`."""
        rows = await self._read("SELECT value FROM notes WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    async def set_note(self, key: str, value: str) -> None:
        """Notes a fact, in place of the one before it."""
        async with self._transaction():
            await self._run("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, value))

    async def probe(self) -> None:
        """Writes something, to find out whether that works; waits `PROBE_SECONDS` for another process at most.

        A write that is taken back would not do: with write-ahead logging it never reaches the disk, and only what does
        finds out that the disk is full or can only be read.
        """
        async with self._turn:
            try:
                await self._read(f"PRAGMA busy_timeout = {PROBE_SECONDS * 1000:.0f}")
                await self._run("INSERT OR REPLACE INTO notes VALUES (?, ?)", (_PROBE, str(time.time_ns())))
            finally:
                await self._read(f"PRAGMA busy_timeout = {self._patience * 1000:.0f}")

    async def integrity(self) -> list[str]:
        """What `PRAGMA integrity_check` and `foreign_key_check` find wrong; empty when all is right."""
        found = [str(row[0]) for row in await self._read("PRAGMA integrity_check(10)")]
        orphans = await self._read("PRAGMA foreign_key_check")
        return [line for line in found if line != "ok"] + [f"{row[0]}: a row belongs to nobody" for row in orphans[:10]]

    async def _prepare(self) -> None:
        """Checks, settings and migrations; raises `StoreError`."""
        # One statement, so that another process which is just making the database is seen before it or after it.
        [(found, owner, tables)] = await self._read(
            "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)"
            " FROM pragma_user_version, pragma_application_id"
        )
        if owner != APPLICATION_ID and (owner or found or tables):
            raise StoreError(self.path, "is the database of another program; choose another file with [store] path")
        if found > len(MIGRATIONS):
            raise StoreError(
                self.path,
                f"is from a newer version of LSTMega (schema {found}; this one knows {len(MIGRATIONS)});"
                " update LSTMega, or choose another file with [store] path",
            )
        damage = [str(row[0]) for row in await self._read("PRAGMA quick_check(1)")]
        if damage != ["ok"]:
            raise StoreError(self.path, f"{_CORRUPT} ({damage[0].splitlines()[-1][:80]})")
        await self._log_ahead()
        await self._read("PRAGMA synchronous = NORMAL")
        await self._read("PRAGMA foreign_keys = ON")
        await self._read("PRAGMA secure_delete = ON")
        # Taking the writer's lock finds out at start whether the file can be written and nobody holds it.
        async with self._transaction():
            done = (await self._read("PRAGMA user_version"))[0][0]  # again: another process may have just migrated
            for number, statements in enumerate(MIGRATIONS[done:], done + 1):
                for statement in statements:
                    await self._run(statement)
                await self._run(f"PRAGMA user_version = {number}")

    async def _log_ahead(self) -> None:
        """Switches to write-ahead logging. SQLite's own waiting does not cover this: two at once fail at once."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                await self._read("PRAGMA journal_mode = WAL")
            except StoreError as error:
                if _code(error.__cause__) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _scrub(self) -> None:
        """Rewrites the file without what was deleted. A failure is logged: the rows themselves are gone already."""
        async with self._turn:
            try:
                await self._read("VACUUM")
                busy = (await self._read("PRAGMA wal_checkpoint(TRUNCATE)"))[0][0]
            except StoreError as error:
                log.error("deleted rows may leave traces in the file until the next /forgetme: %s", error)
            else:
                if busy:
                    log.error("%s-wal may hold deleted rows until other programs close the database", self.path)

    async def _name_now(self, platform: str, chat: str) -> str:
        """The name under which the chat goes: this one, unless it was moved."""
        rows = await self._read("SELECT new FROM moved_chats WHERE platform = ? AND old = ?", (platform, chat))
        return str(rows[0][0]) if rows else chat

    async def _person_id(self, platform: str, person: str) -> int:
        await self._run("INSERT OR IGNORE INTO people (platform, person) VALUES (?, ?)", (platform, person))
        rows = await self._read("SELECT id FROM people WHERE platform = ? AND person = ?", (platform, person))
        return int(rows[0][0])

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """All or nothing: an error, or the cancellation of the task, takes everything back."""
        async with self._turn:
            try:
                await self._read("BEGIN IMMEDIATE")
                yield
                await self._read("COMMIT")
            except BaseException:
                # aiosqlite queues this at once, behind whatever statement a cancelled task was waiting for.
                await self._connection.rollback()
                raise

    async def _read(self, statement: str, values: _Values = ()) -> list[sqlite3.Row]:
        try:
            return list(await self._connection.execute_fetchall(statement, values))
        except sqlite3.Error as error:
            raise StoreError(self.path, explain(error)) from error

    async def _run(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Executes one statement; returns the number of rows it changed."""
        try:
            async with self._connection.execute(statement, values) as cursor:
                return max(cursor.rowcount, 0)
        except sqlite3.Error as error:
            raise StoreError(self.path, explain(error)) from error


def _make_file(path: Path) -> None:
    """Sees to it that the file can be opened, in a folder for its owner alone if that is new. Raises `StoreError`.

    aiosqlite leaves a thread behind when it cannot open a file, so that is found out before it tries.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StoreError(
            path, f"its folder cannot be made ({reason}); choose another place with [store] path"
        ) from error
    if path.is_dir():
        raise StoreError(path, "is a folder, not a file; give [store] path a file in it")
    try:
        sqlite3.connect(path).close()
    except sqlite3.Error as error:
        raise StoreError(path, explain(error)) from error


_CORRUPT: Final = "is damaged; move it away (people's temperatures and last texts are lost) or restore a copy"
_READ_ONLY: Final = "cannot be written; give this user the right to write the file and its folder"
_EXPLANATIONS: Final[dict[int, str]] = {
    sqlite3.SQLITE_BUSY: "is locked by another program; stop that program, then try again",
    sqlite3.SQLITE_LOCKED: "is locked by another program; stop that program, then try again",
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; see that its folder exists and this user may write there",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database; move it away or choose another file with [store] path",
    sqlite3.SQLITE_CORRUPT: _CORRUPT,
    sqlite3.SQLITE_FULL: "the disk is full; make room on it",
    sqlite3.SQLITE_IOERR: "the disk fails to read or write; look at the disk's health and free space",
}


def explain(error: sqlite3.Error) -> str:
    """What is wrong and what to do, from SQLite's primary result code (https://sqlite.org/rescode.html)."""
    return _EXPLANATIONS.get(_code(error), f"the database failed: {error}")


def _code(error: BaseException | None) -> int:
    """SQLite's primary result code; 0 for what is no error of SQLite."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF

"""The open SQLite file: read, change, and erase what was deleted.

aiosqlite on two connections, each with its own thread: one writes, one reads, so a read never waits for a change.

Durability: write-ahead log with `synchronous = NORMAL`. A committed change survives the death of the process. A power
failure may lose the commits since the system last wrote to the disk, usually half a minute. `FULL` would keep them, but
a change then waits for the disk: 8 ms at the 99th percentile on a rented machine, against 0.1 ms.

Erasure: `secure_delete` zeroes deleted rows in place, but not the copies that SQLite leaves in the unused part of a
page when it moves rows between pages. Only `VACUUM` erases these, and changes wait for it: 0.7 s for 100 MB. A file
up to `SMALL_BYTES` is vacuumed at once; a larger one at night. The write-ahead log is emptied at once in both cases.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiosqlite

from bot.store.errors import StoreError
from bot.store.sqlite_file import SIZE, SMALL_BYTES, prepare, translated_errors

ERASE: Final = "scrub"
"""Key of the setting that says that bytes are to be erased. Its value is unique to the last deletion."""


class Connection:
    """Statements on one connection. Every method raises `StoreError` when the database fails.

    `$1` in a statement stands for the first of the values, as in PostgreSQL, so both databases share the statements; it
    is SQLite's `?1` (https://sqlite.org/lang_expr.html#varparam).
    """

    def __init__(self, path: Path, raw: aiosqlite.Connection) -> None:
        self._path = path
        self.raw = raw

    async def read(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """Executes one statement; returns all its rows."""
        with translated_errors(self._path):
            return list(await self.raw.execute_fetchall(statement.replace("$", "?"), values))

    async def run(self, statement: str, *values: Any) -> int:
        """Executes one statement; returns the number of rows it changed."""
        with translated_errors(self._path):
            async with self.raw.execute(statement.replace("$", "?"), values) as cursor:
                return max(cursor.rowcount, 0)


class Database:
    """The open file. Make one with `Database.open`. Every method raises `StoreError` when it fails."""

    def __init__(self, path: Path, writer: Connection, reader: Connection) -> None:
        self.path = path
        self.read = reader.read
        self._writer = writer
        self._write_lock = asyncio.Lock()
        """Held for one transaction: concurrent tasks share the connection."""

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, busy_timeout: float) -> AsyncIterator[Database]:
        """Opens the database; creates or migrates it where necessary.

        `busy_timeout`: seconds to wait for another process that holds it. Raises `StoreError`: locked, read-only,
        corrupt, no database, another program's, from a newer version, folder missing or not writable.
        """
        await asyncio.to_thread(prepare, path, busy_timeout)
        async with (
            aiosqlite.connect(path, timeout=busy_timeout, isolation_level=None) as writing,
            aiosqlite.connect(path, timeout=busy_timeout, isolation_level=None) as reading,
        ):
            writer, reader = Connection(path, writing), Connection(path, reading)
            for setting in ("synchronous = NORMAL", "foreign_keys = ON", "secure_delete = ON"):
                await writer.read(f"PRAGMA {setting}")
            await reader.read("PRAGMA query_only = ON")
            yield cls(path, writer, reader)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """All or nothing: an error, or the cancellation of the task, rolls it back. No other runs meanwhile."""
        async with self._write_lock:
            try:
                await self._writer.read("BEGIN IMMEDIATE")
                yield self._writer
                await self._writer.read("COMMIT")
            except BaseException:
                await self._writer.raw.rollback()  # after the statement that a cancelled task was waiting for
                raise

    async def change(self, statement: str, *values: Any) -> int:
        """Executes one statement that changes something, all or nothing; returns the number of rows it changed.

        One statement instead of the three of a `transaction`: under load, the hop between the event loop and the
        connection's thread is what takes time. If the task is cancelled, the change may be made or not.
        """
        async with self._write_lock:
            return await self._writer.run(statement, *values)

    async def erase_deleted(self, *, at_night: bool) -> None:
        """Erases the bytes of the deleted rows that the setting `ERASE` is about; of a large file, those that
        `secure_delete` leaves only at night."""
        [(size,)] = await self.read(SIZE)
        async with self._write_lock:
            marks = await self._writer.read("SELECT value FROM notes WHERE key = $1", ERASE)
            if not marks:  # nothing was deleted, or another call has erased it while this one waited for the lock
                return
            try:
                await self._empty_log()  # makes room on a full disk
                if at_night or size <= SMALL_BYTES:
                    await self._writer.read("VACUUM")
                    await self._empty_log()
                    await self._writer.run("DELETE FROM notes WHERE key = $1 AND value = $2", ERASE, *marks[0])
            except asyncio.CancelledError:  # the store is being closed; the mark stays, and the next start continues
                await self._writer.raw.interrupt()
                raise

    async def _empty_log(self) -> None:
        [(busy, *_)] = await self._writer.read("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise StoreError(self.path, "is being read by another program; its -wal file may hold deleted rows")

"""The SQLite file: open it, read, change, and erase what was deleted.

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
import os
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiosqlite

from bot.store.errors import StoreError
from bot.store.inspection import IDENTITY, identify
from bot.store.migrations import statements
from bot.store.sqlite_errors import CORRUPT, result_code, translated_errors

BUSY_TIMEOUT_SECONDS: Final = 5.0
"""How long a statement waits for another process that holds the database."""
WRITE_CHECK_SECONDS: Final = 1.0
"""The same for `Database.check_writable`."""
SMALL_BYTES: Final = 4 << 20
"""A file of this size is vacuumed in about 0.03 s, and checked in less."""
SET_SETTING: Final = "INSERT INTO notes (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2"
WRITE_CHECK: Final = "probe"
"""Key of the setting that `check_writable` writes."""
_ERASE: Final = "scrub"
"""Key of the setting that says that bytes are to be erased. Its value is unique to the last deletion."""
_RETRY_SECONDS: Final = 0.02


class Connection:
    """Statements on one connection. Every method raises `StoreError` when the database fails.

    `$1` in a statement stands for the first of the values, as in PostgreSQL, so both databases share the statements; it
    is SQLite's `?1` (https://sqlite.org/lang_expr.html#varparam).
    """

    def __init__(self, path: Path, connection: aiosqlite.Connection) -> None:
        self._path = path
        self.raw = connection

    async def read(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """Executes one statement; returns all its rows."""
        with translated_errors(self._path):
            return list(await self.raw.execute_fetchall(statement.replace("$", "?"), values))

    async def run(self, statement: str, *values: Any) -> int:
        """Executes one statement; returns the number of rows it changed."""
        with translated_errors(self._path):
            async with self.raw.execute(statement.replace("$", "?"), values) as cursor:
                return max(cursor.rowcount, 0)

    async def mark_deleted(self) -> None:
        """Records, in the transaction that deletes rows, that their bytes must be erased."""
        await self.run(SET_SETTING, _ERASE, secrets.token_hex(8))


class Database:
    """The open file. Make one with `Database.open`. Every method raises `StoreError` when it fails."""

    def __init__(self, path: Path, writer: Connection, reader: Connection, busy_timeout: float) -> None:
        self.path = path
        self.read = reader.read
        self._reader = reader
        self._writer = writer
        self._busy_timeout = busy_timeout
        self._write_lock = asyncio.Lock()
        """Held for one transaction: concurrent tasks share the connection."""
        self._vacuuming = False

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, busy_timeout: float = BUSY_TIMEOUT_SECONDS) -> AsyncIterator[Database]:
        """Opens the database; creates or migrates it where necessary.

        `busy_timeout`: seconds to wait for another process that holds it. Raises `StoreError`: locked, read-only,
        corrupt, no database, another program's, from a newer version, folder missing or not writable.
        """
        await asyncio.to_thread(_create, path)
        async with _connected(path, busy_timeout) as writer:
            await _prepare(path, writer, busy_timeout)
            async with _connected(path, busy_timeout) as reader:
                await reader.read("PRAGMA query_only = ON")
                yield cls(path, writer, reader, busy_timeout)

    @asynccontextmanager
    async def transaction(self, *, exclusive: bool = False) -> AsyncIterator[Connection]:  # noqa: ARG002
        """All or nothing: an error, or the cancellation of the task, rolls it back.

        `exclusive`: no other transaction runs meanwhile. With SQLite that holds for every transaction.
        """
        async with self._write_lock, _transaction(self._writer) as connection:
            yield connection

    async def change(self, statement: str, *values: Any) -> int:
        """Executes one statement that changes something, all or nothing; returns the number of rows it changed.

        One statement instead of the three of a `transaction`: under load, the hop between the event loop and the
        connection's thread is what takes time. If the task is cancelled, the change may be made or not.
        """
        async with self._write_lock:
            return await self._writer.run(statement, *values)

    async def check_writable(self) -> None:
        """Writes a setting; waits at most `WRITE_CHECK_SECONDS` for another process. Does nothing during a `VACUUM`.

        The write is committed: with write-ahead logging, only a commit reaches a disk that may be full or read-only.
        """
        if self._vacuuming:
            return
        async with self._write_lock:
            try:
                await self._writer.read(f"PRAGMA busy_timeout = {WRITE_CHECK_SECONDS * 1000:.0f}")
                await self._writer.run(SET_SETTING, WRITE_CHECK, str(time.time_ns()))
            finally:
                await self._writer.read(f"PRAGMA busy_timeout = {self._busy_timeout * 1000:.0f}")

    async def erase_deleted(self, *, at_night: bool = False) -> None:
        """Erases the bytes of the rows that `mark_deleted` was about; of a large file, all of them only at night."""
        vacuum = at_night or await _is_small(self._reader)
        async with self._write_lock:
            marks = await self._writer.read("SELECT value FROM notes WHERE key = $1", _ERASE)
            if not marks:  # nothing was deleted, or another call has erased it while this one waited for the lock
                return
            self._vacuuming = vacuum
            try:
                [(busy, *_)] = await self._writer.read("PRAGMA wal_checkpoint(TRUNCATE)")  # makes room on a full disk
                if vacuum:
                    await self._writer.read("VACUUM")
                    [(busy, *_)] = await self._writer.read("PRAGMA wal_checkpoint(TRUNCATE)")
            except asyncio.CancelledError:  # the store is being closed; the mark stays, and the next start continues
                await self._writer.raw.interrupt()
                raise
            finally:
                self._vacuuming = False
            if busy:
                raise StoreError(self.path, "is being read by another program; its -wal file may hold deleted rows")
            for (value,) in marks if vacuum else ():
                await self._writer.run("DELETE FROM notes WHERE key = $1 AND value = $2", _ERASE, value)


async def _is_small(connection: Connection) -> bool:
    [(size,)] = await connection.read("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    return bool(size <= SMALL_BYTES)


@asynccontextmanager
async def _connected(path: Path, busy_timeout: float) -> AsyncIterator[Connection]:
    connection = await aiosqlite.connect(path, timeout=busy_timeout, isolation_level=None)
    try:
        yield Connection(path, connection)
    finally:
        await connection.close()


@asynccontextmanager
async def _transaction(connection: Connection) -> AsyncIterator[Connection]:
    try:
        await connection.read("BEGIN IMMEDIATE")
        yield connection
        await connection.read("COMMIT")
    except BaseException:
        await connection.raw.rollback()  # after the statement that a cancelled task was waiting for
        raise


async def _prepare(path: Path, writer: Connection, busy_timeout: float) -> None:
    """Checks the file, makes it private, sets it up and migrates it. Raises `StoreError`."""
    [found] = await writer.read(IDENTITY)
    identify(path, *found)
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):  # SQLite gives new ones the mode of the first
        with suppress(OSError):  # it does not exist, or is another user's
            file = path.with_name(name)
            file.chmod(file.stat().st_mode & 0o700)
    if await _is_small(writer):  # `check` reads a larger one; a start does not
        damage = str((await writer.read("PRAGMA quick_check(1)"))[0][0])
        if damage != "ok":
            raise StoreError(path, f"{CORRUPT} ({damage.splitlines()[-1][:80]})")
    await _enable_write_ahead_log(writer, busy_timeout)
    await writer.read("PRAGMA synchronous = NORMAL")
    await writer.read("PRAGMA foreign_keys = ON")
    await writer.read("PRAGMA secure_delete = ON")
    # Even without a migration, taking the write lock shows whether the file can be written.
    async with _transaction(writer):
        applied = (await writer.read("PRAGMA user_version"))[0][0]  # again: another process may have just migrated
        for statement in statements(applied):
            await writer.run(statement)


async def _enable_write_ahead_log(writer: Connection, busy_timeout: float) -> None:
    """SQLite's busy timeout does not cover this: of two processes, one fails at once."""
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            await writer.read("PRAGMA journal_mode = WAL")
            return
        except StoreError as error:
            if result_code(error.__cause__) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        await asyncio.sleep(_RETRY_SECONDS)


def _create(path: Path) -> None:
    """Creates the file and its folder where missing, for their owner alone. Raises `StoreError`.

    aiosqlite leaves a thread behind when it cannot open a file, so this finds that out first.
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
    with suppress(OSError):  # it exists, or SQLite gives the reason
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with translated_errors(path):
        sqlite3.connect(path).close()

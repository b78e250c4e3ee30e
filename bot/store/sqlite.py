"""The database file: opening it, reading, changing, and writing it anew without what was deleted.

SQLite through aiosqlite, on two connections, each with a thread of its own: one changes, one reads, so that nobody who
only reads waits for a long change. Write-ahead logging with `synchronous = NORMAL`: a committed change survives the
death of the process at any moment. When the machine loses its power, what was committed since the system last wrote to
the disk (half a minute, usually) may be lost, and nothing else. `FULL` would keep that as well, but waits for the disk
at every change: on a rented machine 0.2 ms in the middle and 8 ms at the 99th percentile, where `NORMAL` took 0.02 and
0.1, and a command's time for the store is 5. What is forgotten (`Database.scrub`) is on the disk either way.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiosqlite

from bot.store.errors import StoreError
from bot.store.migrations import APPLICATION_ID, MIGRATIONS, steps

PATIENCE_SECONDS: Final = 5.0
"""How long a statement waits for another process that holds the database."""
PROBE_SECONDS: Final = 1.0
"""How long `Database.probe` waits for it."""
SCRUB_AGAIN_SECONDS: Final = 60.0
"""After writing the file anew has failed, for want of space for instance, it is tried again this much later."""
_PROBE: Final = "probe"
"""The note that `Database.probe` writes."""
_SCRUB: Final = "scrub"
"""The note that deleted rows may have left traces in the file; with a value that no other has."""
SET_NOTE: Final = "INSERT INTO notes (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2"
_RETRY_SECONDS: Final = 0.02
log = logging.getLogger(__name__)


class Connection:
    """Statements on one connection. Every method raises `StoreError` when the database fails.

    `$1` in a statement stands for the first of the values, as in PostgreSQL: `bot.store.store` says everything to both
    databases in the same words.
    """

    def __init__(self, path: Path, connection: aiosqlite.Connection) -> None:
        self._path = path
        self._connection = connection

    async def read(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """Executes one statement; returns all its rows."""
        try:
            return list(await self._connection.execute_fetchall(statement, _numbered(values)))
        except sqlite3.Error as error:
            raise StoreError(self._path, explain(error)) from error

    async def run(self, statement: str, *values: Any) -> int:
        """Executes one statement; returns the number of rows it changed."""
        try:
            async with self._connection.execute(statement, _numbered(values)) as cursor:
                return max(cursor.rowcount, 0)
        except sqlite3.Error as error:
            raise StoreError(self._path, explain(error)) from error

    async def deleted(self) -> None:
        """Notes, in the transaction that deletes something, that the file has to be written anew."""
        await self.run(SET_NOTE, _SCRUB, secrets.token_hex(8))

    async def rollback(self) -> None:
        """Takes the transaction back; queued at once, behind whatever statement a cancelled task was waiting for."""
        await self._connection.rollback()

    async def interrupt(self) -> None:
        """Ends the statement that runs."""
        await self._connection.interrupt()


class Database:
    """The file, open. Make one with `Database.open`. Every method raises `StoreError` when it fails."""

    def __init__(self, path: Path, writer: Connection, reader: Connection, patience: float) -> None:
        self.path = path
        self.read = reader.read
        self._writer = writer
        self._patience = patience
        self._turn = asyncio.Lock()
        """Transactions of concurrent tasks share the connection, so they take turns."""
        self._scrub = asyncio.Event()
        self._scrubbed: asyncio.Future[None] | None = None
        self._scrubbing = False

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, patience: float = PATIENCE_SECONDS) -> AsyncIterator[Database]:
        """Opens the database, making its folder, the file and the present schema where they are missing.

        `patience`: seconds to wait for another process that holds it. Raises `StoreError`: locked, read-only,
        corrupt, no database, another program's, from a newer version of the bot, folder missing or unwritable.
        """
        await asyncio.to_thread(_make_file, path)
        async with _connected(path, patience) as writer:
            await _prepare(path, writer, patience)
            async with _connected(path, patience) as reader:
                await reader.read("PRAGMA query_only = ON")
                database = cls(path, writer, reader, patience)
                if await database.read("SELECT 1 FROM notes WHERE key = $1", _SCRUB):
                    database._scrub.set()  # the process ended before it was done
                cleaning = asyncio.create_task(database._keep_clean())
                try:
                    yield database
                finally:
                    cleaning.cancel()
                    if database._scrubbing:
                        await writer.interrupt()  # the note is still there, and the next start sees it
                    await asyncio.wait([cleaning])

    @asynccontextmanager
    async def transaction(self, *, alone: bool = False) -> AsyncIterator[Connection]:  # noqa: ARG002 - always alone
        """All or nothing: an error, or the cancellation of the task, takes everything back.

        `alone`: nothing else may change meanwhile; with SQLite that is so for every transaction.
        """
        async with self._turn, _transaction(self._writer) as connection:
            yield connection

    async def change(self, statement: str, *values: Any) -> int:
        """Executes one statement that changes something, all or nothing; returns the number of rows it changed.

        In a `transaction` it would take three: each waits for the event loop and for the connection's thread in turn,
        which under load is what takes the time. When the task is cancelled, it may be done or not.
        """
        async with self._turn:
            return await self._writer.run(statement, *values)

    async def probe(self) -> None:
        """Writes something, to find out whether that works; waits `PROBE_SECONDS` for another process at most.

        A write that is taken back would not do: with write-ahead logging it never reaches the disk, and only what does
        finds out that the disk is full or can only be read. While the file is written anew, that is being found out.
        """
        if self._scrubbing:
            return
        async with self._turn:
            try:
                await self._writer.read(f"PRAGMA busy_timeout = {PROBE_SECONDS * 1000:.0f}")
                await self._writer.run(SET_NOTE, _PROBE, str(time.time_ns()))
            finally:
                await self._writer.read(f"PRAGMA busy_timeout = {self._patience * 1000:.0f}")

    async def damage(self) -> list[str]:
        """What `PRAGMA integrity_check` and `foreign_key_check` find wrong; empty when all is right."""
        found = [str(row[0]) for row in await self.read("PRAGMA integrity_check(10)")]
        orphans = await self.read("PRAGMA foreign_key_check")
        return [line for line in found if line != "ok"] + [f"{row[0]}: a row belongs to nobody" for row in orphans[:10]]

    async def scrub(self) -> None:
        """Returns when the file was written anew without what is deleted by now, or when that has failed.

        Those who ask at the same time share one writing. What failed is told in the log and tried again later.
        """
        if self._scrubbed is None:
            self._scrubbed = asyncio.get_running_loop().create_future()
            self._scrub.set()
        await asyncio.shield(self._scrubbed)

    async def _keep_clean(self) -> None:
        while True:
            await self._scrub.wait()
            self._scrub.clear()
            asked, self._scrubbed = self._scrubbed, None  # who asks from here on waits for the next
            self._scrubbing = True
            try:
                await self._write_anew()
            except StoreError as error:
                log.error("deleted rows may leave traces in the file; tried again every minute: %s", error)
                asyncio.get_running_loop().call_later(SCRUB_AGAIN_SECONDS, self._scrub.set)
            finally:
                self._scrubbing = False
                if asked is not None:
                    asked.set_result(None)

    async def _write_anew(self) -> None:
        """`secure_delete` zeroes deleted rows, but not the copies that SQLite leaves in the unused part of a page when
        it moves rows between pages (seen in an experiment); so the file is written anew (`VACUUM`), and the write-ahead
        log, which holds older pages, is emptied. Only changes wait meanwhile.
        """
        async with self._turn:
            notes = await self._writer.read("SELECT value FROM notes WHERE key = $1", _SCRUB)
            await self._writer.read("PRAGMA wal_checkpoint(TRUNCATE)")  # on a full disk, room for what follows
            await self._writer.read("VACUUM")
            [(busy, *_)] = await self._writer.read("PRAGMA wal_checkpoint(TRUNCATE)")
            if busy:
                raise StoreError(self.path, "is being read by another program; its -wal file may hold deleted rows")
            for (value,) in notes:
                await self._writer.run("DELETE FROM notes WHERE key = $1 AND value = $2", _SCRUB, value)


def _numbered(values: Sequence[Any]) -> Mapping[str, Any]:
    """SQLite takes `$1` for a name (https://sqlite.org/lang_expr.html#varparam)."""
    return {str(number): value for number, value in enumerate(values, 1)}


@asynccontextmanager
async def _connected(path: Path, patience: float) -> AsyncIterator[Connection]:
    connection = await aiosqlite.connect(path, timeout=patience, isolation_level=None)
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
        await connection.rollback()
        raise


WHOSE: Final = (
    "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)"
    " FROM pragma_user_version, pragma_application_id"
)
"""What `schema_of` judges by. One statement, so that another process which is just making the database is seen before
it or after it."""


def schema_of(path: Path, found: int, owner: int, tables: int) -> int:
    """The number of migrations that a file has had, 0 for an empty one; from the row of `WHOSE`.

    Raises `StoreError` for another program's file and for one of a newer version.
    """
    if owner != APPLICATION_ID and (owner or found or tables):
        raise StoreError(path, "is the database of another program; choose another file with [store] path")
    if found > len(MIGRATIONS):
        raise StoreError(
            path,
            f"is from a newer version of LSTMega (schema {found}; this one knows {len(MIGRATIONS)});"
            " update LSTMega, or choose another file with [store] path",
        )
    return found


async def _prepare(path: Path, writer: Connection, patience: float) -> None:
    """Checks, settings and migrations; raises `StoreError`."""
    [found] = await writer.read(WHOSE)
    schema_of(path, *found)
    damage = [str(row[0]) for row in await writer.read("PRAGMA quick_check(1)")]
    if damage != ["ok"]:
        raise StoreError(path, f"{_CORRUPT} ({damage[0].splitlines()[-1][:80]})")
    await _log_ahead(writer, patience)
    await writer.read("PRAGMA synchronous = NORMAL")
    await writer.read("PRAGMA foreign_keys = ON")
    await writer.read("PRAGMA secure_delete = ON")
    # Taking the writer's lock finds out at start whether the file can be written and nobody holds it.
    async with _transaction(writer):
        done = (await writer.read("PRAGMA user_version"))[0][0]  # again: another process may have just migrated
        for statement in steps(done):
            await writer.run(statement)


async def _log_ahead(writer: Connection, patience: float) -> None:
    """Switches to write-ahead logging. SQLite's own waiting does not cover this: two at once fail at once."""
    deadline = time.monotonic() + patience
    while True:
        try:
            await writer.read("PRAGMA journal_mode = WAL")
        except StoreError as error:
            if _code(error.__cause__) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


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
    if isinstance(error, sqlite3.OperationalError) and not _code(error):  # Python's own, which repeats the text
        return f"{_CORRUPT} (a text that is not UTF-8)"
    return _EXPLANATIONS.get(_code(error), f"the database failed: {error}")


def _code(error: BaseException | None) -> int:
    """SQLite's primary result code; 0 for what is no error of SQLite."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF

"""The SQLite file: prepared, checked, read, changed, and rid of the bytes of what was deleted.

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
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiosqlite

from bot.store.errors import StoreError
from bot.store.migrations import APPLICATION_ID, MIGRATIONS, refuse_newer, statements, summary
from generator.files import reason

ERASE: Final = "scrub"
"""Key of the setting that says that bytes are to be erased. Its value is unique to the last deletion."""
SMALL_BYTES: Final = 4 << 20  # a file of this size is vacuumed or checked in about 0.03 s
COPY_SECONDS: Final = 30 * 86_400.0  # for which the copy stays that a migration or a restore makes
SIZE: Final = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
_CORRUPT: Final = "is damaged; move it away (users' temperatures and last texts are lost) or restore a backup"
_EXPLANATIONS: Final[dict[int, str]] = {
    sqlite3.SQLITE_BUSY: "is locked by another program; stop that program, then try again",
    sqlite3.SQLITE_READONLY: "cannot be written; give this user the right to write the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; see that its folder exists and this user may write there",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database; move it away or choose another file with [store] path",
    sqlite3.SQLITE_CORRUPT: _CORRUPT,
    sqlite3.SQLITE_FULL: "the disk is full; make room on it",
    sqlite3.SQLITE_IOERR: "the disk fails to read or write; check the disk's health and free space",
}


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
            cursor = await self.raw.execute(statement.replace("$", "?"), values)
        return max(cursor.rowcount, 0)  # to close it would take another hop between threads; it holds nothing


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
        connect = partial(aiosqlite.connect, path, timeout=busy_timeout, isolation_level=None)
        async with connect() as writing, connect() as reading:
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
        """Erases the bytes of the deleted rows that the setting `ERASE` is about; of a large file, only `at_night`.

        Discards old copies of the database, and all of them after a user's rows were deleted.
        """
        marks = await self.read("SELECT value FROM notes WHERE key = $1", ERASE)
        forgotten = any(value.isdigit() for (value,) in marks)  # by a user, not by a migration
        made_before = time.time() - (0 if forgotten else COPY_SECONDS)
        await asyncio.to_thread(_discard_copies, self.path, made_before)
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


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Raises `StoreError` for an `sqlite3.Error`: what is wrong and what to do, by SQLite's primary result code
    (https://sqlite.org/rescode.html). Also for an `OSError`."""
    try:
        yield
    except OSError as error:
        raise StoreError(path, f"cannot be written ({reason(error)})") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        problem = _EXPLANATIONS.get(code, f"the database failed: {error}")
        if isinstance(error, sqlite3.OperationalError) and not code:  # Python's own, which quotes it
            problem = f"{_CORRUPT} (a text that is not UTF-8)"
        raise StoreError(path, problem) from error


def prepare(path: Path, busy_timeout: float) -> None:
    """Creates the file where it is missing, for its owner alone; checks it and migrates it. Raises `StoreError`."""
    with translated_errors(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.is_dir():
        raise StoreError(path, "is a folder, not a file; give [store] path a file in it")
    with suppress(OSError):  # it exists, or SQLite gives the reason
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with opened(path, "mode=rwc", busy_timeout) as file:
        schema_of(path, file)
        for end in ("", "-wal", "-shm"):  # SQLite gives new ones the mode of the first
            with suppress(OSError):  # it does not exist, or is another user's
                path.with_name(path.name + end).chmod(0o600)
        if file.execute(SIZE).fetchone()[0] <= SMALL_BYTES:  # `check` reads a larger one; a start does not
            refuse_damage(path, file)
        _enable_write_ahead_log(file, busy_timeout)
        file.execute("BEGIN IMMEDIATE")  # even without a migration: it shows whether the file can be written
        schema = schema_of(path, file)  # again: another process may have just migrated
        if 0 < schema < len(MIGRATIONS):
            # Read by another connection: SQLite copies from none that writes.
            with new_file(beside(path, f"schema-{len(MIGRATIONS)}")) as copy, opened(path, "mode=ro") as before:
                copy_into(copy, before)
        for statement in statements(schema):
            file.execute(statement)
        file.execute("COMMIT")


def beside(path: Path, change: str) -> Path:
    """Returns where a copy of the database stays that was made before a change."""
    return path.with_name(f"{path.name}.before-{change}")


def _discard_copies(path: Path, made_before: float) -> None:
    for copy in path.parent.glob(beside(path, "*").name):
        if copy.stat().st_mtime < made_before:
            copy.unlink()


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yields an empty private file; it becomes `target` if the block succeeds. Raises `StoreError`."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with translated_errors(target):
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def copy_into(target: Path, original: sqlite3.Connection) -> None:
    """Copies all of a database into an empty file, whole and intact (https://sqlite.org/backup.html)."""
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        original.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
        refuse_damage(target, copy)


def rehearse(path: Path, folder: Path, busy_timeout: float = 5.0) -> None:
    """Raises the `StoreError` that `prepare` would raise where the file cannot be written, and leaves nothing behind.

    `folder`: the nearest one that exists. A database is made in it for a moment.
    """
    with translated_errors(path), TemporaryDirectory(prefix=".lstmega-check-", dir=folder) as trial:
        try:
            prepare(Path(trial) / "state" / path.name, busy_timeout=0.0)
        except StoreError as error:
            raise StoreError(path, error.problem) from error
    if path.exists():
        with opened(path, "mode=rw", busy_timeout) as file:
            file.execute("BEGIN IMMEDIATE")
            file.execute("ROLLBACK")


def _enable_write_ahead_log(file: sqlite3.Connection, busy_timeout: float) -> None:
    """SQLite's busy timeout does not cover this: of two processes, one fails at once."""
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            file.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def inspect(path: Path) -> str:
    """Describes a database in a few words, and changes nothing. Raises `StoreError` as `prepare`. Reads all of it."""
    # Without a write-ahead log no process has the file open; `immutable` then keeps SQLite from creating one.
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    with opened(path, mode) as file:
        schema = schema_of(path, file)
        refuse_damage(path, file)
        if orphan := file.execute("PRAGMA foreign_key_check").fetchone():
            raise StoreError(path, f"{_CORRUPT} ({orphan[0]}: a row refers to a user who does not exist)")
    return f"intact{summary(schema)}"


@contextmanager
def opened(path: Path, mode: str, busy_timeout: float = 0.5) -> Iterator[sqlite3.Connection]:
    """Opens a file (modes: https://sqlite.org/uri.html), and raises `StoreError` for every `sqlite3.Error`."""
    if mode != "mode=rwc" and not path.exists():
        raise StoreError(path, "there is no such file")
    uri = f"{path.absolute().as_uri()}?{mode}"
    with translated_errors(path), closing(sqlite3.connect(uri, busy_timeout, isolation_level=None, uri=True)) as file:
        yield file


def schema_of(path: Path, file: sqlite3.Connection) -> int:
    """Returns the schema, 0 for an empty file. Raises `StoreError` for another program's file or a newer one."""
    # One statement, so that it sees a database that another process creates either before or after that.
    schema, application, tables = file.execute(
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)"
        " FROM pragma_user_version, pragma_application_id"
    ).fetchone()
    if application != APPLICATION_ID and (application or schema or tables):
        raise StoreError(path, "is the database of another program; choose another file with [store] path")
    refuse_newer(path, schema)
    return int(schema)


def refuse_damage(path: Path, file: sqlite3.Connection) -> None:
    """Raises `StoreError` unless the whole file is intact."""
    damage = file.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if damage != "ok":
        raise StoreError(path, f"{_CORRUPT} ({damage.splitlines()[-1][:80]})")

"""An SQLite file as a whole: made, migrated, checked, described. What fails becomes a `StoreError`."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from bot.store.errors import StoreError
from bot.store.migrations import APPLICATION_ID, refuse_newer, statements, summary
from generator.files import reason

SMALL_BYTES: Final = 4 << 20  # a file of this size is vacuumed or checked in about 0.03 s
SIZE: Final = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
_RETRY_SECONDS: Final = 0.02
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


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Raises `StoreError` for an `sqlite3.Error`: what is wrong and what to do, by SQLite's primary result code
    (https://sqlite.org/rescode.html)."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        problem = _EXPLANATIONS.get(code, f"the database failed: {error}")
        if isinstance(error, sqlite3.OperationalError) and not code:  # Python's own, which quotes it
            problem = f"{_CORRUPT} (a text that is not UTF-8)"
        raise StoreError(path, problem) from error


def prepare(path: Path, busy_timeout: float) -> None:
    """Creates the file where it is missing, for its owner alone; checks it and migrates it. Raises `StoreError`."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(path, f"its folder cannot be made ({reason(error)}); change [store] path") from error
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
        for statement in statements(schema_of(path, file)):  # again: another process may have just migrated
            file.execute(statement)
        file.execute("COMMIT")


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
        time.sleep(_RETRY_SECONDS)


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
    address = f"{path.absolute().as_uri()}?{mode}"
    with (
        translated_errors(path),
        closing(sqlite3.connect(address, busy_timeout, isolation_level=None, uri=True)) as file,
    ):
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

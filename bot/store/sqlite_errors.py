"""A failure of SQLite as a `StoreError`: what is wrong, and what the operator can do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bot.store.errors import StoreError

CORRUPT: Final = "is damaged; move it away (users' temperatures and last texts are lost) or restore a backup"
_EXPLANATIONS: Final[dict[int, str]] = {
    sqlite3.SQLITE_BUSY: "is locked by another program; stop that program, then try again",
    sqlite3.SQLITE_READONLY: "cannot be written; give this user the right to write the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; see that its folder exists and this user may write there",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database; move it away or choose another file with [store] path",
    sqlite3.SQLITE_CORRUPT: CORRUPT,
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
        problem = _EXPLANATIONS.get(result_code(error), f"the database failed: {error}")
        if isinstance(error, sqlite3.OperationalError) and not result_code(error):  # Python's own, which quotes it
            problem = f"{CORRUPT} (a text that is not UTF-8)"
        raise StoreError(path, problem) from error


def result_code(error: BaseException | None) -> int:
    """SQLite's primary result code; 0 for any other error."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF

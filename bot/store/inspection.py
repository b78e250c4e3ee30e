"""A look at a database file: whose it is, its schema, and damage. It changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from bot.store.errors import StoreError
from bot.store.migrations import APPLICATION_ID, refuse_newer, summary
from bot.store.sqlite_errors import translated_errors


def inspect(path: Path) -> str:
    """Describes a database in a few words, and changes nothing. Raises `StoreError` as `Database.open`, and for damage.

    It reads the whole file.
    """
    # Without a write-ahead log no process has the file open; `immutable` then keeps SQLite from creating one.
    with read_only(path, immutable=not path.with_name(f"{path.name}-wal").exists()) as file:
        schema = identify(path, *file.execute(IDENTITY).fetchone())
        if damage := find_damage(file):
            raise StoreError(path, f"is damaged ({damage[:80]}); move it away or restore a backup")
    return f"intact{summary(schema)}"


@contextmanager
def read_only(path: Path, *, immutable: bool = False) -> Iterator[sqlite3.Connection]:
    """Opens the file for reading. Raises `StoreError`, also for every `sqlite3.Error` of the block."""
    address = f"{path.absolute().as_uri()}?{'immutable=1' if immutable else 'mode=ro'}"
    with translated_errors(path), closing(sqlite3.connect(address, uri=True)) as file:
        yield file


def find_damage(file: sqlite3.Connection) -> str:
    """Returns the first thing that is wrong in the file; empty when it is intact."""
    [(found,)] = file.execute("PRAGMA integrity_check(1)")
    if found != "ok":
        return str(found).splitlines()[-1]
    for table, *_ in file.execute("PRAGMA foreign_key_check"):
        return f"{table}: a row refers to a user who does not exist"
    return ""


IDENTITY: Final = (
    "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)"
    " FROM pragma_user_version, pragma_application_id"
)
"""One statement, so that it sees a database that another process creates either before or after that."""


def identify(path: Path, schema: int, application: int, tables: int) -> int:
    """Returns the schema from the row of `IDENTITY`. Raises `StoreError` for another program's file or a newer one."""
    if application != APPLICATION_ID and (application or schema or tables):
        raise StoreError(path, "is the database of another program; choose another file with [store] path")
    refuse_newer(path, schema, "path")
    return schema

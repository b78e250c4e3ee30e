"""A copy of the database, as it is at one moment, in a new SQLite file. The bot may run meanwhile."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from bot.config.schema import Secret, redact_url
from bot.store.errors import StoreError
from bot.store.inspection import find_damage, read_only
from bot.store.migrations import statements, tables
from bot.store.sqlite_errors import translated_errors
from bot.store.store import postgres_database

COPY_TIMEOUT_SECONDS: Final = 30.0
"""For one statement of a copy, longer than in service."""
ROWS: Final = 500
"""Copied at a time: about 5 MB of texts and states."""


def back_up_file(source: Path, target: Path) -> None:
    """Copies a database file into a new file, readable by its owner alone (https://sqlite.org/backup.html).

    The target appears when it is complete. Raises `StoreError`: nothing to copy, damage, target exists, a full disk.
    """
    with _new_file(target) as temporary, read_only(source) as original:
        original.execute("PRAGMA schema_version")  # an error of the source is reported as its own
        with translated_errors(target), closing(sqlite3.connect(temporary)) as copy:
            original.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            if damage := find_damage(copy):
                raise StoreError(source, f"is damaged ({damage[:80]}), and so is every copy of it; keep an older one")


async def back_up_postgres(address: Secret, target: Path) -> None:
    """Copies a PostgreSQL into a new file, as `back_up_file`; raises what `postgres.Database.open` raises, too."""
    database = postgres_database(address)
    with _new_file(target) as temporary:
        async with database.snapshot(address, COPY_TIMEOUT_SECONDS) as (schema, source):
            if not schema:
                raise StoreError(redact_url(address), "nothing of the bot's is there, so there is nothing to copy")
            with translated_errors(target), closing(sqlite3.connect(temporary, isolation_level=None)) as file:
                file.execute("PRAGMA journal_mode = OFF")  # an unfinished copy is deleted anyway
                file.execute("BEGIN")
                for statement in statements(0, schema):
                    file.execute(statement)
                for table, names in tables(schema).items():
                    columns, marks = ", ".join(names), ", ".join("?" * len(names))
                    cursor = f"every_{table}"  # asyncpg prepares a statement once, so each table needs its own
                    await source.run(f"DECLARE {cursor} NO SCROLL CURSOR FOR SELECT {columns} FROM {table}")
                    while rows := await source.read(f"FETCH {ROWS} FROM {cursor}"):
                        file.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", map(tuple, rows))
                file.execute("COMMIT")


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Yields an empty private file; it becomes `target` if the block succeeds. Raises `StoreError`."""
    if target.exists():
        raise StoreError(target, "is there already; choose another name")
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise StoreError(target, f"cannot be written ({(error.strerror or str(error)).lower()})") from error
    finally:
        temporary.unlink(missing_ok=True)

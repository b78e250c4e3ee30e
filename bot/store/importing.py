"""Import of an SQLite file into an empty PostgreSQL: all of it in one transaction, or nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from bot.config.schema import Secret, redact_url
from bot.store.backup import COPY_TIMEOUT_SECONDS, ROWS
from bot.store.errors import StoreError
from bot.store.inspection import IDENTITY, find_damage, identify
from bot.store.migrations import statements, tables
from bot.store.sqlite_errors import translated_errors
from bot.store.store import postgres_database

BUSY_TIMEOUT_SECONDS: Final = 0.5
"""How long another program may take to close the file."""
_SETTINGS: Final = "notes"
"""The table of the service's own settings. It holds nothing about users."""


async def import_file(source: Path, address: Secret) -> dict[str, int]:
    """Copies a file into a PostgreSQL that holds no user's data; returns the number of rows by table.

    The file stays as it is; an older schema is migrated on the way. Raises `StoreError`: no such file, damaged, another
    program's, of a newer version, open in a bot, or the PostgreSQL holds users' data; and what `postgres.Database.open`
    raises. After an error the PostgreSQL holds nothing of the file.
    """
    copied: dict[str, int] = {}
    database = postgres_database(address)
    with _copied(source) as file:
        async with (
            database.open(address, COPY_TIMEOUT_SECONDS) as opened,
            opened.transaction(exclusive=True) as change,
        ):
            for table, columns in tables().items():
                if table == _SETTINGS:
                    await change.run(f"DELETE FROM {table}")  # the file's replace them
                elif await change.read(f"SELECT 1 FROM {table} LIMIT 1"):
                    raise StoreError(
                        redact_url(address),
                        "holds people's data already, and two databases cannot be made one; choose an empty one with"
                        " [store] url, or drop the schema lstmega there (all in it is lost)",
                    )
                copied[table] = 0
                rows = file.execute(f"SELECT {', '.join(columns)} FROM {table}")
                while batch := rows.fetchmany(ROWS):
                    await change.copy(table, columns, batch)
                    copied[table] += len(batch)
            # A new user gets an ID that no user has or had there.
            await change.read(
                "SELECT setval(numbers, greatest(max(id), nextval(numbers)))"
                " FROM people, pg_get_serial_sequence('people', 'id') AS numbers GROUP BY numbers"
            )
    return copied


@contextmanager
def _copied(path: Path) -> Iterator[sqlite3.Connection]:
    """Yields a temporary copy in the present schema, while no other program can open the file. Raises `StoreError`."""
    if not path.is_file():
        raise StoreError(path, "there is no such file; name the file that [store] path named")
    if not os.access(path, os.W_OK):  # SQLite's locks need it, and its error would be "disk I/O error"
        raise StoreError(path, "cannot be locked against a bot that uses it; give this user the right to write it")
    address = f"{path.absolute().as_uri()}?mode=rw"
    with (
        translated_errors(path),
        closing(sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)) as file,
        closing(sqlite3.connect("", isolation_level=None)) as copy,
    ):
        # With this, no other process may have the file open, not even to read it (https://sqlite.org/wal.html).
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            [found] = file.execute(IDENTITY).fetchall()
            file.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            raise StoreError(
                path, "is in use; stop the bot, or take a copy of it that `backup` makes (later changes are lost)"
            ) from error
        file.execute("ROLLBACK")  # the lock stays until the file is closed
        if not (schema := identify(path, *found)):
            raise StoreError(path, "is empty; name the file that [store] path named")
        file.backup(copy)
        for statement in statements(schema):
            copy.execute(statement)
        if damage := find_damage(copy):
            raise StoreError(path, f"is damaged ({damage[:80]}); restore a copy")
        yield copy

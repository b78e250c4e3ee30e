"""Import of an SQLite file into an empty PostgreSQL: all of it in one transaction, or nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from bot.config.schema import Secret, redact_url
from bot.store.backup import COPY_TIMEOUT_SECONDS, ROWS
from bot.store.errors import StoreError
from bot.store.migrations import MIGRATIONS, statements, tables
from bot.store.sqlite import IDENTITY, find_damage, identify, translated_errors
from bot.store.store import postgres_database

BUSY_TIMEOUT_SECONDS: Final = 0.5
"""How long another program may take to close the file."""
_SETTINGS: Final = "notes"
"""The table of the service's own settings. It holds nothing about users."""
_STORAGE: Final = {"INTEGER": "integer", "REAL": "real", "TEXT": "text", "BLOB": "blob"}
"""What `typeof` returns for a value of the declared type (https://sqlite.org/datatype3.html)."""


async def import_file(source: Path, address: Secret) -> dict[str, int]:
    """Copies a file into a PostgreSQL that holds no user's data; returns the number of rows by table.

    The file stays as it is; an older schema is migrated on the way. Raises `StoreError`: no such file, damaged, another
    program's, of a newer version, open in a bot, or the PostgreSQL holds users' data; and what `postgres.Database.open`
    raises. After an error the PostgreSQL holds nothing of the file.
    """
    copied: dict[str, int] = {}
    database = postgres_database(address)
    with _locked(source) as file, translated_errors(source):
        async with (
            database.open(address, COPY_TIMEOUT_SECONDS) as opened,
            opened.transaction(exclusive=True) as change,
        ):
            for table in tables():
                if table.name == _SETTINGS:
                    await change.run(f"DELETE FROM {table.name}")  # the file's replace them
                elif await change.read(f"SELECT 1 FROM {table.name} LIMIT 1"):
                    raise StoreError(
                        redact_url(address),
                        "holds people's data already, and two databases cannot be made one; choose an empty one with"
                        " [store] url, or drop the schema lstmega there (all in it is lost)",
                    )
                copied[table.name] = 0
                rows = file.execute(f"SELECT {', '.join(table.columns)} FROM {table.name}")
                while batch := rows.fetchmany(ROWS):
                    await change.copy(table.name, list(table.columns), batch)
                    copied[table.name] += len(batch)
            # A new user gets an ID that no user has or had there.
            await change.read(
                "SELECT setval(numbers, greatest(max(id), nextval(numbers)))"
                " FROM people, pg_get_serial_sequence('people', 'id') AS numbers GROUP BY numbers"
            )
    return copied


@contextmanager
def _locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Opens a file that no other program has open or opens meanwhile, in the present schema. Raises `StoreError`."""
    if not path.is_file():
        problem = "is a folder, not a file" if path.is_dir() else "there is no such file"
        raise StoreError(path, f"{problem}; name the file that [store] path named")
    if not os.access(path, os.W_OK):  # SQLite's locks need it, and its error would be "disk I/O error"
        raise StoreError(path, "cannot be locked against a bot that uses it; give this user the right to write it")
    address = f"{path.absolute().as_uri()}?mode=rw"
    with ExitStack() as stack:
        with translated_errors(path):
            file = sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)
            stack.callback(file.close)
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
            if not (schema := identify(path, *found)):
                raise StoreError(path, "is empty; name the file that [store] path named")
            if schema < len(MIGRATIONS):
                file.execute("ROLLBACK")
                migrated = stack.enter_context(closing(sqlite3.connect("", isolation_level=None)))  # a temporary file
                file.backup(migrated)
                for statement in statements(schema):
                    migrated.execute(statement)
                file = migrated
            if damage := find_damage(file) or _find_wrong_type(file):
                raise StoreError(path, f"is damaged ({damage[:80]}); restore a copy")
        yield file


def _find_wrong_type(file: sqlite3.Connection) -> str:
    """Returns the first value that SQLite accepts in its column and PostgreSQL would not; empty when there is none."""
    for table in tables():
        for column, kind in table.columns.items():
            wrong = f"SELECT 1 FROM {table.name} WHERE typeof({column}) NOT IN ('{_STORAGE[kind]}', 'null') LIMIT 1"
            if file.execute(wrong).fetchall():
                return f"{table.name}: a value is no {kind}"
    return ""

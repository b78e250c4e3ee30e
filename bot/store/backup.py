"""Copies of the whole database: a backup in a new SQLite file, and the import of a file into a PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from bot.config.schema import Secret, redact_url
from bot.store.errors import StoreError
from bot.store.migrations import statements
from bot.store.sqlite import opened, refuse_damage, schema_of, translated_errors
from bot.store.store import postgres_database

COPY_TIMEOUT_SECONDS: Final = 30.0  # for one statement of a copy, longer than in service
ROWS: Final = 500  # copied at a time: about 5 MB of texts and states


async def back_up(source: Path | Secret, target: Path) -> None:
    """Copies a database as it is at one moment into a new file, readable by its owner alone. The bot may run meanwhile.

    The target appears when it is complete. Raises `StoreError`: nothing to copy, damage, target exists, a full disk;
    and what `postgres.Database.open` raises.
    """
    with _new_file(target) as temporary, closing(sqlite3.connect(temporary, isolation_level=None)) as copy:
        if isinstance(source, Path):
            with opened(source, "mode=ro") as original:
                original.execute("PRAGMA schema_version")  # an error of the source is reported as its own
                with translated_errors(target):
                    original.backup(copy)  # https://sqlite.org/backup.html
                    copy.execute("PRAGMA journal_mode = DELETE")
                refuse_damage(source, copy)
        else:
            await _copy_postgres(source, copy)


async def _copy_postgres(address: Secret, copy: sqlite3.Connection) -> None:
    opening = postgres_database(address).open(address, COPY_TIMEOUT_SECONDS, migrate=False)
    async with opening as database, database.transaction(database.SNAPSHOT) as source:
        schema = await database.schema(source)
        if not schema:
            raise StoreError(redact_url(address), "nothing of the bot's is there, so there is nothing to copy")
        copy.execute("PRAGMA journal_mode = OFF")  # an unfinished copy is deleted anyway
        copy.execute("BEGIN")
        for statement in statements(0, schema):
            copy.execute(statement)
        for table in _tables(copy):
            async for row in source.raw.cursor(f"SELECT * FROM {table}", prefetch=ROWS):
                copy.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", tuple(row))
        copy.execute("COMMIT")


async def import_file(source: Path, address: Secret) -> dict[str, int]:
    """Copies a file into a PostgreSQL that holds no user's data; returns the number of rows by table.

    The file stays as it is; an older schema is migrated on the way. Raises `StoreError`: no such file, damaged, another
    program's, of a newer version, open in a bot, or the PostgreSQL holds users' data; and what `postgres.Database.open`
    raises. After an error the PostgreSQL holds nothing of the file.
    """
    copied: dict[str, int] = {}
    database = postgres_database(address)
    with _migrated_copy(source) as file:
        async with database.open(address, COPY_TIMEOUT_SECONDS) as target, target.transaction() as change:
            if await change.read("SELECT 1 FROM people UNION ALL SELECT 1 FROM moved_chats LIMIT 1"):
                problem = "holds people's data already; choose an empty database, or drop the schema lstmega there"
                raise StoreError(redact_url(address), f"{problem} (all in it is lost)")
            await change.run("DELETE FROM notes")  # of the service itself; the file's replace them
            for table in _tables(file):
                copied[table] = 0
                rows = file.execute(f"SELECT * FROM {table}")
                while batch := rows.fetchmany(ROWS):
                    await change.raw.copy_records_to_table(table, schema_name="lstmega", records=batch)
                    copied[table] += len(batch)
            # A new user gets an ID that no user has or had there.
            await change.read(
                "SELECT setval(numbers, greatest(max(id), nextval(numbers)))"
                " FROM people, pg_get_serial_sequence('people', 'id') AS numbers GROUP BY numbers"
            )
    return copied


@contextmanager
def _migrated_copy(path: Path) -> Iterator[sqlite3.Connection]:
    """Yields a temporary copy in the present schema, while no other program can open the file. Raises `StoreError`."""
    with opened(path, "mode=rw") as file, closing(sqlite3.connect("", isolation_level=None)) as copy:
        # With this, no other process may have the file open, not even to read it (https://sqlite.org/wal.html).
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        schema = schema_of(path, file)
        file.execute("BEGIN EXCLUSIVE")
        file.execute("ROLLBACK")  # the lock stays until the file is closed
        file.backup(copy)
        for statement in statements(schema):
            copy.execute(statement)
        refuse_damage(path, copy)
        yield copy


def _tables(file: sqlite3.Connection) -> list[str]:
    """Returns the tables of a schema; one comes after those that its rows refer to."""
    return [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")]


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Yields an empty private file; it becomes `target` if the block succeeds. Raises `StoreError`."""
    if target.exists():
        raise StoreError(target, "is there already; choose another name")
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

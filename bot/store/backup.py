"""Copies of the whole database: a backup in a new SQLite file, and the import of a file into a PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bot.config.schema import Secret, redact_url
from bot.store.errors import StoreError
from bot.store.migrations import statements
from bot.store.sqlite import beside, copy_into, new_file, opened, refuse_damage, schema_of, translated_errors
from bot.store.store import postgres_database

COPY_TIMEOUT_SECONDS: Final = 30.0  # for one statement of a copy, longer than in service
ROWS: Final = 500  # copied at a time: about 5 MB of texts and states


async def back_up(source: Path | Secret, target: Path) -> None:
    """Copies a database as it is at one moment into a new file, readable by its owner alone. The bot may run meanwhile.

    The target appears when it is complete. Raises `StoreError`: nothing to copy, damage, target exists, a full disk;
    and what `postgres.Database.open` raises.
    """
    if target.exists():  # noqa: ASYNC240 - one look
        raise StoreError(target, "is there already; choose another name")
    with new_file(target) as temporary:
        if isinstance(source, Path):
            with opened(source, "mode=ro") as original:
                refuse_damage(source, original)
                with translated_errors(target):
                    copy_into(temporary, original)
        else:
            with closing(sqlite3.connect(temporary, isolation_level=None)) as copy:
                await _copy_postgres(source, copy)


def dated(folder: Path) -> Path:
    """Returns the file of a backup that is made now in a folder of backups."""
    return folder / f"lstmega-{datetime.now(UTC):%Y-%m-%dT%H%M%S}Z.sqlite3"


def keep_newest(folder: Path, number: int) -> None:
    """Deletes the backups in a folder but for so many."""
    for old in sorted(folder.glob("lstmega-*Z.sqlite3"))[:-number]:
        old.unlink()


def restore(source: Path, target: Path) -> Path | None:
    """Puts a backup in the place of the database; returns where that one is kept, if there was any.

    The backup stays as it is. Raises `StoreError`: it is missing, damaged, another program's or of a newer version; the
    database is open in a bot.
    """
    with opened(source, "mode=ro") as backup:
        if not schema_of(source, backup):
            raise StoreError(source, "holds nothing of the bot's, so there is nothing to restore")
        refuse_damage(source, backup)
        with translated_errors(target):
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with new_file(target) as temporary:
            copy_into(temporary, backup)
            if os.geteuid() == 0:  # root restores for the user of the service
                os.chown(temporary, target.parent.stat().st_uid, target.parent.stat().st_gid)
            return _set_aside(target) if target.exists() else None


def _set_aside(path: Path) -> Path:
    """Renames a database, damaged or not. Raises `StoreError` when a bot has it open."""
    try:
        with opened(path, "mode=rw") as file:
            _lock_alone(file)
            file.execute("PRAGMA journal_mode = DELETE")  # moves the write-ahead log into the file
    except StoreError as error:
        if getattr(error.__cause__, "sqlite_errorcode", None) not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise
    kept = beside(path, "restore")
    for end in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).replace(kept.with_name(kept.name + end))
    return kept


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
        schema = schema_of(path, file)
        _lock_alone(file)
        file.backup(copy)
        for statement in statements(schema):
            copy.execute(statement)
        refuse_damage(path, copy)
        yield copy


def _lock_alone(file: sqlite3.Connection) -> None:
    """Raises an `sqlite3.OperationalError` when another process has the file open, even to read it."""
    file.execute("PRAGMA locking_mode = EXCLUSIVE")  # https://sqlite.org/wal.html
    file.execute("BEGIN EXCLUSIVE")
    file.execute("ROLLBACK")  # the lock stays until the file is closed


def _tables(file: sqlite3.Connection) -> list[str]:
    """Returns the tables of a schema; one comes after those that its rows refer to."""
    return [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")]

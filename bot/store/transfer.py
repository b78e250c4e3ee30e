"""Everything that one database holds, copied into one of the other kind: a file into a PostgreSQL, and back.

Rows go over a few hundred at a time, table by table, so memory does not grow with the number of people. Nothing is
there before all of it is: a PostgreSQL is filled in one transaction, a file gets its name at the end.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from bot.config.schema import Secret, shown
from bot.store.backup import new_file
from bot.store.errors import StoreError
from bot.store.migrations import MIGRATIONS, steps
from bot.store.sqlite import WHOSE, explain, schema_of
from bot.store.store import postgres_of

PATIENCE_SECONDS: Final = 30.0
"""How long PostgreSQL may take for one statement, or wait for the next; longer than in service, where people wait."""
BUSY_SECONDS: Final = 0.5
"""How long whoever has the file open may take to close it."""
_ROWS: Final = 500
"""At a time: 5 MB of texts and states."""
_NOTES: Final = "notes"
"""The table of what a bot noted about itself; it holds nothing about people."""
_TYPES: Final = {"INTEGER": "integer", "REAL": "real", "TEXT": "text", "BLOB": "blob"}
"""What `typeof` says of a value that fits a column (https://sqlite.org/datatype3.html)."""


class _Table(NamedTuple):
    """`columns`: their names and declared types, in order."""

    name: str
    columns: dict[str, str]

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.columns)})"


def _tables(schema: int = len(MIGRATIONS)) -> list[_Table]:
    """Every table after so many migrations, each behind those that its rows refer to."""
    with closing(sqlite3.connect(":memory:")) as empty:
        for statement in steps(0, schema):
            empty.execute(statement)
        names = empty.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid").fetchall()
        columns = "SELECT name, type FROM pragma_table_info(?)"
        return [_Table(name, dict(empty.execute(columns, (name,)))) for (name,) in names]


async def bring(source: Path, address: Secret) -> dict[str, int]:
    """Copies everything of a file into a PostgreSQL that holds nobody's data; returns the rows of each table.

    The file stays as it is; an older schema is brought up to date on the way. Raises `StoreError`: no such file,
    damaged, another program's, from a newer version, a bot has it open, or the PostgreSQL holds people's data; and what
    `bot.store.postgres.Database.open` raises. Whatever ends it early, nothing of it is in the PostgreSQL.
    """
    tables = _tables()
    moved = {table.name: 0 for table in tables}
    with _standing_still(source) as file:
        async with (
            postgres_of(address).open(address, PATIENCE_SECONDS) as database,
            database.transaction(alone=True) as change,
        ):
            for table in tables:
                if table.name != _NOTES and await change.read(f"SELECT 1 FROM {table.name} LIMIT 1"):  # noqa: S608
                    raise StoreError(
                        shown(address),
                        "holds people's data already, and two databases cannot be made one; choose an empty one with"
                        " [store] url, or drop the schema lstmega there (all in it is lost)",
                    )
            await change.run(f"DELETE FROM {_NOTES}")  # noqa: S608 - of the empty database; the file's are truer
            for table in tables:
                for rows in _rows_of(file, source, table):
                    await change.add(table.name, list(table.columns), rows)
                    moved[table.name] += len(rows)
            # Whoever comes new gets a number that nobody has, or had there.
            await change.read(
                "SELECT setval(numbers, greatest(max(id), nextval(numbers)))"
                " FROM people, pg_get_serial_sequence('people', 'id') AS numbers GROUP BY numbers"
            )
    return moved


async def back_up(address: Secret, target: Path) -> None:
    """Copies everything of a PostgreSQL, as it is at one moment, into a new SQLite file, for its owner alone.

    Whoever writes goes on meanwhile. Raises `StoreError`: nothing there, the target is there already, a full disk; and
    what `bot.store.postgres.Database.open` raises.
    """
    with new_file(target) as temporary:
        async with postgres_of(address).snapshot(address, PATIENCE_SECONDS) as (schema, source):
            if not schema:
                raise StoreError(shown(address), "nothing of the bot's is there, so there is nothing to copy")
            with _told(target), closing(sqlite3.connect(temporary, isolation_level=None)) as file:
                file.execute("PRAGMA journal_mode = OFF")  # what is not finished is thrown away whole
                file.execute("BEGIN")
                for statement in steps(0, schema):
                    file.execute(statement)
                for table in _tables(schema):
                    marks = ", ".join("?" * len(table.columns))
                    async for rows in _fetched(source, table):
                        file.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608
                file.execute("COMMIT")


async def _fetched(source: Any, table: _Table) -> AsyncIterator[list[tuple[Any, ...]]]:
    cursor = f"every_{table.name}"  # names of their own, since asyncpg prepares a FETCH once
    await source.run(f"DECLARE {cursor} NO SCROLL CURSOR FOR SELECT {', '.join(table.columns)} FROM {table.name}")  # noqa: S608
    while rows := await source.read(f"FETCH {_ROWS} FROM {cursor}"):
        yield [tuple(row) for row in rows]


def _rows_of(file: sqlite3.Connection, path: Path, table: _Table) -> Iterator[list[tuple[Any, ...]]]:
    with _told(path):
        rows = file.execute(f"SELECT {', '.join(table.columns)} FROM {table.name}")  # noqa: S608
    while True:
        with _told(path):
            some = rows.fetchmany(_ROWS)
        if not some:
            return
        yield some


@contextmanager
def _standing_still(path: Path) -> Iterator[sqlite3.Connection]:
    """A file that nobody else has open, or opens meanwhile, to be read in the present schema. Raises `StoreError`."""
    if not path.is_file():
        trouble = "is a folder, not a file" if path.is_dir() else "there is no such file"
        raise StoreError(path, f"{trouble}; name the file that [store] path named")
    if not os.access(path, os.W_OK):  # SQLite's locks need it, and say "disk I/O error"
        raise StoreError(path, "cannot be locked against a bot that uses it; give this user the right to write it")
    with ExitStack() as stack:
        with _told(path):
            file = stack.enter_context(closing(_connected(path)))
            # With this set, nobody else may have the file open, not even for reading (https://sqlite.org/wal.html).
            file.execute("PRAGMA locking_mode = EXCLUSIVE")
            try:
                [found] = file.execute(WHOSE).fetchall()
                file.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
                raise StoreError(
                    path, "is in use; stop the bot, or take a copy of it that `backup` makes (later changes are lost)"
                ) from error
            if not (schema := schema_of(path, *found)):
                raise StoreError(path, "is empty; name the file that [store] path named")
            if schema < len(MIGRATIONS):
                newer = stack.enter_context(closing(sqlite3.connect("", isolation_level=None)))
                file.execute("ROLLBACK")
                file.backup(newer)  # a file without a name, gone with the process
                for statement in steps(schema):
                    newer.execute(statement)
                file = newer
            if damage := _damage(file):
                raise StoreError(path, f"is damaged ({damage[:80]}); restore a copy")
        yield file


def _connected(path: Path) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def _damage(file: sqlite3.Connection) -> str:
    """What is wrong in the file, the first of it; also what SQLite lets pass, and PostgreSQL would not."""
    [(found,)] = file.execute("PRAGMA integrity_check(1)")
    if found != "ok":
        return str(found).splitlines()[-1]
    for name, *_ in file.execute("PRAGMA foreign_key_check"):
        return f"{name}: a row belongs to nobody"
    for table in _tables():
        for column, kind in table.columns.items():
            other = f"SELECT 1 FROM {table.name} WHERE typeof({column}) NOT IN ('{_TYPES[kind]}', 'null') LIMIT 1"  # noqa: S608
            if file.execute(other).fetchall():
                return f"{table.name}: a value is no {kind}"
    return ""


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Raises `StoreError` for every way in which SQLite tells that the file fails."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(path, explain(error)) from error

"""The database in a PostgreSQL that several processes of one bot share: the same rows as in an SQLite file.

Everything is in a schema of its own, `lstmega`. Its table `schema_version` holds what `PRAGMA user_version` does in a
file: the number of migrations that were made. Changes of different processes go on at the same time; what they do to
one row, PostgreSQL puts in order, and the few changes that others would disturb run alone (`transaction`).

What is deleted is gone for every reader at once. Its bytes stay in PostgreSQL's own files until they are written over,
which VACUUM prepares, and in its write-ahead log and backups for as long as those are kept.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg

from bot.config.schema import Secret, shown
from bot.store.errors import StoreAway, StoreError
from bot.store.migrations import MIGRATIONS
from bot.store.postgres_errors import told
from bot.store.sqlite import PATIENCE_SECONDS, PROBE_SECONDS, SET_NOTE

CONNECTIONS: Final = 4
"""At most, for each process: a statement takes a millisecond or so, and a server has a hundred for everybody."""
CLOSE_SECONDS: Final = 1.0
"""How long saying goodbye to the server may take."""
_PROBE: Final = "probe"
"""The note that `Database.probe` writes, as in a file."""
_LOCK: Final = 0x4C53544D
"""The advisory lock (https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS) of this program in
the database: "LSTM" in ASCII, as in a file's `PRAGMA application_id`."""
_TYPES: Final = {
    r"\bid INTEGER PRIMARY KEY": "id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    r"\bINTEGER\b": "BIGINT",
    r"\bREAL\b": "DOUBLE PRECISION",
    r"\bBLOB\b": "BYTEA",
}
"""What SQLite's types are called here, for the same values."""


class Connection:
    """Statements on one connection. Every method raises `StoreError` when the database fails."""

    def __init__(self, place: str, connection: Any) -> None:
        self._place = place
        self._connection = connection

    async def read(self, statement: str, *values: Any) -> list[Any]:
        """Executes one statement; returns all its rows."""
        with told(self._place):
            return list(await self._connection.fetch(statement, *values))

    async def run(self, statement: str, *values: Any) -> int:
        """Executes one statement; returns the number of rows it changed."""
        with told(self._place):
            *_, count = (await self._connection.execute(statement, *values)).split()  # such as "INSERT 0 1"
            return int(count) if count.isdecimal() else 0

    async def add(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Puts rows into a table as they are, with the numbers that they have."""
        with told(self._place):
            await self._connection.copy_records_to_table(
                table, schema_name="lstmega", columns=list(columns), records=rows
            )

    async def deleted(self) -> None:
        """Notes nothing: PostgreSQL keeps the account of what was deleted."""


class Database:
    """The database, open. Make one with `Database.open`. Every method raises `StoreError` when it fails."""

    def __init__(self, place: str, pool: Any, patience: float) -> None:
        self._place = place
        self._pool = pool
        self._patience = patience

    @classmethod
    @asynccontextmanager
    async def open(cls, address: Secret, patience: float = PATIENCE_SECONDS) -> AsyncIterator[Database]:
        """Connects, and makes the present schema where it is missing.

        `patience`: seconds to wait for a connection, for another process that holds something, and, with a second
        more, for the answer to a statement. Raises `StoreAway` when there is no answer, `StoreError`: a wrong password,
        no such database, from a newer version of the bot, read-only. What goes away later comes back by itself.
        """
        place = shown(address)
        with told(place):
            pool = await asyncpg.create_pool(
                address.reveal(), min_size=1, max_size=CONNECTIONS, reset=_as_it_is, **_settings(patience)
            )
        try:
            database = cls(place, pool, patience)
            await database._migrate()
            await database.probe()  # finds out at start whether it can be written
            yield database
        finally:
            with suppress(TimeoutError):  # then the connections are cut
                async with asyncio.timeout(CLOSE_SECONDS):
                    await pool.close()

    @staticmethod
    @asynccontextmanager
    async def snapshot(address: Secret, patience: float = PATIENCE_SECONDS) -> AsyncIterator[tuple[int, Connection]]:
        """Connects to see everything as it is at one moment, and change nothing; with the number of migrations that
        were made, 0 for a new database. `patience` and errors are those of `open`."""
        place = shown(address)
        with told(place):
            raw = await asyncpg.connect(address.reveal(), **_settings(patience))
        try:
            connection = Connection(place, raw)
            await connection.run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield await _version(place, connection), connection
        finally:
            raw.terminate()

    @classmethod
    async def look(cls, address: Secret) -> str:
        """How the database is, in a few words, without changing it. Errors are those of `open`."""
        async with cls.snapshot(address) as (schema, connection):
            server = (await connection.read("SHOW server_version"))[0][0].split()[0]
        if not schema:
            return f"PostgreSQL {server} answers; nothing of the bot's is there yet, the first start makes it"
        return f"PostgreSQL {server} answers; its schema lstmega is there"

    async def read(self, statement: str, *values: Any) -> list[Any]:
        """Executes one statement that changes nothing; returns all its rows."""
        async with self._connected() as connection:
            return await connection.read(statement, *values)

    @asynccontextmanager
    async def transaction(self, *, alone: bool = False) -> AsyncIterator[Connection]:
        """All or nothing: an error, or the cancellation of the task, takes everything back.

        `alone`: no other transaction of this program, in whatever process, runs meanwhile. The others may do so beside
        each other, as long as each changes its rows by a key.
        """
        async with self._connected() as connection:
            lock = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
            await connection.run(f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT {lock}({_LOCK})")
            yield connection
            await connection.run("COMMIT")

    async def change(self, statement: str, *values: Any) -> int:
        """Executes one statement that changes something, all or nothing; returns the number of rows it changed."""
        async with self.transaction() as connection:
            return await connection.run(statement, *values)

    async def probe(self) -> None:
        """Writes something, to find out whether that works; waits `PROBE_SECONDS` at most."""
        try:
            async with asyncio.timeout(PROBE_SECONDS), self._connected() as connection:
                await connection.run(SET_NOTE, _PROBE, str(time.time_ns()))
        except TimeoutError:
            raise StoreAway(self._place, f"gives no answer within {PROBE_SECONDS:g} s") from None

    @staticmethod
    async def damage() -> list[str]:
        """Nothing: PostgreSQL guards the rows' references itself, and its files are its operator's."""
        return []

    async def scrub(self) -> None:
        """Returns at once: the files are PostgreSQL's."""

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        """One of the pool's connections, for the block alone.

        An error in it, or the cancellation of the task, closes the connection, which takes a transaction back: what the
        server makes of a statement that was cut short, nobody waits for.
        """
        with told(self._place):
            raw = await self._pool.acquire(timeout=self._patience)
        try:
            yield Connection(self._place, raw)
        except BaseException:
            with suppress(asyncpg.InterfaceError):  # it is closed already
                raw.terminate()
            raise
        finally:
            await self._pool.release(raw)

    async def _migrate(self) -> None:
        """Takes the steps that are missing; another process that starts at the same time waits meanwhile."""
        async with self._connected() as connection:
            if await _version(self._place, connection) == len(MIGRATIONS):
                return  # a user who may not make anything can use what is there
        async with self.transaction(alone=True) as connection:
            done = await _version(self._place, connection)  # again: another process may have just migrated
            if not done:
                if not await connection.read("SELECT 1 FROM pg_namespace WHERE nspname = 'lstmega'"):
                    await connection.run("CREATE SCHEMA lstmega")
                await connection.run("CREATE TABLE schema_version (number BIGINT NOT NULL)")
                await connection.run("INSERT INTO schema_version VALUES (0)")
            for statements in MIGRATIONS[done:]:
                for statement in statements:
                    if not statement.startswith("PRAGMA"):  # a setting of SQLite's files
                        await connection.run(_translated(statement))
            await connection.run("UPDATE schema_version SET number = $1", len(MIGRATIONS))


def _settings(patience: float) -> dict[str, Any]:
    """Of each connection. The server gives up first, and says why."""
    return {
        "timeout": patience,
        "command_timeout": patience + 1,
        "server_settings": {
            "application_name": "lstmega",
            "search_path": "lstmega",
            "lock_timeout": f"{patience * 1000:.0f}",
            # A process that stands still in a transaction does not keep the others waiting.
            "idle_in_transaction_session_timeout": f"{patience * 1000:.0f}",
        },
    }


async def _as_it_is(_: Any) -> None:
    """Nothing has to be reset in a connection that comes back: no statement here leaves anything in it."""


async def _version(place: str, connection: Connection) -> int:
    """The number of migrations that were made; 0 for a new database. Raises `StoreError` for too many."""
    # `to_regclass` would be shorter, but may go on saying what held before a wait for the lock.
    there = "SELECT 1 FROM pg_tables WHERE schemaname = 'lstmega' AND tablename = 'schema_version'"
    if not await connection.read(there):
        return 0
    found = int((await connection.read("SELECT number FROM schema_version"))[0][0])
    if found > len(MIGRATIONS):
        raise StoreError(
            place,
            f"is from a newer version of LSTMega (schema {found}; this one knows {len(MIGRATIONS)});"
            " update LSTMega, or choose another database with [store] url",
        )
    return found


def _translated(statement: str) -> str:
    """A migration, which is written for SQLite, in PostgreSQL's words."""
    for sqlite, postgresql in _TYPES.items():
        statement = re.sub(sqlite, postgresql, statement)
    return statement

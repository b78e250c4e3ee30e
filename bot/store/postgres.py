"""The database in a PostgreSQL that several processes of one bot share: the same rows as in an SQLite file.

Everything is in the schema `lstmega`. Its table `schema_version` holds the number of migrations, as `PRAGMA
user_version` does in a file. Transactions of several processes run concurrently, except for the `exclusive` ones.

Deleted rows are gone for every reader at once. Their bytes stay in PostgreSQL's files until VACUUM and later writes
replace them, and in its write-ahead log and backups for as long as those are kept.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg

from bot.config.schema import Secret, redact_url
from bot.store.errors import StoreUnavailable
from bot.store.migrations import APPLICATION_ID, MIGRATIONS, refuse_newer, summary
from bot.store.postgres_errors import translated_errors
from bot.store.sqlite import BUSY_TIMEOUT_SECONDS, SET_SETTING, WRITE_CHECK, WRITE_CHECK_SECONDS

MAX_CONNECTIONS: Final = 4
"""Of one process: a statement takes about a millisecond, and a server allows a hundred connections in all."""
CLOSE_TIMEOUT_SECONDS: Final = 1.0
_TYPES: Final = {
    r"\bid INTEGER PRIMARY KEY": "id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    r"\bINTEGER\b": "BIGINT",
    r"\bREAL\b": "DOUBLE PRECISION",
    r"\bBLOB\b": "BYTEA",
}
"""PostgreSQL's names of SQLite's types."""


class Connection:
    """Statements on one connection. Every method raises `StoreError` when the database fails."""

    def __init__(self, place: str, connection: Any) -> None:
        self._place = place
        self._connection = connection

    async def read(self, statement: str, *values: Any) -> list[Any]:
        """Executes one statement; returns all its rows."""
        with translated_errors(self._place):
            return list(await self._connection.fetch(statement, *values))

    async def run(self, statement: str, *values: Any) -> int:
        """Executes one statement; returns the number of rows it changed."""
        with translated_errors(self._place):
            *_, count = (await self._connection.execute(statement, *values)).split()  # such as "INSERT 0 1"
            return int(count) if count.isdecimal() else 0

    async def copy(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Inserts rows as they are, IDs included."""
        with translated_errors(self._place):
            await self._connection.copy_records_to_table(
                table, schema_name="lstmega", columns=list(columns), records=rows
            )

    async def mark_deleted(self) -> None:
        """Does nothing: the files are PostgreSQL's."""


class Database:
    """The open database. Make one with `Database.open`. Every method raises `StoreError` when it fails."""

    def __init__(self, place: str, pool: Any, busy_timeout: float) -> None:
        self._place = place
        self._pool = pool
        self._busy_timeout = busy_timeout

    @classmethod
    @asynccontextmanager
    async def open(cls, address: Secret, busy_timeout: float = BUSY_TIMEOUT_SECONDS) -> AsyncIterator[Database]:
        """Connects, and creates or migrates the schema where necessary.

        `busy_timeout`: seconds to wait for a connection, for a lock of another process, and, with one second more, for
        the result of a statement. Raises `StoreUnavailable` when the server does not answer, `StoreError`: a wrong
        password, no such database, from a newer version, read-only. A connection that is lost later is made again.
        """
        place = redact_url(address)
        with translated_errors(place):
            pool = await asyncpg.create_pool(
                address.reveal(), min_size=1, max_size=MAX_CONNECTIONS, reset=_no_reset, **_settings(busy_timeout)
            )
        try:
            database = cls(place, pool, busy_timeout)
            await database._migrate()
            await database.check_writable()
            yield database
        finally:
            with suppress(TimeoutError):  # then the connections are cut
                async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                    await pool.close()

    @staticmethod
    @asynccontextmanager
    async def snapshot(
        address: Secret, busy_timeout: float = BUSY_TIMEOUT_SECONDS
    ) -> AsyncIterator[tuple[int, Connection]]:
        """Connects to read the database as it is at one moment; yields its schema, 0 for an empty one, too.

        `busy_timeout` and errors are those of `open`.
        """
        place = redact_url(address)
        with translated_errors(place):
            raw = await asyncpg.connect(address.reveal(), **_settings(busy_timeout))
        try:
            connection = Connection(place, raw)
            await connection.run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield await _schema(place, connection), connection
        finally:
            raw.terminate()

    @classmethod
    async def inspect(cls, address: Secret) -> str:
        """Describes the database in a few words, and changes nothing. Errors are those of `open`."""
        async with cls.snapshot(address) as (schema, connection):
            server = (await connection.read("SHOW server_version"))[0][0].split()[0]
        if not schema:
            return f"PostgreSQL {server} answers; nothing of the bot's is there yet, the first start makes it"
        return f"PostgreSQL {server} answers; its schema lstmega is there{summary(schema)}"

    async def read(self, statement: str, *values: Any) -> list[Any]:
        """Executes one statement that changes nothing; returns all its rows."""
        async with self._connected() as connection:
            return await connection.read(statement, *values)

    @asynccontextmanager
    async def transaction(self, *, exclusive: bool = False) -> AsyncIterator[Connection]:
        """All or nothing: an error, or the cancellation of the task, rolls it back.

        `exclusive`: no other transaction of this program, in any process, runs meanwhile. The others run concurrently,
        which is right as long as each changes its rows by a key.
        """
        async with self._connected() as connection:
            lock = "pg_advisory_xact_lock" if exclusive else "pg_advisory_xact_lock_shared"
            await connection.run(f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT {lock}({APPLICATION_ID})")
            yield connection
            await connection.run("COMMIT")

    async def change(self, statement: str, *values: Any) -> int:
        """Executes one statement that changes something, all or nothing; returns the number of rows it changed."""
        async with self.transaction() as connection:
            return await connection.run(statement, *values)

    async def check_writable(self) -> None:
        """Writes a setting; waits at most `WRITE_CHECK_SECONDS`."""
        try:
            async with asyncio.timeout(WRITE_CHECK_SECONDS), self._connected() as connection:
                await connection.run(SET_SETTING, WRITE_CHECK, str(time.time_ns()))
        except TimeoutError:
            raise StoreUnavailable(self._place, f"gives no answer within {WRITE_CHECK_SECONDS:g} s") from None

    async def erase_deleted(self, *, at_night: bool = False) -> None:
        """Does nothing: the files are PostgreSQL's."""

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        """One of the pool's connections, for the block alone.

        An error in the block, or the cancellation of the task, closes the connection. That rolls its transaction back,
        without waiting for the result of an aborted statement.
        """
        with translated_errors(self._place):
            raw = await self._pool.acquire(timeout=self._busy_timeout)
        try:
            yield Connection(self._place, raw)
        except BaseException:
            with suppress(asyncpg.InterfaceError):  # it is closed already
                raw.terminate()
            raise
        finally:
            await self._pool.release(raw)

    async def _migrate(self) -> None:
        async with self._connected() as connection:
            if await _schema(self._place, connection) == len(MIGRATIONS):
                return  # a user who may not create anything can use what is there
        async with self.transaction(exclusive=True) as connection:
            applied = await _schema(self._place, connection)  # again: another process may have just migrated
            if not applied:
                if not await connection.read("SELECT 1 FROM pg_namespace WHERE nspname = 'lstmega'"):
                    await connection.run("CREATE SCHEMA lstmega")
                await connection.run("CREATE TABLE schema_version (number BIGINT NOT NULL)")
                await connection.run("INSERT INTO schema_version VALUES (0)")
            for migration in MIGRATIONS[applied:]:
                for statement in migration:
                    if not statement.startswith("PRAGMA"):  # a setting of SQLite's files
                        await connection.run(_translated(statement))
            await connection.run("UPDATE schema_version SET number = $1", len(MIGRATIONS))


def _settings(busy_timeout: float) -> dict[str, Any]:
    """Of each connection. The server's timeouts come first, because it gives the reason."""
    return {
        "timeout": busy_timeout,
        "command_timeout": busy_timeout + 1,
        "server_settings": {
            "application_name": "lstmega",
            "search_path": "lstmega",
            "lock_timeout": f"{busy_timeout * 1000:.0f}",
            # A process that stops in a transaction does not block the others.
            "idle_in_transaction_session_timeout": f"{busy_timeout * 1000:.0f}",
        },
    }


async def _no_reset(_: Any) -> None:
    """No statement here leaves any state in a connection."""


async def _schema(place: str, connection: Connection) -> int:
    """Returns the number of migrations, 0 for a new database. Raises `StoreError` for one of a newer version."""
    # `to_regclass` would be shorter, but may answer from before a wait for the lock.
    if not await connection.read(
        "SELECT 1 FROM pg_tables WHERE schemaname = 'lstmega' AND tablename = 'schema_version'"
    ):
        return 0
    schema = int((await connection.read("SELECT number FROM schema_version"))[0][0])
    refuse_newer(place, schema, "url")
    return schema


def _translated(statement: str) -> str:
    """A migration, which is written for SQLite, in PostgreSQL's types."""
    for sqlite, postgresql in _TYPES.items():
        statement = re.sub(sqlite, postgresql, statement)
    return statement

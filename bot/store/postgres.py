"""The database in a PostgreSQL that several processes of one bot share: the same rows as in an SQLite file.

Everything is in the schema `lstmega`. Its table `schema_version` holds the number of migrations, as `PRAGMA
user_version` does in a file. Transactions of several processes run concurrently, except for `Database.transaction`.

Deleted rows are gone for every reader at once. Their bytes stay in PostgreSQL's files until VACUUM and later writes
replace them, and in its write-ahead log and backups for as long as those are kept.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import asyncpg

from bot.config.schema import Secret, redact_url
from bot.store.errors import StoreError, StoreUnavailable
from bot.store.migrations import APPLICATION_ID, MIGRATIONS, refuse_newer, statements, summary

MAX_CONNECTIONS: Final = 4  # of one process: a statement takes about a millisecond; a server allows a hundred in all
_TYPES: Final = {
    " id INTEGER PRIMARY KEY": " id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    " INTEGER": " BIGINT",
    " REAL": " DOUBLE PRECISION",
    " BLOB": " BYTEA",
}
"""PostgreSQL's names of the types in the migrations, which are SQLite's."""
_ALONE: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({APPLICATION_ID})"
_SHARED: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock_shared({APPLICATION_ID})"
_NO_ANSWER: Final = "does not answer; see that PostgreSQL runs there and that this machine may reach it"
_BUSY: Final = "is held by another program or overloaded; try again"
_WRONG_VALUE: Final = "does not accept a value as it is"
_PERMANENT: Final[dict[type[Exception], str]] = {
    asyncpg.InvalidAuthorizationSpecificationError: "refuses the user or the password of [store] url",
    asyncpg.InvalidCatalogNameError: "there is no such database; make it there (createdb), owned by the user",
    asyncpg.InsufficientPrivilegeError: "the user may not do that; make them the owner of the database",
    asyncpg.ReadOnlySQLTransactionError: "can only be read; name the server that can be written in [store] url",
    asyncpg.ClientConfigurationError: "[store] url cannot be understood; see the options behind its ?",
    asyncpg.DiskFullError: "the disk is full; make room on it",
    asyncpg.DataError: _WRONG_VALUE,
    TypeError: _WRONG_VALUE,
    ssl.SSLCertVerificationError: "its certificate is for another server, or not signed by sslrootcert of [store] url",
}
_TEMPORARY: Final[dict[type[Exception], str]] = {
    asyncpg.TooManyConnectionsError: "has no connection left; raise max_connections there, or stop other programs",
    asyncpg.LockNotAvailableError: _BUSY,
    asyncpg.QueryCanceledError: _BUSY,
    asyncpg.OperatorInterventionError: "starts or stops just now; try again",
    asyncpg.PostgresConnectionError: _NO_ANSWER,
    asyncpg.InterfaceError: _NO_ANSWER,
    ssl.SSLError: "no encrypted connection comes about; see sslmode and the files of certificates in [store] url",
    FileNotFoundError: "the server's socket is not there, or the file that sslrootcert in [store] url names",
    ConnectionError: "cuts the connection, or does not encrypt although sslmode in [store] url demands it",
    ConnectionRefusedError: _NO_ANSWER,
    TimeoutError: "gives no answer in time; see that PostgreSQL runs there and that this machine may reach it",
    OSError: _NO_ANSWER,
}
_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


@contextmanager
def translated_errors(place: str) -> Iterator[None]:
    """Raises `StoreError` for every error of the library or the network, without PostgreSQL's own message, and without
    its error in the chain: both may hold the values of a row."""
    try:
        yield
    except (*_ERRORS, TypeError, ValueError) as error:  # the last two: of a value that is sent
        explanations = _PERMANENT | _TEMPORARY
        kind = next((kind for kind in type(error).__mro__ if kind in explanations), Exception)
        problem = explanations.get(kind, "the database failed")
        # https://www.postgresql.org/docs/current/errcodes-appendix.html
        code = getattr(error, "sqlstate", None) or type(error).__name__
        raise (StoreUnavailable if kind in _TEMPORARY else StoreError)(place, f"{problem} ({code})") from None


class Connection:
    """Statements on one connection. `read` executes one and returns all its rows."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.read = raw.fetch

    async def run(self, statement: str, *values: Any) -> int:
        """Executes one statement; returns the number of rows it changed."""
        return int((await self.raw.execute(statement, *values)).split()[-1])  # such as "INSERT 0 1"


class Database:
    """The open database. Make one with `Database.open`. Every method raises `StoreError` when it fails."""

    SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"

    def __init__(self, place: str, pool: Any, busy_timeout: float) -> None:
        self._place = place
        self._pool = pool
        self._busy_timeout = busy_timeout

    @classmethod
    @asynccontextmanager
    async def open(cls, address: Secret, busy_timeout: float, *, migrate: bool = True) -> AsyncIterator[Database]:
        """Connects, and creates or migrates the schema where necessary. Without `migrate` it changes nothing.

        `busy_timeout`: seconds to wait for a connection, for a lock of another process, and, with one second more, for
        the result of a statement. Raises `StoreUnavailable` when the server does not answer, `StoreError`: a wrong
        password, no such database, from a newer version, read-only. A connection that is lost later is made again.
        """
        place, milliseconds = redact_url(address), f"{busy_timeout * 1000:.0f}"
        with translated_errors(place):
            pool = await asyncpg.create_pool(
                address.reveal(),
                min_size=1,
                max_size=MAX_CONNECTIONS,
                reset=_no_reset,
                timeout=busy_timeout,
                command_timeout=busy_timeout + 1,  # the server's timeouts come first, because it gives the reason
                server_settings={
                    "application_name": "lstmega",
                    "search_path": "lstmega",
                    "lock_timeout": milliseconds,
                    # A process that stops in a transaction does not block the others.
                    "idle_in_transaction_session_timeout": milliseconds,
                },
            )
        try:
            database = cls(place, pool, busy_timeout)
            if migrate:
                async with database.transaction() as change:
                    await database.migrate(change)
            yield database
        finally:
            pool.terminate()  # no statement runs any more, and this waits for no server that is silent

    @classmethod
    async def inspect(cls, address: Secret, busy_timeout: float) -> str:
        """Describes the database in a few words, and changes nothing. Errors are those of `open`."""
        opening = cls.open(address, busy_timeout, migrate=False)
        async with opening as database, database.transaction(cls.SNAPSHOT) as connection:
            [(version,)] = await connection.read("SHOW server_version")
            schema = await database.schema(connection)
            if schema in (0, len(MIGRATIONS)):  # another migration may take long
                async with database.transaction() as change:
                    await database.migrate(change)
                    await change.raw.execute("ROLLBACK; BEGIN")  # it was only tried
            return f"PostgreSQL {version.split()[0]} answers{summary(schema)}"

    async def schema(self, connection: Connection) -> int:
        """Returns the number of migrations, 0 for a new database. Raises `StoreError` for one of a newer version."""
        # `to_regclass` would be shorter, but may answer from before a wait for the lock.
        exists = "SELECT FROM pg_tables WHERE schemaname = 'lstmega' AND tablename = 'schema_version'"
        if not await connection.read(exists):
            return 0
        [(schema,)] = await connection.read("SELECT number FROM schema_version")
        refuse_newer(self._place, schema)
        return int(schema)

    async def migrate(self, change: Connection) -> None:
        """Creates or migrates the schema. It always writes, which shows whether the database can be written."""
        applied = await self.schema(change)
        if not applied:
            if not await change.read("SELECT FROM pg_namespace WHERE nspname = 'lstmega'"):
                await change.raw.execute("CREATE SCHEMA lstmega")
            await change.raw.execute("CREATE TABLE schema_version AS SELECT 0::BIGINT AS number")
        for statement in statements(applied):
            if not statement.startswith("PRAGMA"):  # a setting of SQLite's files
                translated = statement
                for theirs, ours in _TYPES.items():
                    translated = translated.replace(theirs, ours)
                await change.raw.execute(translated)
        await change.run("UPDATE schema_version SET number = $1", len(MIGRATIONS))

    async def read(self, statement: str, *values: Any) -> list[Any]:
        """Executes one statement that changes nothing; returns all its rows."""
        async with self.transaction("") as connection:
            return list(await connection.read(statement, *values))

    async def change(self, statement: str, *values: Any) -> int:
        """Executes one statement that changes something, all or nothing; returns the number of rows it changed.

        Several run concurrently, which is right as long as each changes its rows by a key.
        """
        async with self.transaction(_SHARED) as connection:
            return await connection.run(statement, *values)

    async def erase_deleted(self, *, at_night: bool) -> None:
        """Does nothing: the files are PostgreSQL's."""

    @asynccontextmanager
    async def transaction(self, begin: str = _ALONE) -> AsyncIterator[Connection]:
        """All or nothing: an error, or the cancellation of the task, closes the connection, which rolls it back.

        By default no other transaction of this program, in any process, runs meanwhile. With `SNAPSHOT` it reads the
        database as it is at one moment; with an empty text, each statement is a transaction of its own.
        """
        with translated_errors(self._place):
            raw = await self._pool.acquire(timeout=self._busy_timeout)
            try:
                if begin:
                    await raw.execute(begin)
                yield Connection(raw)
                if begin:
                    await raw.execute("COMMIT")
            except BaseException:
                with suppress(asyncpg.InterfaceError):  # it is closed already
                    raw.terminate()  # does not wait for the result of an aborted statement
                raise
            finally:
                await self._pool.release(raw)


async def _no_reset(_: Any) -> None:
    """No statement here leaves any state in a connection."""

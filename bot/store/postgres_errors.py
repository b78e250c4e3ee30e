"""What a PostgreSQL that fails means for whoever runs the bot: which `StoreError`, and what to do."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from bot.store.errors import StoreAway, StoreError


@contextmanager
def told(place: str) -> Iterator[None]:
    """Raises `StoreError` for every way in which the library tells that the database fails.

    What PostgreSQL says is not repeated, nor are its errors behind the new one: they may hold a row's values.
    """
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ValueError) as error:
        passing = isinstance(error, _PASSING) and not isinstance(error, ssl.SSLCertVerificationError)
        kind = StoreAway if passing else StoreError
        raise kind(place, _explain(error)) from None


_PASSING: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)
_AWAY: Final = "does not answer; see that PostgreSQL runs there and that this machine may reach it"
_BUSY: Final = "is held by another program or overloaded; try again"
_REFUSED: Final = "refuses the user or the password of [store] url"
_EXPLANATIONS: Final[dict[type[Exception], str]] = {
    asyncpg.InvalidAuthorizationSpecificationError: _REFUSED,
    asyncpg.InvalidPasswordError: _REFUSED,
    asyncpg.InvalidCatalogNameError: "there is no such database; make it there (createdb), owned by the user",
    asyncpg.InsufficientPrivilegeError: "the user may not do that; make them the owner of the database",
    asyncpg.DuplicateTableError: "its schema lstmega is another program's; choose another database with [store] url",
    asyncpg.UndefinedTableError: "its schema lstmega is not whole; restore a copy, or drop the schema (all is lost)",
    asyncpg.ReadOnlySQLTransactionError: "can only be read; name the server that can be written in [store] url",
    asyncpg.TooManyConnectionsError: "has no connection left; raise max_connections there, or stop other programs",
    asyncpg.LockNotAvailableError: _BUSY,
    asyncpg.QueryCanceledError: _BUSY,
    asyncpg.DeadlockDetectedError: _BUSY,
    asyncpg.DataError: "it does not take a value as it is",
    asyncpg.DiskFullError: "the disk is full; make room on it",
    asyncpg.CannotConnectNowError: "starts or stops just now; try again",
    asyncpg.OperatorInterventionError: "starts or stops just now; try again",
    asyncpg.PostgresConnectionError: _AWAY,
    asyncpg.PostgresError: "the database failed",
    asyncpg.ClientConfigurationError: "[store] url cannot be understood; see the options behind its ?",
    asyncpg.InterfaceError: _AWAY,
    asyncpg.InternalClientError: "the database failed",
    ssl.SSLCertVerificationError: (
        "its certificate does not show that it is the server meant; [store] url must name it as its certificate does,"
        " and sslrootcert the authority that signed that"
    ),
    ssl.SSLError: "no encrypted connection comes about; see sslmode and the files of certificates in [store] url",
    FileNotFoundError: "the server's socket is not there, or the file that sslrootcert in [store] url names",
    ConnectionError: "cuts the connection, or does not encrypt although sslmode in [store] url demands it",
    ConnectionRefusedError: _AWAY,
    ConnectionResetError: _AWAY,
    TimeoutError: "gives no answer in time; see that PostgreSQL runs there and that this machine may reach it",
    OSError: _AWAY,
    ValueError: "the database failed",
}


def _explain(error: Exception) -> str:
    """What is wrong and what to do, by the kind of the error
    (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
    told = next(_EXPLANATIONS[kind] for kind in type(error).__mro__ if kind in _EXPLANATIONS)
    code = getattr(error, "sqlstate", None) or type(error).__name__
    return f"{told} ({code})"

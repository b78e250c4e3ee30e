"""A failure of PostgreSQL as a `StoreError`: what is wrong, and what the operator can do."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from bot.store.errors import StoreError, StoreUnavailable


@contextmanager
def translated_errors(place: str) -> Iterator[None]:
    """Raises `StoreError` for every error of the library or the network.

    PostgreSQL's own message is not repeated, nor is its error chained: both may hold the values of a row.
    """
    try:
        yield
    except (*_LIBRARY, OSError, TypeError, ValueError) as error:  # the last two: of a value that is sent
        temporary = isinstance(error, _TEMPORARY) and not isinstance(error, ssl.SSLCertVerificationError)
        known = (_EXPLANATIONS[kind] for kind in type(error).__mro__ if kind in _EXPLANATIONS)
        problem = next(known, "the database failed")
        # https://www.postgresql.org/docs/current/errcodes-appendix.html
        code = getattr(error, "sqlstate", None) or type(error).__name__
        raise (StoreUnavailable if temporary else StoreError)(place, f"{problem} ({code})") from None


_LIBRARY: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_TEMPORARY: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)
_NO_ANSWER: Final = "does not answer; see that PostgreSQL runs there and that this machine may reach it"
_BUSY: Final = "is held by another program or overloaded; try again"
_WRONG_VALUE: Final = "does not accept a value as it is"
_EXPLANATIONS: Final[dict[type[Exception], str]] = {
    asyncpg.InvalidAuthorizationSpecificationError: "refuses the user or the password of [store] url",
    asyncpg.InvalidCatalogNameError: "there is no such database; make it there (createdb), owned by the user",
    asyncpg.InsufficientPrivilegeError: "the user may not do that; make them the owner of the database",
    asyncpg.UndefinedTableError: "its schema lstmega is incomplete; restore a copy, or drop the schema (all is lost)",
    asyncpg.ReadOnlySQLTransactionError: "can only be read; name the server that can be written in [store] url",
    asyncpg.TooManyConnectionsError: "has no connection left; raise max_connections there, or stop other programs",
    asyncpg.LockNotAvailableError: _BUSY,
    asyncpg.QueryCanceledError: _BUSY,
    asyncpg.DataError: _WRONG_VALUE,
    TypeError: _WRONG_VALUE,
    asyncpg.DiskFullError: "the disk is full; make room on it",
    asyncpg.OperatorInterventionError: "starts or stops just now; try again",
    asyncpg.PostgresConnectionError: _NO_ANSWER,
    asyncpg.ClientConfigurationError: "[store] url cannot be understood; see the options behind its ?",
    asyncpg.InterfaceError: _NO_ANSWER,
    ssl.SSLCertVerificationError: (
        "its certificate does not show that it is the server meant; [store] url must name it as its certificate does,"
        " and sslrootcert the authority that signed that"
    ),
    ssl.SSLError: "no encrypted connection comes about; see sslmode and the files of certificates in [store] url",
    FileNotFoundError: "the server's socket is not there, or the file that sslrootcert in [store] url names",
    ConnectionError: "cuts the connection, or does not encrypt although sslmode in [store] url demands it",
    ConnectionRefusedError: _NO_ANSWER,
    ConnectionResetError: _NO_ANSWER,
    TimeoutError: "gives no answer in time; see that PostgreSQL runs there and that this machine may reach it",
    OSError: _NO_ANSWER,
}

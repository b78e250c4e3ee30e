"""The steps that bring a database from any older schema to the present one, in order.

`PRAGMA user_version` is the number of steps that were taken. A step is a tuple of statements, run in one transaction
together with the new number. A step that was released never changes; a new need is a new step at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

APPLICATION_ID: Final = 0x4C53544D
"""`PRAGMA application_id`: "LSTM" in ASCII, so that the database of another program is not taken for ours."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        # One row for each person on each platform: the root of everything that is known about them.
        """
        CREATE TABLE people (
            id INTEGER PRIMARY KEY,
            platform TEXT NOT NULL,
            person TEXT NOT NULL,
            UNIQUE (platform, person)
        )
        """,
        """
        CREATE TABLE preferences (
            person_id INTEGER PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
            temperature REAL NOT NULL
        )
        """,
        # The last text of a person in a chat: where it stopped and how it began. `updated_at`: seconds since 1970.
        """
        CREATE TABLE conversations (
            person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
            chat TEXT NOT NULL,
            opening TEXT NOT NULL,
            temperature REAL NOT NULL,
            version TEXT NOT NULL,
            state BLOB NOT NULL,
            tail TEXT NOT NULL,
            updated_at INTEGER NOT NULL,
            PRIMARY KEY (person_id, chat)
        )
        """,
    ),
    (
        # Small facts of the service itself, such as which commands a platform was last told of.
        "CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
    (
        # Chats that go under another name now: a Telegram group that became a supergroup.
        """
        CREATE TABLE moved_chats (
            platform TEXT NOT NULL,
            old TEXT NOT NULL,
            new TEXT NOT NULL,
            PRIMARY KEY (platform, old)
        )
        """,
    ),
    (
        # The whole of the last text, and what it takes to compute its probabilities again; NULL in rows from before.
        # `preceding`: the raw text that was read first. `seed`: NULL for a text that goes on from another.
        "ALTER TABLE conversations ADD COLUMN written TEXT",
        "ALTER TABLE conversations ADD COLUMN preceding TEXT",
        "ALTER TABLE conversations ADD COLUMN seed INTEGER",
    ),
)


def steps(done: int, wanted: int = len(MIGRATIONS)) -> Iterator[str]:
    """The statements that bring an SQLite file from one number of steps to another, each with its new number."""
    for number, statements in enumerate(MIGRATIONS[done:wanted], done + 1):
        yield from statements
        yield f"PRAGMA user_version = {number}"

"""The schema: numbered migrations from an empty database to the present one.

`PRAGMA user_version` is the number of migrations that were applied. Each is a tuple of statements and runs in one
transaction with its new number. A released migration never changes; a new one goes at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bot.store.errors import StoreError

APPLICATION_ID: Final = 0x4C53544D
"""`PRAGMA application_id`: "LSTM" in ASCII. It tells this program's database from another program's."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        # One row per user and platform. Everything else about the user refers to it.
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
        # A user's last text in a chat. `opening`: the prompt. `updated_at`: seconds since 1970.
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
        # Key-value settings of the service itself, such as a hash of the commands that Discord has registered.
        "CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
    (
        # Chats whose ID changed: Telegram groups that became supergroups.
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
        # The last text and what scoring it takes; NULL in older rows. `preceding`: the raw text before it. `seed`: NULL
        # for a text that continues another.
        "ALTER TABLE conversations ADD COLUMN written TEXT",
        "ALTER TABLE conversations ADD COLUMN preceding TEXT",
        "ALTER TABLE conversations ADD COLUMN seed INTEGER",
    ),
    (
        # Old texts are found by their age, without reading all of them.
        "CREATE INDEX conversations_by_age ON conversations (updated_at)",
    ),
    (
        # A user's last ten texts in a chat. `number` counts the texts; its last digit is the `slot`, so the eleventh
        # takes the place of the first.
        """
        CREATE TABLE recent (
            person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
            chat TEXT NOT NULL,
            opening TEXT NOT NULL,
            temperature REAL NOT NULL,
            version TEXT NOT NULL,
            state BLOB NOT NULL,
            tail TEXT NOT NULL,
            updated_at INTEGER NOT NULL,
            written TEXT,
            preceding TEXT,
            seed INTEGER,
            number INTEGER NOT NULL,
            slot INTEGER NOT NULL,
            PRIMARY KEY (person_id, chat, slot)
        )
        """,
        "INSERT INTO recent SELECT *, 1, 1 FROM conversations",
        # The copies of the texts in the dropped table are erased as those of a forgotten user are.
        "INSERT INTO notes SELECT 'scrub', 'schema 6' WHERE EXISTS (SELECT 1 FROM conversations)"
        " ON CONFLICT (key) DO NOTHING",
        "DROP TABLE conversations",
        "ALTER TABLE recent RENAME TO conversations",
        "CREATE INDEX conversations_by_age ON conversations (updated_at)",
        # What a user has set, or a group for its members; NULL where they have not. `access`: who may use the bot in
        # the group, 'administrators' or all.
        """
        CREATE TABLE settings (
            person_id INTEGER PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
            temperature REAL,
            length INTEGER,
            language TEXT,
            access TEXT
        )
        """,
        "INSERT INTO settings (person_id, temperature) SELECT person_id, temperature FROM preferences",
        "DROP TABLE preferences",
        "ALTER TABLE settings RENAME TO preferences",
    ),
    (
        # What was written on a day, in days since 1970. `key`: a hash of the day and a user or chat.
        """
        CREATE TABLE usage (
            key TEXT PRIMARY KEY,
            day INTEGER NOT NULL,
            texts INTEGER NOT NULL,
            characters INTEGER NOT NULL
        )
        """,
        # The voice that wrote a text; there was only one before.
        "ALTER TABLE conversations ADD COLUMN voice TEXT NOT NULL DEFAULT 'nietzsche'",
    ),
    (
        # The voice that writes where none is named, of a user or a group.
        "ALTER TABLE preferences ADD COLUMN voice TEXT",
    ),
)


def statements(applied: int, wanted: int = len(MIGRATIONS)) -> Iterator[str]:
    """Yields the statements that migrate an SQLite file from one schema to another."""
    for number, migration in enumerate(MIGRATIONS[applied:wanted], applied + 1):
        yield from migration
        yield f"PRAGMA user_version = {number}"


def refuse_newer(place: Path | str, schema: int) -> None:
    """Raises `StoreError` for a schema of a later release."""
    if schema > len(MIGRATIONS):
        problem = f"is from a newer version of LSTMega (schema {schema}; this one knows {len(MIGRATIONS)})"
        raise StoreError(place, f"{problem}; update LSTMega, or choose another database in [store]")


def summary(schema: int) -> str:
    """Says what the next start does to a database of that schema; empty when nothing."""
    if not schema:
        return "; nothing of the bot's is there yet, the first start makes it"
    if schema == len(MIGRATIONS):
        return ""
    return f"; will be migrated from {schema} to {len(MIGRATIONS)} at the next start"

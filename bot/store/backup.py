"""A copy of the database's file while the service runs."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bot.store.errors import StoreError
from bot.store.sqlite import explain


def back_up(source: Path, target: Path) -> None:
    """Copies the database as it is at one moment into a new file, for its owner alone.

    Whoever writes goes on meanwhile (https://sqlite.org/backup.html). The copy is checked before it gets its name, so a
    file of that name is a whole one. Raises `StoreError`: nothing to copy, the target is there already, a full disk.
    """
    named = source
    with new_file(target) as temporary:
        try:
            with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as original:
                original.execute("PRAGMA schema_version")
                named = target
                with closing(sqlite3.connect(temporary)) as copy:
                    original.backup(copy)
                    copy.execute("PRAGMA journal_mode = DELETE")
                    damage = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            raise StoreError(named, explain(error)) from error
        if damage != "ok":
            raise StoreError(source, f"is damaged ({damage[:80]}), and so is every copy of it; keep an older one")


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """An empty file, for its owner alone, to fill in the block; it gets its name when the block ends without an error.

    Raises `StoreError` when the target is there already or cannot be written.
    """
    if target.exists():
        raise StoreError(target, "is there already; choose another name")
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise StoreError(target, f"cannot be written ({(error.strerror or str(error)).lower()})") from error
    finally:
        temporary.unlink(missing_ok=True)

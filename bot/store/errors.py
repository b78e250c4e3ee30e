"""Errors that more than one module names. They stand apart so that naming one loads no database library."""

from __future__ import annotations

from pathlib import Path


class StoreError(Exception):
    """The database cannot do what was asked; one line: the file or address, what is wrong, what to do."""

    def __init__(self, place: Path | str, trouble: str) -> None:
        super().__init__(f"{place}: {trouble}")


class StoreAway(StoreError):
    """The database's server does not answer just now; later it may, without anybody changing anything here."""

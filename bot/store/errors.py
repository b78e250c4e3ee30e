"""The errors of the store. They stand apart, so that naming one loads no database library."""

from __future__ import annotations

from pathlib import Path


class StoreError(Exception):
    """The database failed. One line: the file or address, what is wrong, what to do."""

    def __init__(self, place: Path | str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.problem = problem


class StoreUnavailable(StoreError):
    """The database server does not answer now. It may answer later without any change here."""

"""Atomic and durable writes of files."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Writes a file and returns when it is on the disk. Raises `OSError`."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, content: bytes) -> None:
    """Replaces a file by one rename; a failure leaves no other file behind.

    Raises `OSError`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary, content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Makes a rename in the folder durable, as far as the file system can (POSIX: fsync of the directory)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason(error: OSError) -> str:
    """Returns the system's message, for the middle of a sentence."""
    return (error.strerror or type(error).__name__).lower()

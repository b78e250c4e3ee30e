"""Atomic and durable writes of files, and whether a folder takes any."""

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


def nearest(path: Path) -> Path:
    """Returns the path itself or the nearest folder above it that exists."""
    return next(place for place in (path, *path.parents) if os.path.exists(place))  # noqa: PTH110 - raises nothing


def takes_files(folder: Path) -> bool:
    """Returns whether it is a folder in which this user may make files."""
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)

"""The generator that the configuration asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bot.config.schema import GeneratorSection
from generator import Generator, ThreadedGenerator
from generator.weights.versions import MANIFEST, shipped_folder

_QUEUE: Final = 160
"""More than `bot.core.admission` admits: 24 texts that are written and some that wait, each perhaps a /ladder."""


def place(configured: Path | None) -> tuple[Path, str | None]:
    """The weights folder and the version in it (`None`: the current one) that a path means.

    `None` is the shipped folder; a path is a weights folder, or the folder of one version in it.
    """
    if configured is None:
        return shipped_folder(), None
    path = configured.expanduser().resolve()
    if (path / MANIFEST).is_file():
        return path.parent, path.name
    return path, None


def watched(section: GeneratorSection) -> Path | None:
    """The folder whose CURRENT says what is to serve; `None`: a version is named, or a pool has weights of its own."""
    folder, version = place(section.weights)
    return None if section.address or version is not None else folder


@asynccontextmanager
async def open_generator(section: GeneratorSection) -> AsyncIterator[Generator]:
    """The generator, open, or the pool that the section names. Raises `WeightsError`, or `Unavailable` for a pool."""
    if section.address:
        from generator.cluster.client import Pool  # noqa: PLC0415 - most bots write by themselves

        async with Pool.open(section.address) as pool:
            yield pool
        return
    folder, version = place(section.weights)
    async with ThreadedGenerator.open(folder, version=version, threads=section.threads, queue=_QUEUE) as generator:
        yield generator

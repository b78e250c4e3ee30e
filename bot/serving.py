"""The generator that the configuration asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bot.settings import GeneratorSection
from generator import Generator
from generator.weights import MANIFEST, shipped_folder

_QUEUE: Final = 160
"""More than `bot.admission` lets in at once: 24 texts that are written and some that wait, each perhaps a /ladder."""


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


@asynccontextmanager
async def open_generator(section: GeneratorSection) -> AsyncIterator[Generator]:
    """The generator, open. Raises `WeightsError`."""
    folder, version = place(section.weights)
    async with Generator.open(folder, version=version, threads=section.threads, queue=_QUEUE) as generator:
        yield generator

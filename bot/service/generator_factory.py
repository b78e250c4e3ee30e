"""The generator that the configuration asks for."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from bot.config.schema import GeneratorSection
from generator import Generator
from generator.process.generator import ProcessGenerator
from generator.weights.versions import locate, shipped_folder

_QUEUE: Final = 160
"""More than `bot.core.admission` admits: 24 texts that are generated and some that wait, each perhaps a /ladder."""


def weights_location(configured: Path | None) -> tuple[Path, str | None]:
    """Returns the weights folder and the version in it (`None`: the current one); `configured` as in `locate`."""
    return locate(configured or shipped_folder())


def open_generator(section: GeneratorSection, *, child: bool = False) -> AbstractAsyncContextManager[Generator]:
    """Opens the pool that the section names, or a generator in a `child` process, or one in this process.

    Entering raises `WeightsError`, or `Unavailable` for a pool.
    """
    if section.address:
        from generator.cluster.client import Pool  # noqa: PLC0415 - most bots need none

        return Pool.open(section.address)
    folder, version = weights_location(section.weights)
    if child:
        return ProcessGenerator.open(folder, version=version, threads=section.threads, queue=_QUEUE)
    from generator import ThreadedGenerator  # noqa: PLC0415 - loads onnxruntime

    return ThreadedGenerator.open(folder, version=version, threads=section.threads, queue=_QUEUE)

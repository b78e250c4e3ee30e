"""The generator that the configuration asks for, for a voice."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Final

from bot.config.schema import GeneratorSection, VoiceSection
from generator import Generator
from generator.process.generator import ProcessGenerator

_QUEUE: Final = 160
"""More than `bot.core.admission` admits: 24 texts that are generated and some that wait, each perhaps a /ladder."""


def open_generator(
    section: GeneratorSection, name: str, voice: VoiceSection, *, child: bool = False
) -> AbstractAsyncContextManager[Generator]:
    """Opens the pool that the section names, or a generator in a `child` process, or one in this process.

    `name`: of the voice. Entering raises `WeightsError`, or `Unavailable`.
    """
    if section.address:
        from generator.cluster.client import Pool  # noqa: PLC0415 - most bots need none

        return Pool.open(section.address, name)
    folder, version = voice.location
    if child:
        return ProcessGenerator.open(folder, version=version, threads=section.threads, queue=_QUEUE)
    from generator import ThreadedGenerator  # noqa: PLC0415 - loads onnxruntime

    return ThreadedGenerator.open(folder, version=version, threads=section.threads, queue=_QUEUE)

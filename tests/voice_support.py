"""The voices of a bot that has one."""

from __future__ import annotations

from bot.core.voice import Voice
from generator import Generator
from generator.weights.versions import NIETZSCHE


def voices_of(generator: Generator) -> dict[str, Voice]:
    """The standard voice, on that generator."""
    return {NIETZSCHE: Voice(NIETZSCHE, NIETZSCHE, "", generator)}

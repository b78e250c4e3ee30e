"""A voice: a network with a command of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from generator import Generator, Manifest


@dataclass(frozen=True, slots=True)
class Voice:
    """What `[voices.NAME]` in the configuration adds. Users type `command`; the store and the metrics have `name`.

    `title`: whose manner it is; empty where that is not configured.
    """

    name: str
    command: str
    title: str
    generator: Generator

    @property
    def manifest(self) -> Manifest:
        """That of the weights that serve now."""
        return self.generator.weights.manifest


def versions_of(voices: Mapping[str, Voice]) -> dict[str, str]:
    """Returns the version that serves under each command."""
    return {voice.command: voice.manifest.version for voice in voices.values()}

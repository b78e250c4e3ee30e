"""A voice: a network with a command of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from generator import Generator, Manifest


@dataclass(frozen=True, slots=True)
class Voice:
    """What `[voices.NAME]` in the configuration adds. Users type `command`; the store and the metrics have `name`."""

    name: str
    command: str
    configured_title: str
    generator: Generator

    @property
    def manifest(self) -> Manifest:
        """That of the weights that serve now."""
        return self.generator.weights.manifest

    @property
    def title(self) -> str:
        """Whose manner it is: as configured, or the name of the text that the network learnt."""
        return self.configured_title or self.manifest.corpus.name


def versions_of(voices: Mapping[str, Voice]) -> dict[str, str]:
    """Returns the version that serves under each command."""
    return {voice.command: voice.manifest.version for voice in voices.values()}

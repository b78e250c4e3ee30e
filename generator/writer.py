"""What a program needs of whatever writes its texts: threads of its own (`generator.serving.generator`), or a pool."""

from __future__ import annotations

from typing import Protocol

from generator.scoring.surprisal import ScoringRequest, Surprisal
from generator.serving.scheduler import Threads, WorkerStatistics
from generator.types import Generation, GenerationRequest
from generator.weights.versions import Weights


class Generator(Protocol):
    """`ThreadedGenerator` documents each of these; `Pool` says what is different there."""

    @property
    def weights(self) -> Weights:
        """What the next text is written with."""

    async def generate(self, request: GenerationRequest) -> Generation:
        """Writes one text."""

    async def score(self, written: ScoringRequest) -> Surprisal:
        """Computes the probabilities of a text once more."""

    async def reload(self) -> Weights:
        """Takes up other weights, if there are any."""

    def look(self) -> None:
        """Looks after what writes. To be called every half second."""

    def threads(self) -> Threads:
        """How what writes is."""

    def statistics(self) -> WorkerStatistics:
        """Counts since the start, and what goes on now."""

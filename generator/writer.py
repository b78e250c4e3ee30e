"""What a program needs of whatever writes its texts: threads of its own (`generator.service`), or a pool."""

from __future__ import annotations

from typing import Protocol

from generator.request import Generation, GenerationRequest
from generator.surprise import Surprise, Written
from generator.weights import Weights
from generator.worker import Threads, WorkerStatistics


class Writer(Protocol):
    """`Generator` documents each of these; `Pool` says what is different there."""

    @property
    def weights(self) -> Weights:
        """What the next text is written with."""

    async def generate(self, request: GenerationRequest) -> Generation:
        """Writes one text."""

    async def weigh(self, written: Written) -> Surprise:
        """Computes the probabilities of a text once more."""

    async def reload(self) -> Weights:
        """Takes up other weights, if there are any."""

    def look(self) -> None:
        """Looks after what writes. To be called every half second."""

    def threads(self) -> Threads:
        """How what writes is."""

    def statistics(self) -> WorkerStatistics:
        """Counts since the start, and what goes on now."""

"""Text from weights: loads a trained network and writes with it, for many at once. Knows nothing of chats."""

from generator.errors import Busy, Closing, GeneratorError, InvalidRequest, NetworkFault, Unavailable, WeightsError
from generator.request import (
    MAX_LENGTH,
    MAX_OPENING,
    MAX_SEED,
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    Continuation,
    Generation,
    GenerationRequest,
    Sampling,
    Timing,
)
from generator.service import Generator
from generator.surprise import Surprise, Written
from generator.vocabulary import Fitted, Vocabulary
from generator.weights import Manifest, Weights
from generator.worker import Threads, WorkerStatistics
from generator.writer import Writer

__all__ = [
    "MAX_LENGTH",
    "MAX_OPENING",
    "MAX_SEED",
    "MAX_TEMPERATURE",
    "MIN_TEMPERATURE",
    "Busy",
    "Closing",
    "Continuation",
    "Fitted",
    "Generation",
    "GenerationRequest",
    "Generator",
    "GeneratorError",
    "InvalidRequest",
    "Manifest",
    "NetworkFault",
    "Sampling",
    "Surprise",
    "Threads",
    "Timing",
    "Unavailable",
    "Vocabulary",
    "Weights",
    "WeightsError",
    "WorkerStatistics",
    "Writer",
    "Written",
]

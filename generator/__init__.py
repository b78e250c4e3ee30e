"""Text from weights: loads a trained network and writes with it, for many at once. Knows nothing of chats."""

import os

# Before onnxruntime and Ray are imported anywhere in the process. onnxruntime's official wheels send usage data from
# 1.29 on (its Privacy.md); the API call `disable_telemetry_events` comes too late for its first event. Ray sends usage
# statistics (https://docs.ray.io/en/latest/cluster/usage-stats.html). Child processes inherit both.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from generator.errors import Busy, Closing, GeneratorError, InvalidRequest, NetworkFault, Unavailable, WeightsError
from generator.scoring.surprisal import Surprise, Written
from generator.serving.generator import Generator
from generator.serving.scheduler import Threads, WorkerStatistics
from generator.types import (
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
from generator.vocabulary import Fitted, Vocabulary
from generator.weights.versions import Manifest, Weights
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

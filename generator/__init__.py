"""Text from weights: loads a trained network and writes with it, for many at once. Knows nothing of chats."""

import os

# Before onnxruntime and Ray are imported anywhere in the process. onnxruntime's official wheels send usage data from
# 1.29 on (its Privacy.md); the API call `disable_telemetry_events` comes too late for its first event. Ray sends usage
# statistics (https://docs.ray.io/en/latest/cluster/usage-stats.html). Child processes inherit both.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from generator import dependencies  # first: exits with one line when something is not installed
from generator.errors import (
    GeneratorError,
    InvalidRequest,
    ModelError,
    Overloaded,
    ShuttingDown,
    Unavailable,
    WeightsError,
)
from generator.sampling_params import MAX_TEMPERATURE, MIN_TEMPERATURE, SamplingParams, Temperature
from generator.types import (
    MAX_LENGTH,
    MAX_PROMPT,
    MAX_SEED,
    Continuation,
    Generation,
    GenerationRequest,
    Generator,
    GeneratorStatus,
    ScoringRequest,
    Surprisal,
    Timing,
)
from generator.vocabulary import Fitted, Vocabulary
from generator.weights.manifest import Manifest
from generator.weights.versions import Weights

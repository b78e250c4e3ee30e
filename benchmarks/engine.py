"""How fast the generator's scheduler alone writes, without processes, chats and a database."""

from __future__ import annotations

import time
from concurrent.futures import wait
from typing import Final

from generator.sampling_params import SamplingParams
from generator.serving.model import Model
from generator.serving.scheduler import MAX_BATCH_SIZE, Scheduler
from generator.serving.thread_count import best_thread_count
from generator.types import GenerationRequest

STREAM_LENGTH: Final = 1500
STREAMS: Final = MAX_BATCH_SIZE


def open_scheduler(model: Model) -> Scheduler:
    """Returns a scheduler with as many threads as the service has on this machine."""
    return Scheduler(model, STREAMS, best_thread_count(model))


def characters_per_second(scheduler: Scheduler, streams: int) -> float:
    """Measures the bot's own scheduler, sampling included."""
    requests = [GenerationRequest(STREAM_LENGTH, seed, SamplingParams(temperature=0.7)) for seed in range(streams)]
    began = time.perf_counter()
    futures = [scheduler.submit(request) for request in requests]
    wait(futures)
    seconds = time.perf_counter() - began
    return sum(len(future.result().text) for future in futures) / seconds

"""How many threads write the most on this machine, measured.

A core of a rented machine may be a whole core or one of two threads of a core, and the machine may not say which. A
second thread wrote 76 % more on an AMD EPYC (Zen 4) and 7 % more on an Intel Xeon with AMX, both with two cores
(docs/benchmarks.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from generator.cores import cores
from generator.serving.batch import Batch, Job
from generator.serving.model import Model
from generator.serving.scheduler import MAX_BATCH_SIZE
from generator.types import GenerationRequest

_GAIN: Final = 1.2
"""How many times as fast more threads must write to be preferred: the event loop, the database and the operating system
need a part of the processor too."""
_STEPS: Final = 16
_LENGTH: Final = 100
"""Longer than those steps, so that no text ends meanwhile."""
_ROUNDS: Final = 4
_ATTEMPTS: Final = 4
"""Other work, such as the bot's own start, hides what more threads gain. So the fewest are chosen only when this many
measurements agree."""


def best_thread_count(model: Model) -> int:
    """Measures 1, 2, 4 … threads, up to one for each core. Raises `ModelError`."""
    most = min(cores(), MAX_BATCH_SIZE)
    fewer = [2**power for power in range(most.bit_length()) if 2**power < most]
    return fastest([*fewer, most], lambda threads: _seconds(model, threads)) if fewer else 1


def fastest(counts: list[int], seconds: Callable[[int], float]) -> int:
    """Returns the largest of the ascending `counts` that is worth its threads.

    `seconds`: measures how long so many threads take for the same work. They are tried in turns, several times, since
    the speed of a rented machine changes from one moment to the next.
    """
    best = counts[0]
    for _ in range(_ATTEMPTS):
        total = dict.fromkeys(counts, 0.0)
        for _ in range(_ROUNDS):
            for count in counts:
                total[count] += seconds(count)
        for count in counts[1:]:
            if total[best] > _GAIN * total[count]:
                best = count
        if best > counts[0]:
            break
    return best


def _seconds(model: Model, threads: int) -> float:
    """Returns how long a full batch takes for some steps when `threads` threads share its rows."""
    batches = [Batch(model) for _ in range(threads)]
    for row in range(MAX_BATCH_SIZE):
        batches[row % threads].add(Job(GenerationRequest(_LENGTH, row), model))
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        for done in [pool.submit(_step, batch) for batch in batches]:
            done.result()
        return time.perf_counter() - began


def _step(batch: Batch) -> None:
    for _ in range(_STEPS):
        batch.step()

"""The worker process: `python -m generator.process.worker`, started by `generator.process.generator`.

It loads a version under a memory limit, tries it, and then serves requests until its parent closes the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
from pathlib import Path
from typing import Final

from generator.cores import cores
from generator.errors import ModelError, WeightsError
from generator.process.protocol import Heartbeat
from generator.process.server import serve
from generator.serving.loading import load_model
from generator.serving.scheduler import MAX_BATCH_SIZE, Scheduler
from generator.serving.thread_count import best_thread_count
from generator.types import GenerationRequest
from generator.weights.manifest import MODEL

_HEADROOM: Final = 1 << 30
"""Address space beyond what the program and a sound model take."""
_PER_THREAD: Final = 160 << 20
"""Address space of a thread that generates: its stack, and an arena of malloc, for which glibc first maps 128 MiB."""
_PER_MODEL_BYTE: Final = 8
"""Loading takes three to four times the file."""
_TRIAL_LENGTH: Final = 20


class SchedulerBackend(Scheduler):
    """A scheduler as the `Backend` of this process."""

    _manifest_sent = False

    async def heartbeat(self) -> Heartbeat | None:
        """Returns what the scheduler does now, unless it stalls; the first one has the manifest."""
        if self.stalls():
            return None
        manifest = "" if self._manifest_sent else self.model.weights.manifest.to_json()
        self._manifest_sent = True
        return Heartbeat(self.status(), manifest)


def _load(folder: str, version: str, threads: str, queue: str) -> SchedulerBackend:
    place = Path(folder) / version
    _limit_memory(int(threads) or cores(), place / MODEL)
    try:
        model = load_model(place.parent, version)
        scheduler = SchedulerBackend(model, int(queue), int(threads) or best_thread_count(model))
        _try(scheduler)
    except MemoryError as error:
        raise WeightsError(f"{place}: needs more memory than its limit") from error
    except ModelError as error:
        raise WeightsError(f"{place / MODEL}: self-test failed: {error}") from error
    return scheduler


def _limit_memory(threads: int, model: Path) -> None:
    with contextlib.suppress(OSError):  # no such file, which loading reports; no /proc outside Linux
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = used + _HEADROOM + threads * _PER_THREAD + model.stat().st_size * _PER_MODEL_BYTE
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _try(scheduler: Scheduler) -> None:
    """Generates in every batch size, as users' requests will, which also measures the speed. Raises `ModelError`."""
    for texts in (1, MAX_BATCH_SIZE):
        for future in [scheduler.submit(GenerationRequest(_TRIAL_LENGTH + i, seed=i)) for i in range(texts)]:
            future.result()


if __name__ == "__main__":
    _, descriptor, parent, *arguments = sys.argv
    serve(descriptor, parent, asyncio.to_thread(_load, *arguments))

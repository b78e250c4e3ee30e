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

from generator.errors import ModelError, WeightsError
from generator.process.protocol import Heartbeat, Result, Work
from generator.process.server import serve
from generator.serving.loading import load_model
from generator.serving.scheduler import MAX_BATCH_SIZE, Scheduler
from generator.types import GenerationRequest, OnSentence
from generator.weights.manifest import MODEL
from generator.weights.session import cores

_HEADROOM: Final = 1 << 30
"""Address space beyond what the program and a sound model take."""
_PER_THREAD: Final = 160 << 20
"""Address space of a thread that generates and of one of onnxruntime: a stack and an arena of malloc for each."""
_PER_MODEL_BYTE: Final = 8
"""Loading takes three to four times the file."""
_TRIAL_LENGTH: Final = 20


def main(descriptor: str, parent: str, *arguments: str) -> None:
    """Serves a version of the weights folder. `ProcessGenerator` passes the arguments."""
    serve(descriptor, parent, asyncio.to_thread(_load, *arguments))


class SchedulerBackend:
    """The `Backend` of a scheduler in this process."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._manifest = scheduler.model.weights.manifest.to_json()

    async def run(self, work: Work, on_sentence: OnSentence | None = None) -> Result:
        """Generates or scores a text. Raises what `Scheduler.submit` and its future raise."""
        result: Result = await self.scheduler.run(work, on_sentence)
        return result

    async def heartbeat(self) -> Heartbeat | None:
        """Returns what the scheduler does now, unless it stalls; the first one has the manifest."""
        manifest, self._manifest = self._manifest, ""
        if self.scheduler.stalls():
            return None
        return Heartbeat(self.scheduler.status(), manifest)


def _load(folder: str, version: str, threads: str, queue: str) -> SchedulerBackend:
    place, working = Path(folder) / version, int(threads) or cores()
    _limit_memory(working, place / MODEL)
    try:
        scheduler = Scheduler(load_model(place.parent, version), int(queue), working)
        _try(scheduler)
    except MemoryError as error:
        raise WeightsError(f"{place}: needs more memory than its limit") from error
    except ModelError as error:
        raise WeightsError(f"{place / MODEL}: self-test failed: {error}") from error
    return SchedulerBackend(scheduler)


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
    main(*sys.argv[1:])

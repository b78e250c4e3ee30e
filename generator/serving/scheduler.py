"""Requests in, texts out: worker threads, each of which steps its share of the texts together, character by character.

A request joins a batch at the next character and leaves when its text is done; prompts are prefilled in the same
batches. A step runs on one thread. Spreading a step over the cores gains at most a tenth where nothing else runs, and
costs half of the speed where something does (measured), as its threads wait for each other.

A fault in a step ends the texts that it concerns. Any other fault in a worker thread ends that thread's texts with an
error; the thread restarts with none after a pause. A step that never returns cannot be ended from here: `progress`
shows it, and the parent process ends the whole process.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Any, Final, overload

from generator.errors import InvalidRequest, ModelError, Overloaded, ShuttingDown
from generator.serving.batch import Finished, Job
from generator.serving.batches import Batches
from generator.serving.model import Model
from generator.types import Generation, GenerationRequest, GeneratorStatus, ScoringRequest, Surprisal, WorkerStatistics

MAX_BATCH_SIZE: Final = 24
"""Texts that run at once. Measured on 2 cores with the preset `lstm`: a row in 24 costs a third of what it costs alone;
32 are written no faster, and each is done later."""
FULL_ENOUGH: Final = 8
"""Texts that one thread has before another one helps. Measured on 2 cores with the preset `lstm`: four texts are
written faster on one thread than on two, which read the weights twice; eight a fifth slower, for half of the
processor's time, which the event loop and the database need."""
RESTART_PAUSE_SECONDS: Final = 5.0
"""Between a thread's fault and its restart, so that a fault that repeats neither fills the log nor takes a core."""
log = logging.getLogger(__name__)


class Scheduler:
    """Generates texts with `model` on `threads` threads. `queue`: requests that may wait beyond `MAX_BATCH_SIZE`."""

    def __init__(self, model: Model, queue: int, threads: int = 1) -> None:
        self._model = model
        self._queue = queue
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._stopping = False
        self._texts = self._refused = self._failed = self._faults = 0
        self._last_fault = ""
        self._batches = [Batches() for _ in range(threads)]
        self._threads = [
            threading.Thread(target=self._run, args=(batches,), name=f"generator {number}", daemon=True)
            for number, batches in enumerate(self._batches)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def model(self) -> Model:
        """The model of the next request."""
        return self._model

    @overload
    def submit(self, request: GenerationRequest) -> Future[Generation]: ...
    @overload
    def submit(self, request: ScoringRequest) -> Future[Surprisal]: ...
    def submit(self, request: GenerationRequest | ScoringRequest) -> Future[Any]:
        """Admits a text to generate or to score. Cancelling the future frees its batch slot at the next character.

        Raises `InvalidRequest`, `Overloaded` or `ShuttingDown`, in each case before any work was done.
        """
        future: Future[Any] = Future()
        with self._changed:
            if self._closing:
                raise ShuttingDown
            self._refuse_unknown_characters(request)
            if len(self._waiting) >= self._queue + MAX_BATCH_SIZE - self._running:
                self._waiting = deque(job for job in self._waiting if not job.done)
            if len(self._waiting) >= self._queue + MAX_BATCH_SIZE - self._running:
                self._refused += 1
                raise Overloaded(self._retry_after())
            self._waiting.append(Job(request, self._model, future))
            self._changed.notify_all()
        return future

    @property
    def _running(self) -> int:
        return sum(batches.running for batches in self._batches)

    @property
    def _speed(self) -> float:
        return sum(batches.speed for batches in self._batches)

    def _refuse_unknown_characters(self, request: GenerationRequest | ScoringRequest) -> None:
        vocabulary = self._model.weights.manifest.vocabulary
        if isinstance(request, ScoringRequest):
            if not any(character in vocabulary for character in request.text):
                raise InvalidRequest("text: the network knows none of its characters")
            return
        unknown = {c for c in request.prompt if c not in vocabulary}
        if unknown:
            raise InvalidRequest(f"prompt: {''.join(sorted(unknown))!r} not in the vocabulary; use Vocabulary.fit")

    def _retry_after(self) -> float:
        """Seconds until about half of the queue will have been generated."""
        waiting = sum(job.request.characters for job in self._waiting)
        return max(1.0, waiting / 2 / self._speed)

    def swap(self, model: Model) -> None:
        """Uses `model` for requests from now on; texts that run or wait keep theirs."""
        with self._changed:
            self._model = model

    def statistics(self) -> WorkerStatistics:
        """Returns counts since the start, and the current load."""
        with self._changed:
            return WorkerStatistics(
                texts=self._texts,
                characters=sum(batches.characters for batches in self._batches),
                refused=self._refused,
                failed=self._failed,
                running=self._running,
                queued=sum(not job.done for job in self._waiting),
                characters_per_second=self._speed,
            )

    def status(self) -> GeneratorStatus:
        """Returns how many threads work, and the last fault."""
        with self._changed:
            restarting = sum(batches.is_restarting for batches in self._batches)
            return GeneratorStatus(
                threads=len(self._threads) - restarting,
                slots=MAX_BATCH_SIZE,
                restarting=restarting,
                unavailable=self._last_fault if restarting == len(self._threads) else "",
                faults=self._faults,
                last_fault=self._last_fault,
            )

    def progress(self) -> tuple[int | None, ...]:
        """Returns the characters that each thread has fed; `None` for an idle one. A number that does not change
        from one look to the next is a step that hangs."""
        return tuple(batches.characters if batches.running else None for batches in self._batches)

    def close(self, deadline: float) -> None:
        """Refuses new requests, finishes those admitted; after `deadline` seconds ends the rest with `ShuttingDown`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        until = time.monotonic() + deadline
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._end_unfinished([])

    # ---- on a worker thread -----------------------------------------------------------------------------------------

    def _run(self, batches: Batches) -> None:
        while True:
            try:
                self._work(batches)
            except BaseException as error:  # noqa: BLE001 - SystemExit too: its texts must end, and others come
                self._restart(batches, error)
            else:
                return

    def _work(self, batches: Batches) -> None:
        while (joining := self._next(batches)) is not None:
            finished = batches.add(joining) if joining else []
            finished += batches.step()
            if finished or batches.rows != batches.running:  # some were cancelled
                self._count(batches, finished)
                for text in finished:
                    text.resolve()
                batches.jobs = batches.unfinished
        self._end_unfinished(batches.clear())

    def _restart(self, batches: Batches, error: BaseException) -> None:
        """Ends the thread's texts with an error, and pauses."""
        reason = f"its thread failed: {type(error).__name__}"
        with self._changed:
            batches.is_restarting = True
            jobs = batches.clear()
            self._faults += 1
            self._failed += len(jobs)
            self._last_fault = reason
            self._changed.notify_all()  # another thread may have room for what waits
        for job in jobs:
            Finished(job, ModelError(f"the text was abandoned: {reason}")).resolve()
        name = threading.current_thread().name
        log.critical("thread.failed thread=%r texts=%d", name, len(jobs), exc_info=error)
        with self._changed:
            self._changed.wait_for(lambda: self._closing, RESTART_PAUSE_SECONDS)
            batches.is_restarting = False

    def _end_unfinished(self, jobs: list[Job]) -> None:
        with self._changed:
            jobs += self._waiting
            self._waiting.clear()
        for job in jobs:
            Finished(job, ShuttingDown()).resolve()

    def _next(self, batches: Batches) -> list[Job] | None:
        """Waits until there is something to step; returns the jobs that join, or None when the thread is to end."""
        if batches.running and not self._waiting and not self._stopping:
            return []  # without the lock, since this runs for every character; a new job joins at the next one
        with self._changed:
            while not (room := self._room(batches)) and not batches.running:
                if self._closing and not self._waiting:
                    return None
                self._changed.wait()
            if self._stopping:
                return None
            joining = list(itertools.islice(self._waiting, room))
            batches.jobs += joining  # before anything can fail
            batches.running += room
            for _ in joining:
                self._waiting.popleft()
            return joining

    def _room(self, batches: Batches) -> int:
        """Returns how many of the waiting texts this thread takes.

        The threads before it come first, up to `FULL_ENOUGH`; beyond that, all have about as many.
        """
        if not self._waiting:
            return 0
        able = [other for other in self._batches if not other.is_restarting]
        waiting, running = len(self._waiting), sum(other.running for other in able)
        share = max(min(FULL_ENOUGH, MAX_BATCH_SIZE // len(able)), -(-(running + waiting) // len(able)))
        for other in able[: able.index(batches)]:
            waiting -= max(0, share - other.running)
        return max(0, min(waiting, share - batches.running, MAX_BATCH_SIZE - running))

    def _count(self, batches: Batches, finished: list[Finished]) -> None:
        with self._changed:
            batches.running = batches.rows
            self._texts += sum(isinstance(text.result, Generation) for text in finished)
            self._failed += sum(isinstance(text.result, Exception) for text in finished)
            self._changed.notify_all()  # there may be room

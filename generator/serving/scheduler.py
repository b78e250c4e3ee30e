"""Requests in, texts out: a few threads, each of which steps its share of the texts together, character by character.

A request joins at the next character and leaves when its text is done; priming happens in the same batches. One thread
per core, and each step on one thread, but for a lone text, whose steps are spread over the cores: spread steps are a
fifth faster where nothing else runs, and half as fast where something does (measured), as their threads wait for each
other.

What fails in a step ends the texts that it concerns. What escapes all the same ends the work of its thread, whatever it
is: its texts end with an error, and after a while it begins anew with nothing. A step that never returns cannot be
ended; `look` finds it and ends its texts, and the rest is for whoever can start the process anew.
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
from generator.serving.batch import Job, Outcome
from generator.serving.engine import Engine
from generator.types import Generation, GenerationRequest, ScoringRequest, Surprisal, Threads, WorkerStatistics
from generator.weights.loader import Model

MAX_ROWS: Final = 24
"""Texts that run at once. Measured on 2 cores with the preset `lstm`: a row in 24 costs a third of what it costs alone;
32 are written no faster, and each is done later."""
FULL_ENOUGH: Final = 8
"""Texts that one thread has before another one helps. Measured on 2 cores with the preset `lstm`: four texts are
written faster on one thread than on two, which read the weights twice; eight a fifth slower, for half of the
processor's time, which the event loop and the database need."""
REST_SECONDS: Final = 5.0
"""After a thread's work ended by a fault. One that comes again and again must not fill the log, nor take a core, and
whoever asks how the threads are should have a chance to see it."""
log = logging.getLogger(__name__)


class Worker:
    """Writes texts with `model` on `threads` threads. `queue`: requests that may wait while `MAX_ROWS` run."""

    def __init__(self, model: Model, queue: int, threads: int = 1) -> None:
        self._model = model
        self._queue = queue
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._stopping = False
        self._texts = self._refused = self._failed = self._faults = 0
        self._last_fault = ""
        self._engines = [Engine() for _ in range(threads)]
        self._threads = [
            threading.Thread(target=self._live, args=(engine,), name=f"generator {number}", daemon=True)
            for number, engine in enumerate(self._engines)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def model(self) -> Model:
        """What the next request is written with."""
        return self._model

    @overload
    def submit(self, request: GenerationRequest) -> Future[Generation]: ...
    @overload
    def submit(self, request: ScoringRequest) -> Future[Surprisal]: ...
    def submit(self, request: GenerationRequest | ScoringRequest) -> Future[Any]:
        """Admits a text to write, or one to weigh; cancelling the future frees its place at the next character.

        Raises `InvalidRequest`, `Overloaded` or `ShuttingDown`, in each case before any work was done.
        """
        future: Future[Any] = Future()
        with self._changed:
            if self._closing or self._lost:
                raise ShuttingDown
            self._refuse_unknown_characters(request)
            if len(self._waiting) >= self._queue + MAX_ROWS - self._running:
                self._waiting = deque(job for job in self._waiting if not job.over)
            if len(self._waiting) >= self._queue + MAX_ROWS - self._running:
                self._refused += 1
                raise Overloaded(self._retry_after())
            self._waiting.append(Job(request, self._model, future))
            self._changed.notify_all()
        return future

    @property
    def _running(self) -> int:
        return sum(engine.running for engine in self._engines)

    @property
    def _speed(self) -> float:
        return sum(engine.speed for engine in self._engines)

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
        """Seconds until about half of what waits will have been written."""
        waiting = sum(job.request.characters for job in self._waiting)
        return max(1.0, waiting / 2 / self._speed)

    def swap(self, model: Model) -> None:
        """Requests from now on are written with `model`; texts in progress and in the queue keep theirs."""
        with self._changed:
            self._model = model

    def statistics(self) -> WorkerStatistics:
        """Counts since the start, and what goes on now."""
        with self._changed:
            return WorkerStatistics(
                texts=self._texts,
                characters=sum(engine.characters for engine in self._engines),
                refused=self._refused,
                failed=self._failed,
                running=self._running,
                queued=sum(not job.over for job in self._waiting),
                characters_per_second=self._speed,
            )

    def progress(self) -> tuple[int | None, ...]:
        """Characters that each thread has fed; `None` for one that has nothing to do. A number that does not change
        from one heartbeat to the next is a step that hangs."""
        return tuple(engine.characters if engine.running else None for engine in self._engines)

    def look(self) -> None:
        """Notices steps that hang, and ends their texts. To be called every half second, by one thread."""
        for thread, engine in zip(self._threads, self._engines, strict=True):
            if engine.look():
                lost = engine.unfinished
                self._give_up(lost, "its step hangs")
                told = "%s hangs in a step, which only a new process ends; its texts (%d) are given up"
                log.critical(told, thread.name, len(lost))
        with self._changed:
            self._changed.notify_all()  # what was left to one that does not move is another's to take
        if self._lost:
            self._tell_of_the_end([])  # nobody will take up what waits

    def threads(self) -> Threads:
        """How the threads are. Those that hang were seen by `look`."""
        with self._changed:
            pairs = zip(self._threads, self._engines, strict=True)
            return Threads(
                number=len(self._threads),
                resting=sum(bool(engine.fault) for engine in self._engines),
                lost=sum(engine.hangs or not (self._closing or thread.is_alive()) for thread, engine in pairs),
                faults=self._faults,
                last=self._last_fault,
            )

    @property
    def _lost(self) -> bool:
        """Whether every engine hangs."""
        return all(engine.hangs for engine in self._engines)

    def _give_up(self, jobs: list[Job], why: str) -> None:
        with self._changed:
            self._faults += 1
            self._failed += len(jobs)
            self._last_fault = why
            self._changed.notify_all()  # what waits may have room in another engine
        for job in jobs:
            Outcome(job, ModelError(f"the text was given up: {why}")).tell()

    def close(self, deadline: float) -> None:
        """Takes no new request, finishes what was admitted; after `deadline` seconds the rest ends with `ShuttingDown`.

        Does not wait for a step that hangs.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        until = time.monotonic() + deadline
        pairs = zip(self._threads, self._engines, strict=True)
        able = [thread for thread, engine in pairs if not engine.hangs]
        for thread in able:
            thread.join(max(0.0, until - time.monotonic()))
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in able:
            thread.join()
        self._tell_of_the_end([])  # to those for whom no thread was left

    # ---- on an engine's thread --------------------------------------------------------------------------------------

    def _live(self, engine: Engine) -> None:
        while True:
            try:
                self._work(engine)
            except BaseException as error:  # noqa: BLE001 - SystemExit too: nobody else would answer for its texts
                self._recover(engine, error)
            else:
                return

    def _recover(self, engine: Engine, error: BaseException) -> None:
        with self._changed:
            engine.fault = type(error).__name__
            jobs = engine.abandon()
        self._give_up(jobs, f"its thread failed by {engine.fault}")
        told = "%s failed; its texts (%d) are given up, and it begins anew"
        log.critical(told, threading.current_thread().name, len(jobs), exc_info=error)
        with self._changed:
            self._changed.wait_for(lambda: self._closing, REST_SECONDS)
            engine.fault = ""

    def _work(self, engine: Engine) -> None:
        while (joining := self._next(engine)) is not None:
            outcomes = engine.begin(joining) if joining else []
            outcomes += engine.step(alone=self._running == engine.running)
            if outcomes or engine.rows != engine.running:  # some were cancelled
                self._count(engine, outcomes)
                for outcome in outcomes:
                    outcome.tell()
                engine.jobs = engine.unfinished
        self._tell_of_the_end(engine.abandon())

    def _tell_of_the_end(self, left: list[Job]) -> None:
        with self._changed:
            left += self._waiting
            self._waiting.clear()
        for job in left:
            Outcome(job, ShuttingDown()).tell()

    def _next(self, engine: Engine) -> list[Job] | None:
        """Waits until the engine has something to step; returns what joins it, or None when its thread is to end."""
        if engine.running and not self._waiting and not self._stopping:
            return []  # seen without the lock, since this is asked for every character; a newcomer joins at the next
        with self._changed:
            while not (room := self._room(engine)) and not engine.running:
                if self._closing and not self._waiting:
                    return None
                self._changed.wait()
            if self._stopping:
                return None
            joining = list(itertools.islice(self._waiting, room))
            engine.jobs += joining  # before anything can fail: from here on the engine answers for them
            engine.running += room
            for _ in joining:
                self._waiting.popleft()
            return joining

    def _room(self, engine: Engine) -> int:
        """How many of the waiting texts are this engine's to take.

        The engines before it come first, up to `FULL_ENOUGH`; beyond that, all have about as many. One that does not
        move keeps nothing from the others.
        """
        if not self._waiting:
            return 0
        able = [other for other in self._engines if other.able or other is engine]
        waiting, running = len(self._waiting), sum(other.running for other in able)
        share = max(min(FULL_ENOUGH, MAX_ROWS // len(able)), -(-(running + waiting) // len(able)))
        for other in able[: able.index(engine)]:
            waiting -= max(0, share - other.running)
        return max(0, min(waiting, share - engine.running, MAX_ROWS - running))

    def _count(self, engine: Engine, outcomes: list[Outcome]) -> None:
        with self._changed:
            engine.running = engine.rows
            texts = sum(isinstance(outcome.result, Generation) for outcome in outcomes)
            self._texts += texts
            self._failed += sum(isinstance(outcome.result, Exception) for outcome in outcomes)
            self._changed.notify_all()  # there may be room again

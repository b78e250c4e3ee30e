"""Requests in, texts out: worker threads, each of which steps its share of the texts together, character by character.

A request joins a batch at the next character and leaves when its text is done; prompts are prefilled in the same
batches.

A step that fails ends the texts that it concerns. One that never returns cannot be ended from here: `stalls` shows
it, and the parent process ends the whole process.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Any, Final

import numpy as np

from generator.errors import InvalidRequest, Overloaded, ShuttingDown
from generator.serving.batch import Batch, Job, Outcome
from generator.serving.model import Model
from generator.types import Generation, GenerationRequest, GeneratorStatus, OnSentence, ScoringRequest

MAX_BATCH_SIZE: Final = 32
"""Texts that run at once. A step of 32 takes 1.4 to 2.3 times as long as one of 12 on a Xeon with AMX, 2.4 times with
AVX2 alone. Of 48 the whole service writes 7 % fewer to 13 % more, and each is done later (docs/benchmarks.md)."""
FULL_ENOUGH: Final = 12
"""Texts that one thread has before another one helps. At 50 texts/s on 2 cores of an EPYC (Zen 4) users wait as long as
with 8, and the processor works 10 to 14 % less (docs/benchmarks.md)."""
_INITIAL_SPEED: Final = 10_000.0
"""Characters per second, until steps of many texts have been timed; a child process times some in its self-test."""
_SMOOTHING: Final = 0.98
"""Weight of the past in the running mean, per step, once there are fifty."""

log = logging.getLogger(__name__)


class _Worker:
    """One thread's share of the texts: a batch per model. Others read its attributes.

    `rows`: texts that it runs or that join; `characters` fed so far; `timed`: steps of `full_enough` texts.
    """

    def __init__(self, full_enough: int) -> None:
        self.full_enough = full_enough
        self.rows = 0
        self.characters = 0
        self.timed = 0
        """Steps of many texts."""
        self.seconds_per_character = 1 / _INITIAL_SPEED
        """A running mean of the steps of many texts: a lone one takes a third of the time of a batch. A mean of speeds
        would hardly count the few steps that take long, which are most of the time."""
        self.batches: dict[Model, Batch] = {}

    def step(self, joining: list[Job]) -> list[tuple[Job, Outcome]]:
        """Adds texts and steps every text by one character; returns those that ended."""
        began = time.perf_counter()
        finished: list[tuple[Job, Outcome]] = []
        for job in joining:
            try:
                self.batches.setdefault(job.model, Batch(job.model)).add(job)
            except Exception as error:  # noqa: BLE001 - this request's failure alone
                job.context.run(log.error, "text.start_failed", exc_info=error)
                finished.append((job, error))
        for batch in self.batches.values():
            try:
                finished += batch.step()
            except BaseException as error:  # SystemExit too: these texts fail, later ones do not
                log.exception("step.failed texts=%d", len(batch.jobs))
                finished += [(job, error) for job in batch.jobs]
                batch.jobs = []
        self.batches = {model: batch for model, batch in self.batches.items() if batch.jobs}
        fed, self.rows = self.rows, sum([len(batch.jobs) for batch in self.batches.values()])
        self.characters += fed
        if fed >= self.full_enough:
            self.timed += 1
            seconds = (time.perf_counter() - began) / fed
            weight = max(1 - _SMOOTHING, 1 / self.timed)
            self.seconds_per_character += weight * (seconds - self.seconds_per_character)
        return finished


class Scheduler:
    """Generates texts with `model` on `threads` threads. `queue`: requests that may wait beyond `MAX_BATCH_SIZE`."""

    def __init__(self, model: Model, queue: int, threads: int = 1) -> None:
        self.model = model
        """The model of the next request. Texts that run or wait keep theirs when it changes."""
        self._queue = queue
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._stopping = False
        self._texts = self._refused = self._failed = 0
        full_enough = max(1, min(FULL_ENOUGH, MAX_BATCH_SIZE // threads))
        self._workers = [_Worker(full_enough) for _ in range(threads)]
        self._progress: list[int] = []
        self._threads = [
            threading.Thread(target=self._run, args=(worker,), name=f"generator {number}", daemon=True)
            for number, worker in enumerate(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, request: GenerationRequest | ScoringRequest, on_sentence: OnSentence | None = None) -> Any:
        """Generates or scores a text, as `submit`, for an event loop, in which `on_sentence` is called."""
        if on_sentence is None:
            return await asyncio.wrap_future(self.submit(request))
        loop = asyncio.get_running_loop()

        def deliver(text: str) -> None:
            if not future.done():
                on_sentence(text)

        def pass_on(text: str) -> None:
            loop.call_soon_threadsafe(deliver, text)

        future = asyncio.wrap_future(self.submit(request, pass_on))
        return await future

    def submit(self, request: GenerationRequest | ScoringRequest, on_sentence: OnSentence | None = None) -> Future[Any]:
        """Admits a text to generate or to score. Cancelling the future frees its batch slot at the next character.

        `on_sentence` is called in the thread that generates.
        Raises `InvalidRequest`, `Overloaded` or `ShuttingDown`, in each case before any work was done.
        """
        with self._changed:
            if self._closing:
                raise ShuttingDown
            self._refuse_unknown_characters(request)
            self._waiting = deque(job for job in self._waiting if not job.done)
            if len(self._waiting) >= self._queue + MAX_BATCH_SIZE - self._running:
                self._refused += 1
                waiting = sum(job.request.characters for job in self._waiting)
                raise Overloaded(max(1.0, waiting / 2 / self._speed))  # until about half of the queue is generated
            job = Job(request, self.model, on_sentence)
            self._waiting.append(job)
            self._changed.notify_all()
        return job.future

    @property
    def _running(self) -> int:
        return sum(worker.rows for worker in self._workers)

    @property
    def _speed(self) -> float:
        """Characters per second of a full batch."""
        return sum(1 / worker.seconds_per_character for worker in self._workers)

    def _refuse_unknown_characters(self, request: GenerationRequest | ScoringRequest) -> None:
        vocabulary = self.model.vocabulary
        if isinstance(request, GenerationRequest):
            if unknown := {c for c in request.prompt if c not in vocabulary}:
                raise InvalidRequest(f"prompt: {''.join(sorted(unknown))!r} not in the vocabulary; use Vocabulary.fit")
        elif not any(character in vocabulary for character in request.text):
            raise InvalidRequest("text: the network knows none of its characters")

    def status(self) -> GeneratorStatus:
        """Returns counts since the start, and the current load."""
        with self._changed:
            return GeneratorStatus(
                texts=self._texts,
                characters=sum(worker.characters for worker in self._workers),
                refused=self._refused,
                failed=self._failed,
                running=self._running,
                queued=sum(not job.done for job in self._waiting),
                characters_per_second=self._speed,
                speed_measured=any(worker.timed for worker in self._workers),
                threads=len(self._threads),
                slots=MAX_BATCH_SIZE,
            )

    def stalls(self) -> bool:
        """Whether a busy thread has fed no character since the last call: a step hangs."""
        before, self._progress = self._progress, [worker.characters if worker.rows else -1 for worker in self._workers]
        return any(then == now >= 0 for then, now in zip(before, self._progress, strict=False))

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
        running = [job for worker in self._workers for batch in worker.batches.values() for job in batch.jobs]
        for job in (*self._waiting, *running):
            job.resolve(ShuttingDown())

    def _run(self, worker: _Worker) -> None:
        with np.errstate(invalid="ignore", over="ignore"):  # the draw reports a row that is no distribution
            while (joining := self._next(worker)) is not None:
                before = worker.rows
                finished = worker.step(joining)
                if worker.rows < before:  # they ended or were cancelled
                    with self._changed:
                        self._texts += sum(isinstance(outcome, Generation) for _, outcome in finished)
                        self._failed += sum(isinstance(outcome, BaseException) for _, outcome in finished)
                        self._changed.notify_all()  # there may be room
                    for job, outcome in finished:
                        job.resolve(outcome)

    def _next(self, worker: _Worker) -> list[Job] | None:
        """Waits until there is something to step; returns the jobs that join, or None when the thread is to end."""
        if worker.rows and not self._waiting and not self._stopping:
            return []  # without the lock, since this runs for every character; a new job joins at the next one
        with self._changed:
            while not (room := self._room(worker)) and not worker.rows:
                if self._closing and not self._waiting:
                    return None
                self._changed.wait()
            if self._stopping:
                return None
            worker.rows += room
            return [self._waiting.popleft() for _ in range(room)]

    def _room(self, worker: _Worker) -> int:
        """Returns how many of the waiting texts this thread takes.

        The threads before it come first, up to `FULL_ENOUGH`; beyond that, all have about as many.
        """
        waiting, running, threads = len(self._waiting), self._running, len(self._workers)
        if not waiting:
            return 0
        share = max(worker.full_enough, -(-min(running + waiting, MAX_BATCH_SIZE) // threads))
        for other in self._workers[: self._workers.index(worker)]:
            waiting -= max(0, share - other.rows)
        return max(0, min(waiting, share - worker.rows, MAX_BATCH_SIZE - running))

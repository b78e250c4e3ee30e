"""Requests in, texts out: one thread that steps everything that runs, together, one character at a time.

A request joins at the next character and leaves when its text is done; priming happens in the same batches. The
thread is one because a step is one matrix product that onnxruntime spreads over the cores by itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from generator.batch import Batch, Job, Outcome
from generator.errors import Busy, Closing, InvalidRequest, NetworkFault
from generator.model import Model
from generator.request import Generation, GenerationRequest

MAX_ROWS: Final = 32
"""Texts that run at once. Measured: at 32 rows a step costs a row a seventh of what it costs alone; 64 gain nothing."""
_FIRST_GUESS: Final = 2_000.0
"""Characters per second, until the first text has been timed."""
_SMOOTHING: Final = 0.98
"""Weight of the past in the running mean of the speed, per step."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """Counts since the start, and what goes on now. Characters include those of openings that were read."""

    texts: int
    characters: int
    refused: int
    failed: int
    running: int
    queued: int
    characters_per_second: float


class Worker:
    """Writes texts with `model` on a thread of its own. `queue`: requests that may wait while `MAX_ROWS` run."""

    def __init__(self, model: Model, queue: int) -> None:
        self._model = model
        self._queue = queue
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._stopping = False
        self._batches: list[Batch] = []
        self._running = 0
        self._speed = _FIRST_GUESS
        self._texts = self._characters = self._refused = self._failed = 0
        self._thread = threading.Thread(target=self._work, name="generator", daemon=True)
        self._thread.start()

    @property
    def model(self) -> Model:
        """What the next request is written with."""
        return self._model

    def submit(self, request: GenerationRequest) -> Future[Generation]:
        """Admits a request; cancelling the future frees its place at the next character.

        Raises `InvalidRequest`, `Busy` or `Closing`, in each case before any work was done.
        """
        future: Future[Generation] = Future()
        with self._changed:
            if self._closing:
                raise Closing
            self._refuse_unknown_characters(request)
            if len(self._waiting) >= self._queue + MAX_ROWS - self._running:
                self._waiting = deque(job for job in self._waiting if not job.cancelled)
            if len(self._waiting) >= self._queue + MAX_ROWS - self._running:
                self._refused += 1
                raise Busy(self._retry_after())
            self._waiting.append(Job(request, self._model, future))
            self._changed.notify_all()
        return future

    def _refuse_unknown_characters(self, request: GenerationRequest) -> None:
        unknown = {c for c in request.opening if c not in self._model.weights.manifest.vocabulary}
        if unknown:
            raise InvalidRequest(f"opening: {''.join(sorted(unknown))!r} not in the vocabulary; use Vocabulary.fit")

    def _retry_after(self) -> float:
        """Seconds until about half of what waits will have been written."""
        waiting = sum(job.request.length + len(job.request.opening) for job in self._waiting)
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
                characters=self._characters,
                refused=self._refused,
                failed=self._failed,
                running=self._running,
                queued=sum(not job.cancelled for job in self._waiting),
                characters_per_second=self._speed,
            )

    def close(self, deadline: float) -> None:
        """Takes no new request, finishes what was admitted; after `deadline` seconds the rest ends with `Closing`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(deadline)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    # ---- the worker's thread ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (outcomes := self._join_waiting()) is not None:
            began = time.perf_counter()
            rows = self._running
            for batch in self._batches:
                outcomes += self._step(batch)
            self._count(rows, time.perf_counter() - began, outcomes)
            for outcome in outcomes:
                outcome.tell()
        with self._changed:
            left = [outcome for batch in self._batches for outcome in batch.fail(Closing())]
            left += [Outcome(job, Closing()) for job in self._waiting]
            self._waiting.clear()
            self._running = 0
        for outcome in left:
            outcome.tell()

    def _join_waiting(self) -> list[Outcome] | None:
        """Waits until there is something to step and lets the waiting in.

        Returns those that could not be begun, or None when the thread is to end.
        """
        with self._changed:
            while not self._waiting and not self._running and not self._closing:
                self._changed.wait()
            if self._stopping or not (self._waiting or self._running):
                return None
            joining = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_ROWS - self._running))]
            self._running += len(joining)
        failed: list[Outcome] = []
        for job in joining:
            if job.cancelled:
                continue
            try:
                self._batch_of(job.model).begin(job)
            except Exception as error:  # this request's failure alone
                log.exception("a text could not be begun")
                failed.append(Outcome(job, error))
        return failed

    def _count(self, rows: int, seconds: float, outcomes: list[Outcome]) -> None:
        self._batches = [batch for batch in self._batches if batch.drafts]
        with self._changed:
            self._running = sum(len(batch.drafts) for batch in self._batches)
            texts = sum(isinstance(outcome.result, Generation) for outcome in outcomes)
            self._texts += texts
            self._failed += len(outcomes) - texts
            self._characters += rows
            self._speed = _SMOOTHING * self._speed + (1 - _SMOOTHING) * rows / seconds

    def _batch_of(self, model: Model) -> Batch:
        for batch in self._batches:
            if batch.model is model:
                return batch
        self._batches.append(Batch(model, [], [], model.network.zero_state(0)))
        return self._batches[-1]

    def _step(self, batch: Batch) -> list[Outcome]:
        try:
            return batch.step()
        except NetworkFault as error:
            if len(batch.drafts) == 1:
                return batch.fail(error)
        except Exception as error:  # a defect of ours: these texts are lost, the thread and the next ones are not
            log.exception("the worker failed")
            return batch.fail(error)
        # Some row cannot be run. Alone, the others can.
        log.warning("a step failed for %d texts together; stepping each alone", len(batch.drafts))
        singles = [batch.alone(row) for row in range(len(batch.drafts))]
        batch.keep([])
        outcomes: list[Outcome] = []
        for single in singles:
            outcomes += self._step(single)
            if single.drafts:
                batch.merge(single)
        return outcomes

"""One worker thread's share of the texts: a batch per model, and what happens to texts whose step fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Final

from generator.errors import ModelError
from generator.serving.batch import Batch, Finished, Job
from generator.serving.model import Model

_INITIAL_SPEED: Final = 2_000.0
"""Characters per second, until steps have been timed."""
_SMOOTHING: Final = 0.98
"""Weight of the past in the running mean, per step."""

log = logging.getLogger(__name__)


class Batches:
    """Used by its own thread; others read `running`, `characters`, `speed` and `is_restarting`.

    `jobs`: those that it was given and that are not resolved; `running`: how many, which the scheduler keeps under its
    lock; `characters` fed so far.
    """

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        self.jobs: list[Job] = []
        self.running = 0
        self.is_restarting = False
        self.characters = 0
        self._seconds_per_character = 1 / _INITIAL_SPEED
        """A mean of speeds would hardly count the few steps that take long, which are most of the time."""

    @property
    def speed(self) -> float:
        """Characters per second, a running mean."""
        return 1 / self._seconds_per_character

    @property
    def rows(self) -> int:
        """Texts in its batches."""
        return sum(len(batch.jobs) for batch in self._batches)

    @property
    def unfinished(self) -> list[Job]:
        """Its jobs that are not resolved."""
        return [job for job in self.jobs if not job.done]

    def add(self, jobs: Iterable[Job]) -> list[Finished]:
        """Adds texts; returns those that cannot be started."""
        failed: list[Finished] = []
        for job in jobs:
            if job.done:
                continue
            try:
                self._batch_of(job.model).add(job)
            except Exception as error:  # noqa: BLE001 (this request's failure alone)
                job.context.run(log.error, "text.start_failed", exc_info=error)
                failed.append(Finished(job, error))
        return failed

    def step(self) -> list[Finished]:
        """Steps every text by one character; returns those that ended."""
        finished: list[Finished] = []
        rows, began = self.rows, time.perf_counter()
        for batch in self._batches:
            finished += self._step(batch)
        if rows:
            self.characters += rows
            seconds = (time.perf_counter() - began) / rows
            self._seconds_per_character = _SMOOTHING * self._seconds_per_character + (1 - _SMOOTHING) * seconds
        if self.rows < rows:
            self._batches = [batch for batch in self._batches if batch.jobs]
        return finished

    def clear(self) -> list[Job]:
        """Drops everything; returns the jobs that were unfinished."""
        unfinished = self.unfinished
        self.jobs, self._batches, self.running = [], [], 0
        return unfinished

    def _batch_of(self, model: Model) -> Batch:
        for batch in self._batches:
            if batch.model is model:
                return batch
        self._batches.append(Batch(model, [], [], model.network.zero_state(0)))
        return self._batches[-1]

    def _step(self, batch: Batch) -> list[Finished]:
        try:
            return batch.step()
        except ModelError as error:
            if len(batch.jobs) == 1:
                return batch.fail(error)
        except Exception as error:  # a defect of this program: these texts fail, later ones do not
            log.exception("step.failed texts=%d", len(batch.jobs))
            return batch.fail(error)
        # One of the rows cannot be run. Each alone, the others can.
        log.warning("step.retried_row_by_row texts=%d", len(batch.jobs))
        rows = batch.split()
        finished: list[Finished] = []
        for row in rows:
            finished += self._step(row)
            if row.jobs:
                batch.merge(row)
        return finished

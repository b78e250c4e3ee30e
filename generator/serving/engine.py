"""One thread's share of the work: the texts that it moves on, model by model, and what becomes of those that fail."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Final

from generator.errors import ModelError
from generator.serving.batch import Batch, Job, Outcome
from generator.weights.loader import Model

_FIRST_GUESS: Final = 2_000.0
"""Characters per second, until the first text has been timed."""
_SMOOTHING: Final = 0.98
"""Weight of the past in the running mean of the pace, per step."""
STUCK_LOOKS: Final = 60
"""At so many looks in a row the same step was being done: it hangs. The looks come every half second. They are counted,
and not seconds, because a process that was stopped, or a machine that slept, hangs in nothing."""
_STILL_LOOKS: Final = 2
"""After so many it is left alone, in case it hangs."""

log = logging.getLogger(__name__)


class Engine:
    """Used by its own thread; others read `running`, `characters` and `speed`.

    `jobs`: what was given to it, until its end is told; `running`: how many texts that is, which the worker keeps under
    its lock; `characters` fed so far; `speed`: characters per second, a running mean. `fault`: why it
    rests, empty when it does not.
    """

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        self.jobs: list[Job] = []
        self.running = 0
        self.fault = ""
        self._steps = self._seen = self._looks = 0
        """Steps done; those that were at the last look; looks since then that found the same step."""
        self.characters = 0
        self._pace = 1 / _FIRST_GUESS
        """Seconds per character. A mean of speeds would count the few steps that take long, and are most of the time,
        as little as the others."""

    @property
    def speed(self) -> float:
        """Characters per second."""
        return 1 / self._pace

    @property
    def rows(self) -> int:
        """Texts in its batches."""
        return sum(len(batch.drafts) for batch in self._batches)

    def begin(self, jobs: Iterable[Job]) -> list[Outcome]:
        """Takes texts up; returns those that cannot be begun."""
        failed: list[Outcome] = []
        for job in jobs:
            if job.over:
                continue
            try:
                self._batch_of(job.model).begin(job)
            except Exception as error:  # noqa: BLE001 (this request's failure alone)
                job.context.run(log.error, "a text could not be begun", exc_info=error)
                failed.append(Outcome(job, error))
        return failed

    def step(self, *, alone: bool) -> list[Outcome]:
        """Moves every text on by one character; returns those that ended. `alone`: no other engine has any."""
        outcomes: list[Outcome] = []
        rows, began = self.rows, time.perf_counter()
        for batch in self._batches:
            outcomes += self._step(batch, alone=alone and rows == 1)
        if rows:
            self.characters += rows
            self._pace = _SMOOTHING * self._pace + (1 - _SMOOTHING) * (time.perf_counter() - began) / rows
        if self.rows < rows:
            self._batches = [batch for batch in self._batches if batch.drafts]
        self._steps += 1
        return outcomes

    @property
    def able(self) -> bool:
        """Whether it will take texts up at its next step, and that step is near."""
        return not self.fault and self._looks < _STILL_LOOKS

    @property
    def hangs(self) -> bool:
        """Whether its step will not end any more, as far as `look` has seen."""
        return self._looks >= STUCK_LOOKS

    def look(self) -> bool:
        """Notices whether it moves; returns whether this is the look that finds that it hangs. For one thread."""
        moves = not self.running or self._steps != self._seen
        self._looks = 0 if moves else self._looks + 1
        self._seen = self._steps
        return self._looks == STUCK_LOOKS

    @property
    def unfinished(self) -> list[Job]:
        """What it was given and has not ended."""
        return [job for job in self.jobs if not job.over]

    def abandon(self) -> list[Job]:
        """Forgets everything that it was given; returns what was unfinished."""
        unfinished = self.unfinished
        self.jobs, self._batches, self.running = [], [], 0
        return unfinished

    def _batch_of(self, model: Model) -> Batch:
        for batch in self._batches:
            if batch.model is model:
                return batch
        self._batches.append(Batch(model, [], [], model.network.zero_state(0)))
        return self._batches[-1]

    def _step(self, batch: Batch, *, alone: bool = False) -> list[Outcome]:
        try:
            return batch.step(alone=alone)
        except ModelError as error:
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

"""The texts that run together on one model, one row each, moved on by one character at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from generator.errors import GeneratorError, ModelError
from generator.scoring.surprisal import ScoringSequence
from generator.serving.sampling import NO_CHARACTER, draw, sampling_arrays
from generator.serving.sequence import Draft
from generator.types import Generation, GenerationRequest, ScoringRequest, Surprisal
from generator.weights.loader import Model
from generator.weights.session import Logits, State

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Job:
    """An admitted request, and the context that it was asked for in, for what is logged about it.

    `over` follows the future, without its lock, as it is looked at for every character: the text was cancelled, or its
    end has been told.
    """

    request: GenerationRequest | ScoringRequest
    model: Model
    future: Future[Any]
    asked: float = field(default_factory=time.perf_counter)
    context: Context = field(default_factory=copy_context)
    over: bool = False

    def __post_init__(self) -> None:
        self.future.add_done_callback(self._done)

    def _done(self, _: Future[Any]) -> None:
        self.over = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a text ended."""

    job: Job
    result: Generation | Surprisal | Exception

    def tell(self) -> None:
        """Resolves the future, with an error that the caller can name."""
        try:
            if not isinstance(self.result, Exception):
                self.job.future.set_result(self.result)
            elif isinstance(self.result, GeneratorError):
                self.job.future.set_exception(self.result)
            else:
                fault = ModelError(f"writing failed: {type(self.result).__name__}")
                fault.__cause__ = self.result
                self.job.future.set_exception(fault)
        except InvalidStateError:
            log.debug("a text was cancelled, or given up, as it ended")


class Batch:
    """The drafts that run on one model, and their states, row by row."""

    def __init__(self, model: Model, drafts: list[Draft | ScoringSequence], jobs: list[Job], state: State) -> None:
        self.model = model
        self.drafts = drafts
        self.jobs = jobs
        self.state = state
        self._settings()

    def begin(self, job: Job) -> None:
        """Adds a request's text. Raises `KeyError` when its prompt holds a character that the model does not know."""
        draft: Draft | ScoringSequence
        if isinstance(job.request, ScoringRequest):
            draft = ScoringSequence(job.request, self.model)
        else:
            draft = Draft(job.request, self.model, job.asked)
        self.merge(Batch(self.model, [draft], [job], [row[None] for row in draft.rows]))

    def keep(self, rows: list[int]) -> None:
        """Drops all rows but these."""
        self.state = [array[rows] for array in self.state]
        self.drafts = [self.drafts[row] for row in rows]
        self.jobs = [self.jobs[row] for row in rows]
        self._settings()

    def _settings(self) -> None:
        self._some_read = True  # their prompts, as far as is known
        self._sampling = sampling_arrays([draft.sampling for draft in self.drafts])

    def step(self, *, alone: bool = False) -> list[Outcome]:
        """Moves every draft on by one character; returns what ended, which then is no longer in the batch.

        `alone`: nothing else runs, so that the step may take all cores.
        What is over leaves first. Raises `ModelError` when the network cannot run these rows; then none has moved.
        """
        if any([job.over for job in self.jobs]):  # noqa: C419 (for every character, and a list is faster)
            self.keep([row for row, job in enumerate(self.jobs) if not job.over])
        if not self.drafts:
            return []
        fed = np.array([draft.next_character for draft in self.drafts], np.int64)
        logits, self.state = self.model.network.step(fed, self.state, wide=alone)
        rows: Sequence[int] = range(len(self.drafts))
        if self._some_read:
            rows = [row for row, draft in enumerate(self.drafts) if not draft.reads()]
            self._some_read = len(rows) < len(self.drafts)
            if not rows:
                return []
        ended: dict[int, Generation | Surprisal | Exception] = {}
        for row, character in zip(rows, self._draw(logits, rows), strict=True):
            try:
                if character == NO_CHARACTER:
                    raise ModelError("the network's logits are no distribution")
                generation = self.drafts[row].take(character, self.state, row)
            except Exception as error:  # noqa: BLE001 (a text's failure, whatever it is, ends it alone)
                self.jobs[row].context.run(log.error, "a text failed", exc_info=error)
                ended[row] = error
            else:
                if generation is not None:
                    ended[row] = generation
        outcomes = [Outcome(self.jobs[row], result) for row, result in ended.items()]
        if ended:
            self.keep([row for row in range(len(self.drafts)) if row not in ended])
        return outcomes

    def _draw(self, logits: Logits, rows: Sequence[int]) -> list[int]:
        drafts, sampling = self.drafts, self._sampling
        if len(rows) < len(drafts):  # the others still read their prompts
            drafts = [drafts[row] for row in rows]
            logits, sampling = logits[rows], {name: column[rows] for name, column in sampling.items()}
        for draft, its in zip(drafts, logits, strict=True):
            if draft.guided:
                draft.guide(its)
        uniform = np.array([draft.uniform for draft in drafts])
        drawn: list[int] = draw(logits, uniform=uniform, **sampling).tolist()
        return drawn

    def merge(self, other: Batch) -> None:
        """Takes over the rows of another batch of the same model."""
        self.state = [np.concatenate(pair) for pair in zip(self.state, other.state, strict=True)]
        self.drafts += other.drafts
        self.jobs += other.jobs
        self._settings()

    def alone(self, row: int) -> Batch:
        """A batch of that row only, as it stands."""
        state = [array[row : row + 1].copy() for array in self.state]
        return Batch(self.model, [self.drafts[row]], [self.jobs[row]], state)

    def fail(self, error: Exception) -> list[Outcome]:
        """Ends every text with the error."""
        outcomes = [Outcome(job, error) for job in self.jobs]
        self.keep([])
        return outcomes

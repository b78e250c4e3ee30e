"""The texts that run together on one model, one row each, stepped by one character at a time."""

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
from generator.serving.model import Model
from generator.serving.sampling import NO_CHARACTER, draw, sampling_arrays
from generator.serving.scoring import ScoringSequence
from generator.serving.sequence import GeneratingSequence
from generator.types import Generation, GenerationRequest, ScoringRequest, Surprisal
from generator.weights.session import Logits, State

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Job:
    """An admitted request, and the context of its caller, for log records about it.

    `done` follows the future without its lock, as it is read for every character: cancelled, or resolved.
    """

    request: GenerationRequest | ScoringRequest
    model: Model
    future: Future[Any]
    admitted: float = field(default_factory=time.perf_counter)
    context: Context = field(default_factory=copy_context)
    done: bool = False

    def __post_init__(self) -> None:
        self.future.add_done_callback(self._set_done)

    def _set_done(self, _: Future[Any]) -> None:
        self.done = True


@dataclass(frozen=True, slots=True)
class Finished:
    """How a text ended."""

    job: Job
    result: Generation | Surprisal | Exception

    def resolve(self) -> None:
        """Resolves the future; every error becomes a `GeneratorError`."""
        try:
            if not isinstance(self.result, Exception):
                self.job.future.set_result(self.result)
            elif isinstance(self.result, GeneratorError):
                self.job.future.set_exception(self.result)
            else:
                error = ModelError(f"generating failed: {type(self.result).__name__}")
                error.__cause__ = self.result
                self.job.future.set_exception(error)
        except InvalidStateError:
            log.debug("text.cancelled_at_its_end")


class Batch:
    """The sequences that run on one model, and their states, row by row."""

    def __init__(
        self, model: Model, sequences: list[GeneratingSequence | ScoringSequence], jobs: list[Job], state: State
    ) -> None:
        self.model = model
        self.sequences = sequences
        self.jobs = jobs
        self.state = state
        self._update()

    def add(self, job: Job) -> None:
        """Adds a request's text. Raises `KeyError` when its prompt has a character that the model does not know."""
        sequence: GeneratingSequence | ScoringSequence
        if isinstance(job.request, ScoringRequest):
            sequence = ScoringSequence(job.request, self.model)
        else:
            sequence = GeneratingSequence(job.request, self.model, job.admitted)
        self.merge(Batch(self.model, [sequence], [job], [array[None] for array in sequence.initial_state]))

    def merge(self, other: Batch) -> None:
        """Adds the rows of another batch of the same model."""
        self.state = [np.concatenate(pair) for pair in zip(self.state, other.state, strict=True)]
        self.sequences += other.sequences
        self.jobs += other.jobs
        self._update()

    def split(self) -> list[Batch]:
        """Removes all rows; returns a batch of each."""
        singles = [
            Batch(self.model, [sequence], [job], [array[row : row + 1].copy() for array in self.state])
            for row, (sequence, job) in enumerate(zip(self.sequences, self.jobs, strict=True))
        ]
        self._keep([])
        return singles

    def fail(self, error: Exception) -> list[Finished]:
        """Ends every text with the error."""
        finished = [Finished(job, error) for job in self.jobs]
        self._keep([])
        return finished

    def _keep(self, rows: list[int]) -> None:
        self.state = [array[rows] for array in self.state]
        self.sequences = [self.sequences[row] for row in rows]
        self.jobs = [self.jobs[row] for row in rows]
        self._update()

    def _update(self) -> None:
        self._has_prefill = True  # as far as is known
        self._sampling = sampling_arrays([sequence.sampling for sequence in self.sequences])

    def step(self) -> list[Finished]:
        """Steps every text by one character; removes and returns those that ended. Cancelled ones leave first.

        Raises `ModelError` when the network cannot run these rows; then none has moved.
        """
        if any([job.done for job in self.jobs]):  # noqa: C419 (for every character, and a list is faster)
            self._keep([row for row, job in enumerate(self.jobs) if not job.done])
        if not self.sequences:
            return []
        fed = np.array([sequence.next_character for sequence in self.sequences], np.int64)
        logits, self.state = self.model.network.step(fed, self.state)
        rows: Sequence[int] = range(len(self.sequences))
        if self._has_prefill:
            rows = [row for row, sequence in enumerate(self.sequences) if not sequence.prefill()]
            self._has_prefill = len(rows) < len(self.sequences)
            if not rows:
                return []
        results: dict[int, Generation | Surprisal | Exception] = {}
        for row, character in zip(rows, self._draw(logits, rows), strict=True):
            try:
                if character == NO_CHARACTER:
                    raise ModelError("the network's logits are no distribution")
                result = self.sequences[row].append(character, self.state, row)
            except Exception as error:  # noqa: BLE001 (a text's failure, whatever it is, ends it alone)
                self.jobs[row].context.run(log.error, "text.failed", exc_info=error)
                results[row] = error
            else:
                if result is not None:
                    results[row] = result
        finished = [Finished(self.jobs[row], result) for row, result in results.items()]
        if results:
            self._keep([row for row in range(len(self.sequences)) if row not in results])
        return finished

    def _draw(self, logits: Logits, rows: Sequence[int]) -> list[int]:
        sequences, sampling = self.sequences, dict(self._sampling)
        if len(rows) < len(sequences):  # the others are in prefill
            sequences = [sequences[row] for row in rows]
            logits, sampling = logits[rows], {name: column[rows] for name, column in sampling.items()}
        logits = logits + np.array([sequence.bias for sequence in sequences])
        for sequence, its_logits in zip(sequences, logits, strict=True):
            if sequence.constrains_next:
                sequence.process_logits(its_logits)
        sampling["temperature"] = np.array([sequence.temperature for sequence in sequences])
        keeps_stops = np.array([sequence.may_end_sentence for sequence in sequences])
        stops = self.model.masks.stop if keeps_stops.any() else None
        uniform = np.array([sequence.uniform for sequence in sequences])
        drawn: list[int] = draw(logits, uniform=uniform, stops=stops, keeps_stops=keeps_stops, **sampling).tolist()
        return drawn

"""The texts that run together on one model, one row each, stepped by one character at a time."""

from __future__ import annotations

import contextlib
import logging
import time
from concurrent.futures import Future, InvalidStateError
from contextvars import copy_context
from typing import Any

import numpy as np

from generator.errors import GeneratorError, ModelError
from generator.serving.model import Model
from generator.serving.sampling import NO_CHARACTER, column, cuts, draw
from generator.serving.scoring import ScoringSequence
from generator.serving.sequence import GeneratingSequence
from generator.types import Generation, GenerationRequest, OnSentence, ScoringRequest, Surprisal
from generator.weights.session import Logits

log = logging.getLogger(__name__)

Outcome = Generation | Surprisal | BaseException
"""How a text ended."""


class Job:
    """An admitted request, its future, and the context of its caller, for log records about it.

    `on_sentence` is called in the thread that generates. `done` (cancelled or resolved) follows the future without its
    lock, as it is read for every character. `sequence` is there once it runs.
    """

    sequence: GeneratingSequence | ScoringSequence

    def __init__(
        self, request: GenerationRequest | ScoringRequest, model: Model, on_sentence: OnSentence | None = None
    ) -> None:
        self.request = request
        self.model = model
        self.on_sentence = on_sentence
        self.admitted = time.perf_counter()
        self.context = copy_context()
        self.done = False
        self.future: Future[Any] = Future()
        self.future.add_done_callback(self._set_done)

    def _set_done(self, _: Future[Any]) -> None:
        self.done = True

    def resolve(self, outcome: Outcome) -> None:
        """Resolves the future; every error becomes a `GeneratorError`."""
        with contextlib.suppress(InvalidStateError):  # cancelled at its end
            if not isinstance(outcome, BaseException):
                self.future.set_result(outcome)
            elif isinstance(outcome, GeneratorError):
                self.future.set_exception(outcome)
            else:
                error = ModelError(f"generating failed: {type(outcome).__name__}")
                error.__cause__ = outcome
                self.future.set_exception(error)


class Batch:
    """The jobs whose texts run on one model, and their states, row by row."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.jobs: list[Job] = []
        self._state = model.network.zero_state(0)
        self._fed = np.zeros(0, np.int64)

    def add(self, job: Job) -> None:
        """Adds a request's text. Raises `KeyError` when its prompt has a character that the model does not know."""
        if isinstance(job.request, ScoringRequest):
            job.sequence = ScoringSequence(job.request, self.model)
        else:
            job.sequence = GeneratingSequence(job.request, self.model, job.admitted, job.on_sentence)
        self.jobs.append(job)
        initial = job.sequence.initial_state
        self._state = [np.append(rows, [row], 0) for rows, row in zip(self._state, initial, strict=True)]
        self._fed = np.append(self._fed, job.sequence.prompt.pop())
        self._arrange()

    def _keep(self, rows: list[int]) -> None:
        self.jobs = [self.jobs[row] for row in rows]
        self._state = [array[rows] for array in self._state]
        self._fed = self._fed[rows]
        self._arrange()

    def _arrange(self) -> None:
        rows = [(row, job.sequence) for row, job in enumerate(self.jobs)]
        self._readers = [row for row, text in rows if text.prompt]
        self._writers = {row: text for row, text in rows if isinstance(text, GeneratingSequence) and not text.prompt}
        self._rows = list(self._writers)
        self._cuts = cuts([writer.sampling for writer in self._writers.values()])
        self._biases = np.array([writer.bias for writer in self._writers.values()])
        for writer, bias in zip(self._writers.values(), self._biases, strict=True):
            writer.bias = bias

    def step(self) -> list[tuple[Job, Outcome]]:
        """Steps every text by one character; removes and returns those that ended. Cancelled ones leave first.

        Raises `ModelError` when the network cannot run the step.
        """
        if any([job.done for job in self.jobs]):  # noqa: C419 - for every character, and a list is faster
            self._keep([row for row, job in enumerate(self.jobs) if not job.done])
        if not self.jobs:
            return []
        logits, self._state = self.model.network.step(self._fed, self._state)
        outcomes: dict[int, Outcome] = {}
        if self._writers:
            self._write(logits, outcomes)
        if self._readers:
            self._read(logits, outcomes)
        if not outcomes:
            return []
        finished = [(self.jobs[row], outcome) for row, outcome in outcomes.items()]
        for job, outcome in finished:
            if isinstance(outcome, Exception):
                job.context.run(log.error, "text.failed", exc_info=outcome)
        self._keep([row for row in range(len(self.jobs)) if row not in outcomes])
        return finished

    def _read(self, logits: Logits, outcomes: dict[int, Outcome]) -> None:
        for row in self._readers:
            try:
                following = self.jobs[row].sequence.read(logits[row])
                if isinstance(following, int):
                    self._fed[row] = following
                else:
                    outcomes[row] = following
            except Exception as error:  # noqa: BLE001 - a text's failure, whatever it is, ends it alone
                outcomes[row] = error
        if not all(self.jobs[row].sequence.prompt for row in self._readers):
            self._arrange()

    def _write(self, logits: Logits, outcomes: dict[int, Outcome]) -> None:
        writers = self._writers.values()
        biased = (logits[self._rows] if self._readers else logits) + self._biases
        for row, writer in enumerate(writers):
            if writer.is_late:
                writer.help_to_end(biased[row])
        temperature = column([writer.temperature for writer in writers])
        uniform = column([next(writer.uniforms) for writer in writers])
        drawn = draw(biased, temperature, uniform, stops=self.model.rules.stops, **self._cuts)
        self._fed[self._rows] = drawn
        for (row, writer), character in zip(self._writers.items(), drawn.tolist(), strict=True):
            try:
                if character == NO_CHARACTER:
                    raise ModelError("the network's logits are no distribution")
                if (generation := writer.append(character, self._state, row)) is not None:
                    outcomes[row] = generation
            except Exception as error:  # noqa: BLE001 - as above
                outcomes[row] = error

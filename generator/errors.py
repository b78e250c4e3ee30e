"""What can go wrong between a request and its text."""

from __future__ import annotations


class GeneratorError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidRequest(GeneratorError, ValueError):
    """A setting is out of its range. The message names the setting, the value and the range."""


class WeightsError(GeneratorError):
    """A weights version cannot be served. The message names the file and what is wrong with it."""


class ModelError(GeneratorError):
    """The network's output is no probability distribution, or its step failed, or the thread of the step."""


class Overloaded(GeneratorError):
    """The queue is full. Nothing was computed; try again in `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"the queue is full; try again in {self.retry_after:.0f} s"


class ShuttingDown(GeneratorError):
    """The worker is shutting down and takes no new request."""

    def __str__(self) -> str:
        return "the generator is shutting down"


class Unavailable(GeneratorError):
    """The worker process or the cluster cannot be reached. The message says why."""


class Interrupted(Unavailable):
    """The worker process was killed from outside, or cannot be started: another attempt with it may succeed."""

"""Everything that can go wrong between a request and its text, as types that a caller can tell apart."""

from __future__ import annotations


class GeneratorError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidRequest(GeneratorError, ValueError):
    """A setting is out of its range; the message names the setting, the value and the range."""


class WeightsError(GeneratorError):
    """A weights version cannot be served; the message names the file and what is wrong with it."""


class ModelError(GeneratorError):
    """The network produced something that is no probability distribution, or its step failed, or the step's thread."""


class Overloaded(GeneratorError):
    """The queue is full. Nothing was computed; trying again makes sense in `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"the queue is full; try again in {retry_after:.0f} s")
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[Overloaded], tuple[float]]:
        return Overloaded, (self.retry_after,)  # or unpickling would take the message for the number


class ShuttingDown(GeneratorError):
    """The worker is shutting down and takes no new request."""

    def __init__(self) -> None:
        super().__init__("the generator is shutting down")

    def __reduce__(self) -> tuple[type[ShuttingDown], tuple[()]]:
        return ShuttingDown, ()


class Unavailable(GeneratorError):
    """The pool that writes cannot be reached, or has nobody who writes; the message says why."""

"""What happens in the core, for an observer that counts or logs it."""

from __future__ import annotations

from dataclasses import dataclass

from generator import Generation


@dataclass(frozen=True, slots=True)
class Answered:
    """A request got its reply after so many seconds. `outcome`: the kind of reply, or why it was refused."""

    platform: str
    command: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TextWritten:
    """A text is finished. `waited`: seconds in the core's queue, before the generator was called."""

    generation: Generation
    waited: float


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A reply could not be sent, through no fault of the user."""

    platform: str


Event = Answered | TextWritten | Undelivered

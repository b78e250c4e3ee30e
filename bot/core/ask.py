"""What a user asks for, and where: one frozen value per kind of request, made once by an adapter."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from generator.types import Temperature


@dataclass(frozen=True, slots=True)
class Where:
    """Where a request came from, and when.

    `platform` is the adapter's name; `chat` and `user` are identifiers that mean something on that platform only.
    `locale`: the user's language as the platform names it, empty where it does not. `queue`: whose requests share a
    turn, where that is not the chat. `asked_at`: when it came, on the clock of `time.monotonic`; an adapter makes this
    value at once, even if the request waits.
    """

    platform: str
    chat: str
    user: str
    locale: str = ""
    queue: str = ""
    asked_at: float = field(default_factory=time.monotonic, compare=False)

    @property
    def queue_key(self) -> str:
        """Whose requests share a turn in the queue."""
        return f"{self.platform}:{self.queue or self.chat}"


@dataclass(frozen=True, slots=True)
class Write:
    """A text. Without a temperature: the user's own, else the default. `length`: characters, 1 to `MAX_LENGTH`."""

    temperature: Temperature | None = None
    prompt: str = ""
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Continue:
    """The last text here, continued. `slot`: the text that is meant; empty: whichever is the last one."""

    slot: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """Another text from the prompt of the last one, at its temperature or at `temperature`. `slot`: as above."""

    slot: str = ""
    temperature: Temperature | None = None


@dataclass(frozen=True, slots=True)
class Ladder:
    """The same prompt at several temperatures. `ignored`: a temperature that was typed before the prompt."""

    prompt: str = ""
    ignored: str = ""


@dataclass(frozen=True, slots=True)
class ShowTemperature:
    """The user's own temperature."""


@dataclass(frozen=True, slots=True)
class SetTemperature:
    """A temperature of the user's own; None removes it."""

    value: Temperature | None


@dataclass(frozen=True, slots=True)
class Surprise:
    """The last text here, shaded by surprisal."""


@dataclass(frozen=True, slots=True)
class About:
    """What the bot is made of."""


@dataclass(frozen=True, slots=True)
class ForgetMe:
    """Deletes everything about the user once they have `confirmed` it; before that, asks."""

    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Help:
    """The list of commands."""


@dataclass(frozen=True, slots=True)
class Start:
    """A greeting."""


@dataclass(frozen=True, slots=True)
class Reload:
    """Loads the weights that CURRENT names. For operators."""


@dataclass(frozen=True, slots=True)
class Stats:
    """What the generator is doing. For operators."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A command that does not exist. `name`: as typed."""

    name: str


@dataclass(frozen=True, slots=True)
class Invalid:
    """A command whose arguments cannot be used. `error` says why."""

    command: str
    error: ValueError


Ask = (
    Write
    | Continue
    | Again
    | Ladder
    | ShowTemperature
    | SetTemperature
    | Surprise
    | About
    | ForgetMe
    | Help
    | Start
    | Reload
    | Stats
    | Unknown
    | Invalid
)

"""What a user asks for, and where: one frozen value per kind of request, made once by an adapter."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from msgspec import Struct

from bot.core import language
from bot.core.reply import Reply
from bot.store.store import Preferences
from generator.sampling_params import Temperature
from generator.weights.versions import NIETZSCHE


async def _no() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Where:
    """Where a request came from, and when.

    `platform` is the adapter's name; `chat` and `user` are identifiers that mean something on that platform only.
    `locale`: the user's language as the platform names it, or empty. `queue`: whose requests share a turn, where that
    is not the chat. `has_fields`: each option has a field there. `in_place`: a text takes the place of the one whose
    button was pressed. `show`: gets a function that renders the text so far, at each end of a sentence; `None`
    where nothing shows it. `public`: others see every reply, also one that is meant for the user alone.
    `within`: of what the chat or the user is part of, such as a server. `group`: what has settings of its own there, or
    empty, and `administers`: returns whether the user is an administrator of it. `asked_at`: on the clock of
    `time.monotonic`; an adapter makes this value when the request comes, even if the request has to wait.

    The core fills in what is stored: the user's `preferences` (`None`: the store failed), and the `defaults` of the
    group, else of the configuration, and the `command` of the voice that writes where none is named.
    """

    platform: str
    chat: str
    user: str
    locale: str = ""
    queue: str = ""
    has_fields: bool = False
    in_place: bool = False
    public: bool = False
    within: tuple[str, ...] = ()
    group: str = ""
    administers: Callable[[], Awaitable[bool]] = field(default=_no, compare=False)
    show: Callable[[Callable[[], Reply]], None] | None = field(default=None, compare=False)
    asked_at: float = field(default_factory=time.monotonic, compare=False)
    preferences: Preferences | None = None
    defaults: Preferences = field(default_factory=Preferences)
    command: str = NIETZSCHE

    @property
    def chosen(self) -> Preferences:
        """What the user has set, else the defaults."""
        return (self.preferences or Preferences()).over(self.defaults)

    @property
    def spoken(self) -> language.Language:
        """The language in which the user reads replies."""
        return language.of(self.chosen.language or self.locale)

    def say(self, message: str, /, **values: object) -> str:
        """Returns a message in the user's language; see `Language.say`."""
        return self.spoken.say(message, **{"voice": self.command} | values)

    @property
    def queue_key(self) -> str:
        """Whose requests share a turn in the queue."""
        return f"{self.platform}:{self.queue or self.chat}"

    @property
    def user_key(self) -> str:
        """The user, as the configuration names operators."""
        return f"{self.platform}:{self.user}"


class Ask(Struct, frozen=True):
    """A request of any kind."""


class Plain(Ask, frozen=True):
    """A command without arguments, such as /about. There may be none of that name.

    `arguments`: what follows a name that only the configuration may know, as that of a voice.
    """

    command: str
    arguments: str = ""


class Invalid(Ask, frozen=True):
    """A command whose arguments cannot be used. `error` says why."""

    command: str
    error: Exception


class Write(Ask, frozen=True):
    """A text. Without a temperature: the user's own, else the default. `length`: characters, 1 to `MAX_LENGTH`.

    `is_unclear`: the prompt begins with what may be meant as a temperature. `voice`: its name; empty: the default one;
    None: the user's own.
    """

    temperature: Temperature | None = None
    prompt: str = ""
    length: int | None = None
    is_unclear: bool = False
    voice: str | None = None


class Continue(Ask, frozen=True):
    """The last text here, continued. `slot`: the text that is meant, where that matters.

    `prompt`: words that follow it; if it is not kept any more, they begin a new text. `temperature`: unless the same.
    """

    slot: str = ""
    prompt: str = ""
    temperature: Temperature | None = None


class Again(Ask, frozen=True):
    """The prompt of the last text here once more. `temperature`: unless the same. `slot`: as in `Continue`."""

    slot: str = ""
    temperature: Temperature | None = None


class Surprise(Ask, frozen=True):
    """The last text here, shaded. `slot`: as in `Continue`."""

    slot: str = ""


class Ladder(Ask, frozen=True):
    """The same prompt at several temperatures. `ignored`: a temperature that was typed in front of it.

    `voice`: as in `Write`.
    """

    prompt: str = ""
    ignored: Temperature | None = None
    voice: str | None = None


class Set(Ask, frozen=True):
    """A setting of the user's own, by its command; None removes it."""

    command: str
    value: float | str | None


class Settings(Ask, frozen=True):
    """The user's settings, or the `group`'s, after that of a `name` is set (None: cleared), or all are `reset`."""

    group: bool = False
    name: str = ""
    value: float | str | None = None
    reset: bool = False


class About(Ask, frozen=True):
    """What the bot is; the training `curve` alone for those who ask for it.

    `voice`: the name or the command of the one that is meant; empty: all, the user's own first.
    """

    curve: bool = False
    voice: str = ""


class ForgetMe(Ask, frozen=True):
    """Everything about the user deleted, once it is `confirmed`."""

    confirmed: bool = False

"""What a command is: its name, its parser and its handler. Its help is the message `command-NAME` of each language."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from bot.config.schema import BotSection
from bot.core.admission import Admission
from bot.core.ask import Ask, Plain, Where
from bot.core.messages import RANGE, Say
from bot.core.reply import Reply
from bot.store.store import Store
from generator import Generation, Generator

OVERSHOOT: Final = 1.15
"""Characters computed for each that is asked for: a text ends with its sentence (341 for 300, measured)."""


class Observer:
    """Counts or logs what happens. This one ignores it."""

    def answered(self, platform: str, command: str, outcome: str, seconds: float) -> None:
        """A request got its reply after so many seconds. `outcome`: the kind of reply, or why it was refused."""

    def text_written(self, generation: Generation, waited: float) -> None:
        """A text is finished. `waited`: seconds in the core's queue, before the generator was called."""

    def platform_failed(self, platform: str) -> None:
        """A reply could not be sent, through no fault of the user."""


@dataclass(eq=False)
class Context:
    """What the handlers work with. `reload` loads the current weights and returns what to say about it."""

    generator: Generator
    store: Store
    settings: BotSection
    observer: Observer = field(default_factory=Observer)
    reload: Callable[[], Awaitable[object]] | None = None

    def __post_init__(self) -> None:
        self.admission = Admission(
            lambda: self.generator.status().slots,
            self.settings.queue,
            self.settings.cooldown,
            typical=self.settings.length * OVERSHOOT,
            speed=lambda: self.generator.status().characters_per_second,
        )

    def is_operator(self, where: Where) -> bool:
        """Returns whether the user operates the bot."""
        return where.user_key in self.settings.operators


Handler = Callable[[Context, Any, Where], Awaitable[Reply]]


@dataclass(slots=True)
class Command:
    """A command. Decorates its handler, which gets an `Ask` of the kind `ask`.

    `options`: its arguments, as a platform that has a field for each names them. `parse` makes an `Ask` of
    what follows the command's name, or raises `ValueError`; without it, that is ignored, or refused if the command is
    `bare`. `exclusive`: it reads or changes what is stored about the user, so it runs alone for them. `private`: only
    the user sees the reply.
    """

    name: str
    options: tuple[str, ...] = ()
    ask: type[Ask] = Plain
    parse: Callable[[str], Ask] | None = None
    bare: bool = False
    exclusive: bool = False
    private: bool = False
    run: Handler = field(init=False)

    def __call__(self, run: Handler) -> Command:
        """Returns the command, run by `run`."""
        self.run = run
        return self

    def purpose(self, say: Say) -> str:
        """What it does, in a few words."""
        return say(f"command-{self.name}")

    def option_name(self, option: str, say: Say) -> str:
        """What an option is called in a language."""
        return say(f"command-{self.name}.{option}-name")

    def option_purpose(self, option: str, say: Say) -> str:
        """What an option does."""
        return say(f"command-{self.name}.{option}", **RANGE)

    def usage(self, say: Say) -> str:
        """How it is typed; its arguments are optional."""
        return f"/{self.name} " + say(f"command-{self.name}.arguments") if self.options else f"/{self.name}"

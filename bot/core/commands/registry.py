"""The commands there are. Each is declared once, with its name, its note in every language and its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from bot.config.schema import BotSection
from bot.core.admission import Admission
from bot.core.ask import Ask, Invalid, Unknown, Where
from bot.core.events import Event
from bot.core.reply import Reply
from bot.store.store import Store
from generator import Generator


@dataclass(frozen=True, slots=True)
class Context:
    """What the handlers work with. `reload` loads the current weights and returns what to say about it."""

    generator: Generator
    store: Store
    settings: BotSection
    admission: Admission
    on_event: Callable[[Event], None]
    reload: Callable[[], Awaitable[object]]

    def is_operator(self, where: Where) -> bool:
        """Returns whether the user operates the bot."""
        return f"{where.platform}:{where.user}" in self.settings.operators


Handler = Callable[[Context, Any, Where], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class OptionNote:
    """An option of a command, for platforms that have a field for it: what it does; both languages."""

    purpose: str
    portuguese_name: str
    portuguese: str


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command: how it is typed, what it does in a few words, and how it is parsed and run.

    `parse` makes an `Ask` of what follows the command and raises `ValueError` where it cannot; `asks` are the kinds
    that `run` handles. `exclusive`: it reads or changes what is stored about the user, so it runs alone for them.
    `private`: only the user sees the reply, whatever it says.
    """

    name: str
    usage: str
    purpose: str
    portuguese: str
    parse: Callable[[str], Ask]
    asks: tuple[type[Any], ...]
    run: Handler
    options: Mapping[str, OptionNote]
    exclusive: bool
    private: bool
    for_operators: bool


COMMANDS: Final[dict[str, CommandSpec]] = {}
"""By name, in the order of menus."""


def command(
    *,
    name: str,
    usage: str,
    purpose: str,
    portuguese: str,
    parse: Callable[[str], Ask],
    asks: tuple[type[Any], ...],
    options: Mapping[str, OptionNote] = MappingProxyType({}),
    exclusive: bool = False,
    private: bool = False,
    for_operators: bool = False,
) -> Callable[[Handler], Handler]:
    """Registers the decorated handler as a command; see `CommandSpec`."""

    def register(run: Handler) -> Handler:
        COMMANDS[name] = CommandSpec(
            name, usage, purpose, portuguese, parse, asks, run, options, exclusive, private, for_operators
        )
        return run

    return register


def user_commands() -> dict[str, CommandSpec]:
    """Returns the commands that everybody has, by name."""
    return {name: spec for name, spec in COMMANDS.items() if not spec.for_operators}


def operator_commands() -> dict[str, CommandSpec]:
    """Returns the commands that operators have besides, by name."""
    return {name: spec for name, spec in COMMANDS.items() if spec.for_operators}


def is_private(ask: Ask) -> bool:
    """Returns whether only the user sees the reply to `ask`, whatever it says."""
    return isinstance(ask, Unknown | Invalid) or COMMANDS[name_of(ask)].private


def parse(name: str, arguments: str) -> Ask:
    """Returns what a typed command asks for; `arguments` is what follows its name."""
    spec = COMMANDS.get(name)
    if spec is None:
        return Unknown(name)
    try:
        return spec.parse(arguments)
    except ValueError as error:
        return Invalid(name, error)


def name_of(ask: Ask) -> str:
    """Returns the name of the command that an `Ask` belongs to."""
    if isinstance(ask, Unknown):
        return ask.name
    if isinstance(ask, Invalid):
        return ask.command
    return next(name for name, spec in COMMANDS.items() if type(ask) in spec.asks)

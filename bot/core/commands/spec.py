"""What a command is: its name, its notes in every language, its parser and its handler, declared together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.config.schema import BotSection
from bot.core.admission import Admission
from bot.core.ask import Ask, Where
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


@dataclass(frozen=True, slots=True)
class OptionNote:
    """An option of a command, for platforms that have a field for it: what it does; its name and that in Portuguese."""

    purpose: str
    portuguese_name: str
    portuguese: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """A command: what it does in a few words, how it is parsed, and what runs it.

    `run` handles the kinds in `asks`. `parse` makes one of what follows the command's name, or raises `ValueError`;
    without it, that is the first kind. `bare`: anything behind the name is refused. `exclusive`: it reads or changes
    what is stored about the user, so it runs alone for them. `private`: only the user sees the reply.
    """

    name: str
    purpose: str
    portuguese: str
    asks: tuple[type[Ask], ...]
    run: Callable[[Context, Any, Where], Awaitable[Reply]]
    parse: Callable[[str], Ask] | None = None
    arguments: str = ""
    options: Mapping[str, OptionNote] = field(default_factory=dict)
    bare: bool = False
    exclusive: bool = False
    private: bool = False
    for_operators: bool = False

    @property
    def usage(self) -> str:
        """How it is typed; `arguments` are optional."""
        return f"/{self.name} {self.arguments}".strip()

"""What a command is: its name, its parser and its handler. Its help is the message `command-NAME` of each language."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bot.config.schema import AccessSection, BotSection
from bot.core.access import Quotas, allows
from bot.core.admission import Admission
from bot.core.ask import Ask, Plain, Where
from bot.core.messages import RANGE, Say, title
from bot.core.reply import Cancelled, Refused, Reply
from bot.core.voice import Voice
from bot.store.store import Preferences, Store
from generator import Generation, Surprisal
from generator.weights.versions import NIETZSCHE

OVERSHOOT: Final = 1.15
"""Characters computed for each that is asked for: a text ends with its sentence (341 for 300, measured)."""
_AHEAD: Final = 3
"""Texts that the generator has beside those of its batch: a row that becomes free is taken at the next character, not
after a turn of the bot's process. Under overload a twentieth more is written (docs/benchmarks.md)."""
_MAX_TITLE: Final = 60
"""Characters of a voice's title, so that its command's purpose fits into Discord's 100."""


class Observer:
    """Counts or logs what happens. This one ignores it."""

    def answered(self, platform: str, command: str, outcome: str, seconds: float) -> None:
        """A request got its reply after so many seconds. `outcome`: the kind of reply, or why it was refused."""

    def text_written(self, voice: str, generation: Generation, waited: float) -> None:
        """A voice has finished a text. `waited`: seconds in the core's queue, before the generator was called."""

    def platform_failed(self, platform: str) -> None:
        """A reply could not be sent, through no fault of the user."""


@dataclass(eq=False)
class Context:
    """What the handlers work with. `reload` loads the current weights.

    `voices`: by name, at least one; they change when the configuration does.
    """

    voices: Mapping[str, Voice]
    store: Store
    settings: BotSection
    observer: Observer = field(default_factory=Observer)
    reload: Callable[[], Awaitable[object]] | None = None
    access: AccessSection = field(default_factory=AccessSection)

    def __post_init__(self) -> None:
        self._writing: dict[tuple[str, str], dict[asyncio.Timeout, float]] = {}
        """Of each user in each chat, what is running or waits, with the time at which it was asked for."""
        self.cards: dict[str, tuple[tuple[str, str], Surprisal, bytes]] = {}
        """What /about showed last of each voice: of which version with which title, its sentence, and the picture."""
        self._stopped_at: OrderedDict[tuple[str, str], float] = OrderedDict()
        """When each user last stopped their texts in a chat: those that were asked for before, which an adapter may
        still hold back, do not start."""
        # One queue for all voices, since they share the processor. It counts in characters of the default one.
        self.admission = Admission(
            lambda: self.voice.generator.status().slots + _AHEAD,
            self.settings.queue,
            self.settings.cooldown,
            typical=self.settings.length * OVERSHOOT,
            speed=lambda: self.voice.generator.status().characters_per_second,
        )

    @property
    def voice(self) -> Voice:
        """The default voice: /nietzsche if there is that command, else the first."""
        return self.voice_with(NIETZSCHE) or next(iter(self.voices.values()))

    def voice_with(self, command: str) -> Voice | None:
        """Returns the voice that has a command."""
        return next((voice for voice in self.voices.values() if voice.command == command), None)

    def others(self, voice: Voice) -> list[Voice]:
        """Returns the voices that are not this one."""
        return [each for each in self.voices.values() if each is not voice]

    def preferred(self, preferences: Preferences) -> Voice:
        """Returns the voice that is preferred, or the default one where there is none, or it is gone."""
        return self.voices.get(preferences.voice or "") or self.voice

    def voice_of(self, name: str | None, where: Where) -> Voice:
        """Returns a voice by its name: the default one where that is empty, the user's where it is None.

        Raises `Refused` if it is gone.
        """
        if name is None:
            return self.preferred(where.chosen)
        voice = self.voices.get(name) if name else self.voice
        if voice is None:
            raise Refused("voice-gone", name=name)
        return voice

    def slot(
        self, where: Where, voice: Voice, characters: float, *, rows: int = 1, cooldown: str = ""
    ) -> AbstractAsyncContextManager[float]:
        """Returns `Admission.slot` for a voice's work. `cooldown`: what has one of its own beside that of texts."""
        speed, usual = (each.generator.status().characters_per_second for each in (voice, self.voice))
        return self.admission.slot(
            where.queue_key,
            where.user_key + cooldown,
            characters=characters * usual / speed if speed else characters,  # the admission counts the default voice's
            rows=rows,
            trusted=self.is_operator(where),
            asked_at=where.asked_at,
        )

    @asynccontextmanager
    async def stoppable(self, where: Where) -> AsyncIterator[None]:
        """Ends the block when the user asks for that in the chat; then raises `Cancelled`."""
        key = where.user_key, where.chat
        if where.asked_at < self._stopped_at.get(key, 0.0):
            raise Cancelled("cancelled")
        writing = self._writing.setdefault(key, {})
        try:
            async with asyncio.timeout(None) as scope:
                writing[scope] = where.asked_at
                yield
        except TimeoutError:
            if scope.expired():
                raise Cancelled("cancelled") from None
            raise
        finally:
            del writing[scope]
            if not writing:
                del self._writing[key]

    def stop(self, where: Where) -> int:
        """Ends what the user asked for in the chat before; returns the number of requests, running and waiting."""
        key = where.user_key, where.chat
        self._stopped_at[key] = where.asked_at
        self._stopped_at.move_to_end(key)
        if len(self._stopped_at) > 1024:  # what was asked for before them waits for seconds only
            self._stopped_at.popitem(last=False)
        writing = self._writing.get(key, {})
        stopped = [scope for scope, asked_at in writing.items() if asked_at <= where.asked_at and scope.when() is None]
        for scope in stopped:
            scope.reschedule(0)
        return len(stopped)

    def configure(self, settings: BotSection, access: AccessSection) -> None:
        """Changes the settings for the requests that come from now on."""
        self.settings, self.access = settings, access
        self.admission.configure(settings.queue, settings.cooldown, typical=settings.length * OVERSHOOT)

    def allows(self, where: Where) -> bool:
        """Returns whether the user may use the bot there."""
        return self.is_operator(where) or allows(self.access, where)

    def ignores(self, where: Where) -> bool:
        """Returns whether nothing at all is answered there."""
        return self.access.silent and not self.allows(where)

    def quotas(self, where: Where) -> Quotas:
        """Returns the quotas of a request; operators have none."""
        rules = AccessSection() if self.is_operator(where) else self.access
        return Quotas(rules, self.store, where)

    async def informed(self, where: Where) -> Where:
        """Returns `where` with what is stored about the user and the group. Raises `StoreError`."""
        own, group = await self.store.preferences(where.platform, where.user), Preferences()
        if where.group:
            group = await self.store.preferences(where.platform, where.group)
        defaults = group.over(self.defaults)
        command = self.preferred(own.over(defaults)).command
        return replace(where, preferences=own, defaults=defaults, command=command)

    @property
    def defaults(self) -> Preferences:
        """The configuration's."""
        return Preferences(self.settings.sampling.temperature, self.settings.length)

    def is_operator(self, where: Where) -> bool:
        """Returns whether the user operates the bot."""
        return where.user_key in self.settings.operators


Handler = Callable[[Any, Any, Where], Awaitable[Reply]]


@dataclass(slots=True)
class Command:
    """A command. Decorates its handler, which gets an `Ask` of the kind `ask`.

    `options`: its arguments, as a platform that has a field for each names them. `parse` makes an `Ask` of what follows
    the name, or raises `ValueError`; without it, that is ignored, or refused if the command is `bare`. `exclusive`: it
    reads or changes what is stored about the user, so it runs alone for them. `writes`: that too, it takes a text's
    time, and /cancel stops it. `private`: only the user sees the reply. `voice`: whose command it is.
    """

    name: str
    options: tuple[str, ...] = ()
    ask: type[Ask] = Plain
    parse: Callable[[str], Ask] | None = None
    bare: bool = False
    exclusive: bool = False
    writes: bool = False
    private: bool = False
    voice: Voice | None = None
    run: Handler = field(init=False)

    def __call__(self, run: Handler) -> Command:
        """Returns the command, run by `run`."""
        self.run = run
        return self

    def of(self, voice: Voice) -> Command:
        """Returns this command, which writes, as that of a voice."""
        return replace(self, name=voice.command, voice=voice)(self.run)

    def purpose(self, say: Say) -> str:
        """What it does, in a few words."""
        if self.voice is not None and (self.name != NIETZSCHE or self.voice.title):
            return say("command-voice", book=title(self.voice, say, _MAX_TITLE))
        return say(f"command-{self.name}")

    @property
    def _message(self) -> str:
        return f"command-{self.name if self.voice is None else NIETZSCHE}"

    def option_name(self, option: str, say: Say) -> str:
        """What an option is called in a language."""
        return say(f"{self._message}.{option}-name")

    def option_purpose(self, option: str, say: Say) -> str:
        """What an option does."""
        return say(f"{self._message}.{option}", **RANGE)

    def usage(self, say: Say) -> str:
        """How it is typed; its arguments are optional."""
        return f"/{self.name} " + say(f"{self._message}.arguments") if self.options else f"/{self.name}"

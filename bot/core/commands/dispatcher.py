"""The commands there are, and what runs them: an `Ask` in, a `Reply` out, also for errors."""

from __future__ import annotations

import asyncio
import difflib
import logging
import time
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from bot import logs
from bot.config.loader import ConfigError
from bot.core import buttons, language, messages
from bot.core.admission import CooldownActive, TooManyRequests
from bot.core.ask import Ask, Continue, Invalid, Ladder, Plain, Where, Write
from bot.core.commands.command import Command, Context
from bot.core.commands.info import about, cancel, forgetme, privacy, reload, start, stats, surprise, voices
from bot.core.commands.settings import language_, length, settings, temperature
from bot.core.commands.writing import again, continue_, ladder, nietzsche, parse_write
from bot.core.parsing import Line, TemperatureError, parse_line
from bot.core.reply import Cancelled, Outdated, Refused, Reply
from bot.core.voice import Voice
from bot.store.errors import StoreError
from bot.store.store import ADMINISTRATORS
from generator import InvalidRequest, Overloaded, ShuttingDown, Unavailable, WeightsError

LANGUAGE_TIMEOUT_SECONDS: Final = 1.0
"""How long a reply waits for the database to say its language."""
log = logging.getLogger(__name__)


@Command("help", private=True)
async def help_(context: Context, _: Ask, where: Where) -> Reply:
    """Lists the commands that the user has."""
    say, lines = where.say, []
    for command in commands_of(context, where).values():
        usage = f"/{command.name}" if where.has_fields else command.usage(say)
        lines.append(say("help-line", usage=usage, purpose=command.purpose(say)))
        for option in command.options if where.has_fields else ():
            name, purpose = command.option_name(option, say), command.option_purpose(option, say)
            lines.append(say("help-option", name=name, purpose=purpose))
    return Reply("\n".join([*lines, say("help-talk" if where.has_fields else "help-example")]))


USER_COMMANDS: Final = {
    command.name: command
    for command in (
        *(nietzsche, continue_, again, ladder, surprise, cancel, settings, temperature, length, language_),
        *(voices, about, privacy, forgetme, help_, start),
    )
}
"""The commands that every user has, by name, in the order of menus; of voices, the standard one's."""
OPERATOR_COMMANDS: Final = {command.name: command for command in (reload, stats)}
"""The commands that operators have besides, by name."""
COMMANDS: Final = USER_COMMANDS | OPERATOR_COMMANDS


def commands_of(context: Context, where: Where) -> Mapping[str, Command]:
    """Returns the commands that exist for this user, by name."""
    return user_commands(context) | (OPERATOR_COMMANDS if context.is_operator(where) else {})


def user_commands(context: Context) -> dict[str, Command]:
    """Returns the commands that every user has, by name, in the order of menus: first those of the voices."""
    of_voices = {voice.command: nietzsche.of(voice) for voice in context.voices.values()}
    return of_voices | {name: command for name, command in USER_COMMANDS.items() if name != nietzsche.name}


def parse(name: str, arguments: str) -> Ask:
    """Returns what a typed command asks for; `arguments` is what follows its name."""
    command = COMMANDS.get(name)
    if command is None:
        return Plain(name, arguments)
    if command.bare and arguments:
        return Invalid(name, Refused("no-argument", command=name))
    if command.parse is None:
        return Plain(name) if command.ask is Plain else command.ask()
    try:
        return command.parse(arguments)
    except ValueError as error:
        return Invalid(name, error)


def parse_message(text: str, user: str = "", replied: Iterable[str] = ()) -> Ask:
    """Returns what a message to the bot asks for: a command, by its name alone too, or a text with that prompt.

    `replied`: the data of the buttons under the message of the bot that it replies to. If those are the user's, the
    message continues that text.
    """
    name = text.strip().lower()
    line = parse_line(text) or (Line(name, "") if name in USER_COMMANDS else None)
    ask = parse_words(text) if line is None else parse(*line)
    slot = next((ask.slot for owner, ask in continuing(replied) if owner == user), "")
    if slot and isinstance(ask, Continue):
        return Continue(slot)
    if slot and isinstance(ask, Write) and line is None:
        return Continue(slot, ask.prompt, ask.temperature)
    return ask


def parse_words(text: str) -> Ask:
    """Returns the text that words without a command ask for, of the user's own voice."""
    try:
        return parse_write(text, None)
    except TemperatureError as error:
        return Invalid("", error)


def continuing(data: Iterable[str]) -> Iterator[tuple[str, Continue]]:
    """Yields those of the buttons that continue a text, each with its owner. `data`: theirs."""
    for owner, ask in filter(None, map(buttons.decode, data)):
        if isinstance(ask, Continue):
            yield owner, ask


def name_of(ask: Ask) -> str:
    """Returns the name of the command that an `Ask` belongs to."""
    if isinstance(ask, Plain | Invalid):
        return ask.command
    return next(name for name, command in COMMANDS.items() if isinstance(ask, command.ask))


def is_private(ask: Ask) -> bool:
    """Returns whether only the user sees the reply, whatever it says."""
    command = COMMANDS.get(name_of(ask))
    return command is None or command.private or isinstance(ask, Invalid)


@dataclass(slots=True)
class _Request:
    """Where a request came from; once `is_localized`, with what is stored about the user, which is read once."""

    where: Where
    is_localized: bool = False


class Commands(Context):
    """The bot's commands on a generator and a store, the same for every platform."""

    closing = False
    """Whether every new request is answered with the news that the bot restarts."""

    def summary(self, locale: str = "", voice: str = "") -> str:
        """Returns what the bot is at this moment, or a voice by its name, in one line."""
        manifest = (self.voices.get(voice) or self.voice).manifest
        bits = float(manifest.metrics["valid_bits_per_character"])
        say = language.of(locale).say
        return say("summary", version=manifest.version, bits=bits, corpus=manifest.corpus.name)

    def known_to(self, platform: str, user: str) -> Mapping[str, Command]:
        """Returns the commands that exist for this user, by name."""
        return commands_of(self, Where(platform, "", user))

    async def handle(self, ask: Ask, where: Where) -> Reply:
        """Does what was asked. Every error becomes a reply here; only cancellation passes through."""
        ask = self._resolve(ask)
        name, known = self._name_of(ask), commands_of(self, where)
        label = name if name in known else "unknown"  # what users type is not logged
        request = _Request(where)
        return await self._answer(label, request, self._run(ask, request, known))

    def parse_inline(self, text: str) -> Ask:
        """Returns the text that "[voice] [temperature] [prompt]" asks for."""
        voice, rest = self.split_voice(text)
        return parse_words(text) if voice is None else self._resolve(Plain(voice.command, rest))

    def user_commands(self) -> dict[str, Command]:
        """Returns the commands that every user has, by name, in the order of menus."""
        return user_commands(self)

    def split_voice(self, text: str) -> tuple[Voice | None, str]:
        """Returns the voice whose command a text begins with, and the rest; none where there is only one."""
        word, _, rest = text.strip().partition(" ")
        voices = self.voices.values() if len(self.voices) > 1 else ()
        voice = next((voice for voice in voices if voice.command == word.lower()), None)
        return voice, text if voice is None else rest.strip()

    def _resolve(self, ask: Ask) -> Ask:
        """Returns what is asked for when the voices are known: only their names and commands are not constants."""
        if isinstance(ask, Plain):
            named = next((each.name for each in self.voices.values() if each.command == ask.command), None)
            try:
                return ask if named is None else parse_write(ask.arguments, named)
            except TemperatureError as error:
                return Invalid(ask.command, error)
        if isinstance(ask, Ladder) and ask.voice is None:
            voice, prompt = self.split_voice(ask.prompt)
            return ask if voice is None else Ladder(prompt, ask.ignored, voice.name)
        return ask

    def _name_of(self, ask: Ask) -> str:
        """Returns the name of the command that an `Ask` belongs to; of a text, that of its voice."""
        if isinstance(ask, Write):
            return (self.voices.get(ask.voice or "") or self.voice).command
        if isinstance(ask, Invalid) and ask.command in ("", nietzsche.name):
            return self.voice.command
        return name_of(ask)

    async def press(self, data: str, where: Where) -> Reply:
        """Does what a button asks for, for the user whose button it is. `data`: the `Action.data` of the button."""
        request = _Request(where)
        return await self._answer("button", request, self._press(data, request))

    async def suggest(self, where: Where, *, default: bool = True) -> dict[float, str]:
        """Returns temperatures to offer, with their labels: the user's own, the `default`, and a few others.

        None where they may not use the bot.
        """
        if not self.allows(where):
            return {}
        if where.preferences is None:
            where = await self.localized(where)
        own = where.preferences.temperature if where.preferences else None
        return messages.suggestions(own, self.settings.sampling.temperature if default else None, where.say)

    async def values(self, command: str, where: Where) -> dict[str, str]:
        """Returns what may follow a typed command that sets something: each value with its label."""
        if command == "/language":
            names = {tag: each.name for tag, each in language.languages().items()}
            return names | {"auto": where.say("button-automatic")}
        if command in {"/temperature", *(f"/{voice.command}" for voice in self.voices.values())}:
            return {f"{value:g}": label for value, label in (await self.suggest(where)).items()}
        return {}

    async def refusal(self, message: str, where: Where) -> Reply:
        """Returns a message that says why something is not done, in the user's language."""
        where = await self.localized(where)
        return Reply.refusal(where.say(message), where.spoken.tag)

    def welcome(self, locale: str) -> Reply:
        """Returns how the bot works in one line, for a chat that it is added to."""
        say = language.of(locale).say
        return Reply(say("welcome", book=messages.title(self.voice, say), voice=self.voice.command))

    async def moved(self, platform: str, old: str, new: str) -> None:
        """Moves what is stored for a chat to its new identifier."""
        try:
            await self.store.move_chat(platform, old, new)
        except StoreError as error:
            log.error("chat.migration_failed platform=%s reason=%s", platform, error)
        else:
            log.info("chat.migrated platform=%s", platform)

    async def localized(self, where: Where) -> Where:
        """Returns `where` with what is stored about the user and the group; with the defaults if the store fails."""
        with suppress(StoreError, TimeoutError):  # the reply comes in the platform's language then
            async with asyncio.timeout(LANGUAGE_TIMEOUT_SECONDS):
                return await self.informed(where)
        return replace(where, defaults=self.defaults, command=self.voice.command)

    async def _localize(self, request: _Request) -> Where:
        if not request.is_localized:
            request.where, request.is_localized = await self.localized(request.where), True
        return request.where

    async def _answer(self, label: str, request: _Request, work: Coroutine[Any, Any, Reply]) -> Reply:
        began, outcome, where = time.perf_counter(), "cancelled", request.where
        with logs.request():
            try:
                if not self.allows(where):
                    work.close()
                    raise Refused("not-allowed")
                reply = await work
                outcome = reply.kind.value
            except Exception as error:
                outcome = "failed"
                if isinstance(error, messages.EXPECTED):
                    outcome = "refused"
                elif isinstance(error, ShuttingDown):
                    outcome = "restarting"
                elif not (isinstance(error, WeightsError) and self.reload is not None):  # which has logged it
                    # Any other may be a defect.
                    reported = isinstance(error, StoreError | Unavailable | WeightsError | ConfigError | InvalidRequest)
                    log.error("command.failed command=%s reason=%s", label, error, exc_info=None if reported else error)
                where = await self._localize(request)
                passing = isinstance(error, CooldownActive | TooManyRequests | Overloaded)
                silent = self.ignores(where) or isinstance(error, Cancelled)
                text = "" if silent else messages.explain(error, where.say)
                reply = Reply.refusal(text, where.spoken.tag, passing=passing)
                reply = replace(reply, outdated=isinstance(error, Outdated))
            finally:
                self.observer.answered(where.platform, label, outcome, time.perf_counter() - began)
        return reply

    async def _press(self, data: str, request: _Request) -> Reply:
        button = buttons.decode(data)
        if button is None:
            raise Outdated("no-such-button")
        if button.owner != request.where.user:
            raise Refused("not-your-text")
        return await self._run(button.ask, request, commands_of(self, request.where))

    async def _run(self, ask: Ask, request: _Request, known: Mapping[str, Command]) -> Reply:
        where, name = request.where, self._name_of(ask)
        command = known.get(name)
        if command is None:
            nearest = difflib.get_close_matches(name, known, n=1)
            typed = messages.echo(name)
            if nearest:
                raise Refused("unknown-command-nearest", command=typed, nearest=nearest[0])
            raise Refused("unknown-command", command=typed)
        if self.closing:
            raise ShuttingDown
        if isinstance(ask, Invalid):
            if isinstance(ask.error, TemperatureError):
                where = await self._localize(request)
                told = Reply.refusal(messages.explain(ask.error, where.say), where.spoken.tag)
                voice = next((each.name for each in self.voices.values() if each.command == ask.command), "")
                return replace(told, actions=buttons.nearest(where, name, ask.error, voice))
            raise ask.error
        if where.public and name in OPERATOR_COMMANDS:
            raise Refused("only-in-private", command=name)
        async with (
            self.stoppable(where) if command.writes else nullcontext(),
            self.admission.one_at_a_time(where.user_key) if command.exclusive else nullcontext(),
        ):
            where = await self._localize(request)  # when it is the user's turn: not before what they asked for earlier
            if command.writes and where.chosen.access == ADMINISTRATORS and not await where.administers():
                raise Refused("administrators-write")
            reply = await command.run(self, ask, where)
        return replace(reply, private=reply.private or command.private, locale=reply.locale or where.spoken.tag)

"""The commands there are, and what runs them: an `Ask` in, a `Reply` out, also for errors."""

from __future__ import annotations

import asyncio
import difflib
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Final

from bot import logs
from bot.config.loader import ConfigError
from bot.core import buttons, language, messages
from bot.core.ask import Ask, Continue, Invalid, Ladder, Plain, Set, Where, Write
from bot.core.commands.command import Command, Context
from bot.core.commands.info import about, cancel, forgetme, privacy, reload, start, stats, surprise, voices
from bot.core.commands.settings import language_, length, settings, temperature
from bot.core.commands.writing import again, continue_, ladder, nietzsche, parse_write
from bot.core.parsing import Line, TemperatureError, parse_line
from bot.core.reply import Action, Cancelled, Outdated, Passing, Refused, Reply
from bot.core.voice import Voice
from bot.store.errors import StoreError
from bot.store.store import ADMINISTRATORS
from generator import InvalidRequest, Overloaded, ShuttingDown, Unavailable, WeightsError

log = logging.getLogger(__name__)


@Command("help", private=True)
async def help_(context: Commands, _: Ask, where: Where) -> Reply:
    """Lists the commands that the user has."""
    say, lines = where.say, []
    for command in context.known_to(where).values():
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


def parse(name: str, arguments: str) -> Ask:
    """Returns what a typed command asks for; `arguments` is what follows its name."""
    command = COMMANDS.get(name)
    if command is None:
        return Plain(name, arguments)
    try:
        if command.bare and arguments:
            raise Refused("no-argument", command=name)
        if command.parse is not None:
            return command.parse(arguments)
        return Plain(name) if command.ask is Plain else command.ask()
    except (TemperatureError, Refused) as error:
        return Invalid(name, error)


def parse_message(text: str, user: str = "", replied: Iterable[str] = ()) -> Ask:
    """Returns what a message to the bot asks for: a command, by its name alone too, or a text with that prompt.

    `replied`: the data of the buttons under the message of the bot that it replies to. If those are the user's, the
    message continues that text.
    """
    name = text.strip().lower()
    line = parse_line(text) or (Line(name, "") if name in USER_COMMANDS else None)
    ask = parse_write(text, None, "") if line is None else parse(*line)
    slot = next((ask.slot for owner, ask in continuing(replied) if owner == user), "")
    if slot and isinstance(ask, Continue):
        return Continue(slot)
    if slot and isinstance(ask, Write) and line is None:
        return Continue(slot, ask.prompt, ask.temperature)
    return ask


def continuing(data: Iterable[str]) -> Iterator[tuple[str, Continue]]:
    """Yields those of the buttons that continue a text, each with its owner. `data`: theirs."""
    for owner, ask in filter(None, map(buttons.decode, data)):
        if isinstance(ask, Continue):
            yield owner, ask


def name_of(ask: Ask) -> str:
    """Returns the name of the command that an `Ask` belongs to."""
    if isinstance(ask, Plain | Invalid | Set):
        return ask.command
    return next(name for name, command in COMMANDS.items() if isinstance(ask, command.ask))


def is_private(ask: Ask) -> bool:
    """Returns whether only the user sees the reply, whatever it says."""
    command = COMMANDS.get(name_of(ask))
    return command is None or command.private or isinstance(ask, Invalid)


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

    def user_commands(self) -> dict[str, Command]:
        """Returns the commands that every user has, by name, in the order of menus: first those of the voices."""
        of_voices = {voice.command: nietzsche.of(voice) for voice in self.voices.values()}
        return of_voices | {name: command for name, command in USER_COMMANDS.items() if name != nietzsche.name}

    def known_to(self, where: Where) -> Mapping[str, Command]:
        """Returns the commands that exist for this user, by name."""
        return self.user_commands() | (OPERATOR_COMMANDS if self.is_operator(where) else {})

    async def handle(self, ask: Ask, where: Where) -> Reply:
        """Does what was asked. Every error becomes a reply here; only cancellation passes through."""
        return await self._answer(self._resolve(ask), where)

    async def press(self, data: str, where: Where) -> Reply:
        """Does what a button asks for, for the user whose button it is. `data`: the `Action.data` of the button."""
        owner, ask = buttons.decode(data) or (where.user, Invalid("", Outdated("no-such-button")))
        if owner != where.user:
            ask = Invalid("", Refused("not-your-text"))
        return await self._answer(ask, where, "button")

    def parse_inline(self, text: str) -> Ask:
        """Returns the text that "[voice] [temperature] [prompt]" asks for."""
        voice, rest = self.split_voice(text)
        return parse_write(text, None, "") if voice is None else parse_write(rest, voice.name, voice.command)

    def split_voice(self, text: str) -> tuple[Voice | None, str]:
        """Returns the voice whose command a text begins with, and the rest; none where there is only one."""
        word, _, rest = text.strip().partition(" ")
        voice = self.voice_with(word.lower()) if len(self.voices) > 1 else None
        return voice, text if voice is None else rest.strip()

    def _resolve(self, ask: Ask) -> Ask:
        """Returns what is asked for when the voices are known: only their names and commands are not constants."""
        if isinstance(ask, Plain) and (voice := self.voice_with(ask.command)):
            return parse_write(ask.arguments, voice.name, ask.command)
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

    async def suggest(self, where: Where, *, default: bool = True) -> dict[float, str]:
        """Returns temperatures to offer, with their labels: the user's own, the `default`, and a few others.

        None where they may not use the bot.
        """
        if not self.allows(where):
            return {}
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
        """Returns `where` with what is stored about the user and the group; with the defaults if the store fails.

        What has been read is not read again.
        """
        if where.defaults.temperature is not None:
            return where
        with suppress(StoreError, TimeoutError):  # the reply comes in the platform's language then
            async with asyncio.timeout(1.0):
                return await self.informed(where)
        return replace(where, defaults=self.defaults, command=self.voice.command)

    async def _answer(self, ask: Ask, where: Where, label: str = "") -> Reply:
        """Does what was asked, and counts it by the `label`, by default the command's name."""
        name, known = self._name_of(ask), self.known_to(where)
        label = label or (name if name in known else "unknown")  # what users type is not logged
        began, outcome = time.perf_counter(), "cancelled"
        with logs.request():
            try:
                if not self.allows(where):
                    raise Refused("not-allowed")
                command = self._command(name, ask, where, known)
                alone = command.exclusive or command.writes
                async with (
                    self.stoppable(where) if command.writes else nullcontext(),
                    self.admission.one_at_a_time(where.user_key) if alone else nullcontext(),
                ):
                    where = await self.localized(where)  # not before what the user asked for earlier is done
                    if command.writes and where.chosen.access == ADMINISTRATORS and not await where.administers():
                        raise Refused("administrators-write")
                    reply = await command.run(self, ask, where)
                reply = replace(
                    reply, private=reply.private or command.private, locale=reply.locale or where.spoken.tag
                )
                outcome = reply.kind.value
            except Exception as error:  # noqa: BLE001 - `_outcome` logs it
                outcome = self._outcome(error, label)
                where = await self.localized(where)
                reply = self._refusal(error, ask, where)
            finally:
                self.observer.answered(where.platform, label, outcome, time.perf_counter() - began)
        return reply

    def _command(self, name: str, ask: Ask, where: Where, known: Mapping[str, Command]) -> Command:
        """Returns the command that does what is asked, or raises why none does."""
        if name not in known:
            typed, nearest = messages.echo(name), difflib.get_close_matches(name, known, n=1)
            if nearest:
                raise Refused("unknown-command-nearest", command=typed, nearest=nearest[0])
            raise Refused("unknown-command", command=typed)
        if self.closing:
            raise ShuttingDown
        if isinstance(ask, Invalid):
            raise ask.error
        if where.public and name in OPERATOR_COMMANDS:
            raise Refused("only-in-private", command=name)
        return known[name]

    def _outcome(self, error: Exception, label: str) -> str:
        """Returns how a request ended that raised an error, and logs what may be a defect."""
        if isinstance(error, messages.EXPECTED):
            return "refused"
        if isinstance(error, ShuttingDown):
            return "restarting"
        if not isinstance(error, WeightsError):  # which the reload has logged
            reported = isinstance(error, StoreError | Unavailable | ConfigError | InvalidRequest)
            log.error("command.failed command=%s reason=%s", label, error, exc_info=None if reported else error)
        return "failed"

    def _refusal(self, error: Exception, ask: Ask, where: Where) -> Reply:
        silent = self.ignores(where) or isinstance(error, Cancelled)
        text = "" if silent else messages.explain(error, where.say)
        actions: tuple[Action, ...] = ()
        if isinstance(ask, Invalid) and isinstance(error, TemperatureError):
            actions = buttons.nearest(where, ask.command, error, self.voice_with(ask.command))
        reply = Reply.refusal(text, where.spoken.tag, passing=isinstance(error, Passing | Overloaded))
        return replace(reply, actions=actions, outdated=isinstance(error, Outdated))

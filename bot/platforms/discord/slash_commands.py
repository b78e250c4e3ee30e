"""The bot's commands as Discord knows them: options with their ranges, both languages, where they may be used."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import discord
from discord import app_commands
from discord.app_commands import locale_str

from bot.core import messages
from bot.core.ask import Ask, Ladder, Write
from bot.core.commands import COMMANDS, operator_commands, parse, user_commands
from bot.core.parsing import TemperatureError, parse_temperature
from bot.core.reply import Suggestion
from generator.types import MAX_LENGTH, MAX_PROMPT, MAX_TEMPERATURE, MIN_TEMPERATURE, Temperature

MAX_CHOICES: Final = 25
"""Suggestions for an option
(https://discord.com/developers/docs/interactions/application-commands#application-command-object-application-command-option-structure)."""
MAX_CHOICE_NAME: Final = 100
"""Characters of a suggestion's name (same page)."""
_MAX_VALUE: Final = 32
"""Characters of what is typed behind /temperature: longer than any number that makes sense."""

Number = app_commands.Range[float, MIN_TEMPERATURE, MAX_TEMPERATURE]
Prompt = app_commands.Range[str, 1, MAX_PROMPT]
Length = app_commands.Range[int, 1, MAX_LENGTH]
TypedTemperature = app_commands.Range[str, 1, _MAX_VALUE]
Command = app_commands.Command[Any, ..., None]


HandleAsk = Callable[[discord.Interaction[Any], Ask], Awaitable[None]]
"""Has an `Ask` handled, and answers the interaction."""
Suggest = Callable[[discord.Interaction[Any]], Awaitable[list[Suggestion]]]
"""Temperatures for the user to choose from."""


class Portuguese(app_commands.Translator):
    """Brazilian Portuguese, from the `portuguese` that a `locale_str` brings along; other languages see English."""

    async def translate(
        self,
        string: locale_str,
        locale: discord.Locale,
        context: app_commands.TranslationContextTypes,  # noqa: ARG002 - the interface has it
    ) -> str | None:
        """The Portuguese text; `None` where there is none, or for another language."""
        return string.extras.get("portuguese") if locale is discord.Locale.brazil_portuguese else None


def commands(ask: HandleAsk, suggest: Suggest, *, for_operators: bool) -> list[Command]:
    """All commands. `for_operators`: with those that only the operators have.

    Discord cannot show a command to some persons and hide it from others. What comes closest: those of the operators
    exist on servers alone, not in direct messages, and there for nobody but the administrators until they allow
    others; to anybody who is not an operator, `ask` says that there is no such command.

    The names of commands are the same in both languages, since the replies name commands.
    """
    made = [_nietzsche(ask, suggest), _ladder(ask), _temperature(ask, suggest)]
    named = {command.name for command in made}
    made += [_plain(name, ask) for name in user_commands() if name not in named]
    if for_operators:
        made += [_operators(name, ask) for name in operator_commands()]
    return made


async def definition(tree: app_commands.CommandTree[Any]) -> str:
    """A hash of everything that Discord is told about the commands."""
    translator = tree.translator or Portuguese()
    told = [await command.get_translated_payload(tree, translator) for command in tree.get_commands()]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _nietzsche(ask: HandleAsk, suggest: Suggest) -> Command:
    # A number, so that Discord itself refuses 3 or "warm" while one types. It also refuses 0,7; but what one types is
    # completed as it is typed, and behind 0,7 stands the suggestion 0.7. And `str`, because discord.py takes a number
    # for a text when Discord sends one, as for an option of an earlier version.
    async def run(
        interaction: discord.Interaction,
        temperature: Number | None = None,
        prompt: Prompt | None = None,
        length: Length | None = None,
    ) -> None:
        number = None if temperature is None else Temperature(temperature)
        await ask(interaction, Write(number, str(prompt or ""), length))

    command = Command(name="nietzsche", description=_purpose("nietzsche"), callback=_optioned("nietzsche", run))

    async def complete(interaction: discord.Interaction, typed: Any) -> list[app_commands.Choice[float]]:
        offered = _offered(await suggest(interaction), typed)
        return [app_commands.Choice(name=label, value=value) for value, label in offered]

    command.autocomplete("temperature")(complete)
    return command


def _ladder(ask: HandleAsk) -> Command:
    async def run(interaction: discord.Interaction, prompt: Prompt | None = None) -> None:
        await ask(interaction, Ladder(str(prompt or "")))

    return Command(name="ladder", description=_purpose("ladder"), callback=_optioned("ladder", run))


def _temperature(ask: HandleAsk, suggest: Suggest) -> Command:
    # A text, since "default" is a value too. The core reads it, 0,7 included.
    async def run(interaction: discord.Interaction, value: TypedTemperature | None = None) -> None:
        await ask(interaction, parse("temperature", str(value or "")))

    command = Command(name="temperature", description=_purpose("temperature"), callback=_optioned("temperature", run))

    async def complete(interaction: discord.Interaction, typed: Any) -> list[app_commands.Choice[str]]:
        offered = _offered(await suggest(interaction), typed)
        return [app_commands.Choice(name=label, value=messages.number(value)) for value, label in offered]

    command.autocomplete("value")(complete)
    return command


def _plain(name: str, ask: HandleAsk) -> Command:
    async def run(interaction: discord.Interaction) -> None:
        await ask(interaction, parse(name, ""))

    return Command(name=name, description=_purpose(name), callback=run)


def _operators(name: str, ask: HandleAsk) -> Command:
    command = _plain(name, ask)
    command.default_permissions = discord.Permissions.none()
    command.allowed_contexts = app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False)
    command.allowed_installs = app_commands.AppInstallationType(guild=True, user=False)
    return command


def _purpose(name: str) -> locale_str:
    spec = COMMANDS[name]
    return locale_str(spec.purpose, portuguese=spec.portuguese)


def _optioned(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
    """Names and describes the options of a command's callback."""
    notes = COMMANDS[name].options
    names = {name: locale_str(name, portuguese=note.portuguese_name) for name, note in notes.items()}
    purposes = {name: locale_str(note.purpose, portuguese=note.portuguese) for name, note in notes.items()}
    app_commands.rename(**names)(run)
    app_commands.describe(**purposes)(run)
    return run


def _offered(suggestions: list[Suggestion], typed: Any) -> list[tuple[float, str]]:
    """Values and labels: what stands in the option already, if it is a temperature however written, then the others.

    `typed` is what Discord sends of an unfinished option; discord.py makes a NaN of nothing in one for numbers.
    """
    offered = {suggestion.value: suggestion.label[:MAX_CHOICE_NAME] for suggestion in suggestions}
    with contextlib.suppress(TemperatureError):
        value = parse_temperature(str(typed).strip())
        offered = {value: offered.get(value, messages.number(value))} | offered
    return list(offered.items())[:MAX_CHOICES]

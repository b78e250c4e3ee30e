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
from generator.sampling_params import MAX_TEMPERATURE, MIN_TEMPERATURE, Temperature
from generator.types import MAX_LENGTH, MAX_PROMPT

MAX_CHOICES: Final = 25
"""Suggestions for an option
(https://discord.com/developers/docs/interactions/application-commands#application-command-object-application-command-option-structure)."""
MAX_CHOICE_NAME: Final = 100
"""Characters of a suggestion's name (same page)."""
_MAX_VALUE: Final = 32
"""Characters of the argument of /temperature: longer than any number that makes sense."""

Number = app_commands.Range[float, MIN_TEMPERATURE, MAX_TEMPERATURE]
Prompt = app_commands.Range[str, 1, MAX_PROMPT]
Length = app_commands.Range[int, 1, MAX_LENGTH]
TypedTemperature = app_commands.Range[str, 1, _MAX_VALUE]
Command = app_commands.Command[Any, ..., None]

HandleAsk = Callable[[discord.Interaction[Any], Ask], Awaitable[None]]
"""Handles an `Ask` and answers the interaction."""
Suggest = Callable[[discord.Interaction[Any]], Awaitable[dict[float, str]]]
"""Returns temperatures for the user to choose from."""


class Portuguese(app_commands.Translator):
    """Brazilian Portuguese, from the `portuguese` of a `locale_str`; other languages see English."""

    async def translate(
        self,
        string: locale_str,
        locale: discord.Locale,
        context: app_commands.TranslationContextTypes,  # noqa: ARG002 - the interface has it
    ) -> str | None:
        """Returns the Portuguese text; None where there is none, and for other languages."""
        return string.extras.get("portuguese") if locale is discord.Locale.brazil_portuguese else None


def commands(handle: HandleAsk, suggest: Suggest, *, for_operators: bool) -> list[Command]:
    """Returns all commands. `for_operators`: with those of the operators.

    Discord cannot show a command to some users and hide it from others. What comes closest: those of the operators
    exist on servers alone, and there for administrators alone until they allow others; to a user who is no operator,
    `handle` says that there is no such command.

    The names of commands are the same in both languages, since the replies name commands.
    """
    made = [_nietzsche(handle, suggest), _ladder(handle), _temperature(handle, suggest)]
    named = {command.name for command in made}
    made += [_plain(name, handle) for name in user_commands() if name not in named]
    if for_operators:
        made += [_for_operators(_plain(name, handle)) for name in operator_commands()]
    return made


async def definition(tree: app_commands.CommandTree[Any]) -> str:
    """Returns a hash of everything that Discord is told about the commands."""
    translator = tree.translator or Portuguese()
    told = [await command.get_translated_payload(tree, translator) for command in tree.get_commands()]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _nietzsche(handle: HandleAsk, suggest: Suggest) -> Command:
    # A number, so that Discord refuses 3 or "warm" while the user types. It also refuses 0,7, but offers the suggestion
    # 0.7 for that. And `str`, because discord.py takes a number for a text when Discord sends one, as for an option of
    # an earlier version.
    async def run(
        interaction: discord.Interaction,
        temperature: Number | None = None,
        prompt: Prompt | None = None,
        length: Length | None = None,
    ) -> None:
        number = None if temperature is None else Temperature(temperature)
        await handle(interaction, Write(number, str(prompt or ""), length))

    command = _command("nietzsche", run)
    command.autocomplete("temperature")(_completion(suggest, float))
    return command


def _ladder(handle: HandleAsk) -> Command:
    async def run(interaction: discord.Interaction, prompt: Prompt | None = None) -> None:
        await handle(interaction, Ladder(str(prompt or "")))

    return _command("ladder", run)


def _temperature(handle: HandleAsk, suggest: Suggest) -> Command:
    # A text, since "default" is a value too.
    async def run(interaction: discord.Interaction, value: TypedTemperature | None = None) -> None:
        await handle(interaction, parse("temperature", str(value or "")))

    command = _command("temperature", run)
    command.autocomplete("value")(_completion(suggest, messages.number))
    return command


def _plain(name: str, handle: HandleAsk) -> Command:
    async def run(interaction: discord.Interaction) -> None:
        await handle(interaction, parse(name, ""))

    return _command(name, run)


def _for_operators(command: Command) -> Command:
    command.default_permissions = discord.Permissions.none()
    command.allowed_contexts = app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False)
    command.allowed_installs = app_commands.AppInstallationType(guild=True, user=False)
    return command


def _command(name: str, run: Callable[..., Any]) -> Command:
    """Returns a command with the notes, also of its options, that the core declares."""
    spec = COMMANDS[name]
    options = spec.options.items()
    app_commands.rename(**{key: locale_str(key, portuguese=note.portuguese_name) for key, note in options})(run)
    app_commands.describe(**{key: locale_str(note.purpose, portuguese=note.portuguese) for key, note in options})(run)
    return Command(name=name, description=locale_str(spec.purpose, portuguese=spec.portuguese), callback=run)


def _completion(suggest: Suggest, value_of: Callable[[float], float | str]) -> Callable[..., Any]:
    """Returns what completes a temperature: first the one that is typed, however it is written, then suggestions."""

    async def complete(interaction: discord.Interaction, typed: Any) -> list[app_commands.Choice[Any]]:
        offered = {value: label[:MAX_CHOICE_NAME] for value, label in (await suggest(interaction)).items()}
        with contextlib.suppress(TemperatureError):  # discord.py makes a NaN of an unfinished number
            value = parse_temperature(str(typed).strip())
            offered = {value: offered.get(value, messages.number(value))} | offered
        choices = [app_commands.Choice(name=label, value=value_of(value)) for value, label in offered.items()]
        return choices[:MAX_CHOICES]

    return complete

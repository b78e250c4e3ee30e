"""The bot's commands as Discord knows them: options with their ranges, both languages, where they may be used."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import discord
from discord import app_commands
from discord.app_commands import locale_str

from bot.core import messages
from bot.core.ask import Ask, Ladder, Write
from bot.core.commands import COMMANDS, operator_commands, parse, user_commands
from bot.core.parsing import TemperatureError, parse_temperature
from bot.store.store import Store
from generator.sampling_params import MAX_TEMPERATURE, MIN_TEMPERATURE, Temperature
from generator.types import MAX_LENGTH, MAX_PROMPT

_MAX_VALUE: Final = 32
"""Characters of the argument of /temperature: longer than any number that makes sense."""

Number = app_commands.Range[float, MIN_TEMPERATURE, MAX_TEMPERATURE]
Prompt = app_commands.Range[str, 1, MAX_PROMPT]
Length = app_commands.Range[int, 1, MAX_LENGTH]
TypedTemperature = app_commands.Range[str, 1, _MAX_VALUE]
Interaction = discord.Interaction[Any]
Command = app_commands.Command[Any, ..., None]
Handle = Callable[[Interaction, Ask | None], Awaitable[None]]
"""Does what was asked and answers the interaction. None: that it could not be understood."""
Suggest = Callable[[Interaction], Awaitable[dict[float, str]]]
"""Returns temperatures for the user to choose from, with their labels."""
log = logging.getLogger(__name__)


class CommandTree(app_commands.CommandTree[Any]):
    """The commands, for servers, direct messages, and everywhere else where a user installed the app.

    `for_operators`: with those of the operators. Discord cannot show a command to some users and hide it from others.
    What comes closest: those of the operators exist on servers alone, and there for administrators alone until they
    allow others; to a user who is no operator, `handle` says that there is no such command.
    """

    def __init__(self, client: discord.Client, handle: Handle, suggest: Suggest, *, for_operators: bool) -> None:
        super().__init__(
            client,
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
        )
        self._handle = handle
        self._suggest = suggest
        made = {command.name: command for command in (self._nietzsche(), self._ladder(), self._temperature())}
        for name in user_commands():
            self.add_command(made.get(name) or self._plain(name))
        for name in operator_commands() if for_operators else ():
            command = self._plain(name)
            command.default_permissions = discord.Permissions.none()
            command.allowed_contexts = app_commands.AppCommandContext(
                guild=True, dm_channel=False, private_channel=False
            )
            command.allowed_installs = app_commands.AppInstallationType(guild=True, user=False)
            self.add_command(command)

    async def register(self, store: Store, *, force: bool = False) -> bool:
        """Tells Discord about the commands if they changed since the last time, or if `force`; returns whether it did.

        Raises `discord.DiscordException` or `StoreError`.
        """
        translator = _Portuguese()
        await self.set_translator(translator)
        told = [await command.get_translated_payload(self, translator) for command in self.get_commands()]
        key = f"discord.commands.{self.client.application_id}"
        now = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        if not force and await store.setting(key) == now:
            return False
        registered = await self.sync()
        await store.set_setting(key, now)
        log.info("discord.commands_synced count=%d", len(registered))
        return True

    async def _call(self, interaction: Interaction) -> None:
        """Turns an interaction into a call of a command.

        Options of an unexpected form break discord.py's parsing, and asyncio would log that with the options in it.
        Raised as an `AppCommandError` it reaches `on_error`.
        """
        try:
            await super()._call(interaction)
        except app_commands.AppCommandError:
            raise
        except Exception as error:  # noqa: BLE001 - `on_error` logs it
            raise app_commands.AppCommandError(type(error).__name__) from None

    async def on_error(self, interaction: Interaction, error: app_commands.AppCommandError, /) -> None:
        """Answers a command that failed, or that Discord knows in another form than this version of the bot.

        Some of these errors contain what was typed, so only their kind is logged.
        """
        log.warning("discord.command_not_understood error=%s", type(getattr(error, "original", error)).__name__)
        if interaction.type is not discord.InteractionType.autocomplete:
            ask = parse(error.name, "") if isinstance(error, app_commands.CommandNotFound) else None
            await self._handle(interaction, ask)

    # ---- commands -------------------------------------------------------------------------------------------------

    def _nietzsche(self) -> Command:
        # A number, so that Discord refuses 3 or "warm" while the user types. It also refuses 0,7, but offers the
        # suggestion 0.7 for that. And `str`, because discord.py takes a number for a text when Discord sends one, as
        # for an option of an earlier version.
        async def run(
            interaction: discord.Interaction,
            temperature: Number | None = None,
            prompt: Prompt | None = None,
            length: Length | None = None,
        ) -> None:
            number = None if temperature is None else Temperature(temperature)
            await self._handle(interaction, Write(number, str(prompt or ""), length))

        command = _command("nietzsche", run)
        command.autocomplete("temperature")(self._completion(float))
        return command

    def _ladder(self) -> Command:
        async def run(interaction: discord.Interaction, prompt: Prompt | None = None) -> None:
            await self._handle(interaction, Ladder(str(prompt or "")))

        return _command("ladder", run)

    def _temperature(self) -> Command:
        # A text, since "default" is a value too.
        async def run(interaction: discord.Interaction, value: TypedTemperature | None = None) -> None:
            await self._handle(interaction, parse("temperature", str(value or "")))

        command = _command("temperature", run)
        command.autocomplete("value")(self._completion(messages.number))
        return command

    def _plain(self, name: str) -> Command:
        async def run(interaction: discord.Interaction) -> None:
            await self._handle(interaction, parse(name, ""))

        return _command(name, run)

    def _completion(self, value_of: Callable[[float], float | str]) -> Callable[..., Any]:
        """Returns what completes a temperature: first the one that is typed, however it is written."""

        async def complete(interaction: discord.Interaction, typed: Any) -> list[app_commands.Choice[Any]]:
            offered = await self._suggest(interaction)
            with contextlib.suppress(TemperatureError):  # discord.py makes a NaN of an unfinished number
                value = parse_temperature(str(typed).strip())
                offered = {value: offered.get(value, messages.number(value))} | offered
            return [app_commands.Choice(name=label, value=value_of(value)) for value, label in offered.items()]

        return complete


class _Portuguese(app_commands.Translator):
    """Brazilian Portuguese, from the `portuguese` of a `locale_str`; other languages see English.

    The names of commands are the same in both languages, since the replies name commands.
    """

    async def translate(self, string: locale_str, locale: discord.Locale, _context: Any) -> str | None:
        return string.extras.get("portuguese") if locale is discord.Locale.brazil_portuguese else None


def _command(name: str, run: Callable[..., Any]) -> Command:
    """Returns a command with the notes, also of its options, that the core declares."""
    spec = COMMANDS[name]
    options = spec.options.items()
    app_commands.rename(**{key: locale_str(key, portuguese=note.portuguese_name) for key, note in options})(run)
    app_commands.describe(**{key: locale_str(note.purpose, portuguese=note.portuguese) for key, note in options})(run)
    return Command(name=name, description=locale_str(spec.purpose, portuguese=spec.portuguese), callback=run)

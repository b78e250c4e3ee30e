"""The bot's commands as Discord knows them: options with their ranges, every language, where they may be used."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import discord
from discord import app_commands
from discord.app_commands import locale_str

from bot.core import language
from bot.core.ask import Ask, Invalid, Ladder, Where, Write
from bot.core.commands import OPERATOR_COMMANDS, Commands, parse
from bot.core.commands.command import Command as Spec
from bot.core.messages import Say
from bot.core.parsing import TemperatureError, parse_temperature
from bot.core.reply import Refused
from bot.core.voice import Voice
from generator.sampling_params import MAX_TEMPERATURE, MIN_TEMPERATURE, Temperature
from generator.types import MAX_LENGTH, MAX_PROMPT

PLATFORM: Final = "discord"
SUGGESTION_SECONDS: Final = 30.0
"""How long suggestions are kept at most, since Discord asks for them at every key."""
Number = app_commands.Range[float, MIN_TEMPERATURE, MAX_TEMPERATURE]
Prompt = app_commands.Range[str, 1, MAX_PROMPT]
Length = app_commands.Range[int, 1, MAX_LENGTH]
Interaction = discord.Interaction[Any]
Command = app_commands.Command[Any, ..., None]
Handle = Callable[[Interaction, Ask], Awaitable[None]]
log = logging.getLogger(__name__)


class CommandTree(app_commands.CommandTree[Any]):
    """The commands, for servers, direct messages, and everywhere else where a user installed the app.

    `handle` answers an interaction. Discord cannot show a command to the bot's operators alone. So theirs, if it has
    any, exist on servers alone, and there for administrators alone until they allow others; to a user who is no
    operator, `core` says that there is no such command.
    """

    def __init__(self, client: discord.Client, core: Commands, handle: Handle) -> None:
        super().__init__(
            client,
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
        )
        self._core = core
        self._handle = handle
        self.suggestions: dict[int, tuple[Where, dict[float, str]]] = {}
        """Of each user: where they type, with their language, and temperatures to choose from, with their labels."""
        self._suggestions_expire = 0.0
        self.mentions: dict[str, str] = {}
        """See `render.Mentions`; those of the commands that Discord knows."""

    def _fill(self) -> None:
        """Adds the commands that there are now, in place of those before."""
        self.clear_commands(guild=None)
        for spec in self._core.user_commands().values():
            if spec.voice:
                self.add_command(self._writing(spec, spec.voice))
            else:
                make = {(): self._plain, ("prompt",): self._ladder, ("value",): self._typed}[spec.options]
                self.add_command(make(spec))
        has_operators = any(operator.startswith(f"{PLATFORM}:") for operator in self._core.settings.operators)
        for spec in OPERATOR_COMMANDS.values() if has_operators else ():
            command = self._plain(spec)
            app_commands.default_permissions()(command)
            app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)(command)
            app_commands.allowed_installs(guilds=True, users=False)(command)
            self.add_command(command)

    async def register(self, *, force: bool = False) -> None:
        """Tells Discord about the commands if they changed, or if `force`. Raises `DiscordException`, `StoreError`."""
        self._fill()
        translator = _Translator()
        await self.set_translator(translator)
        told = [await command.get_translated_payload(self, translator) for command in self.get_commands()]
        key, ids = (f"discord.{kind}.{self.client.application_id}" for kind in ("commands", "command_ids"))
        now = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        if force or await self._core.store.setting(key) != now:
            registered = await self.sync()
            await self._core.store.set_setting(ids, json.dumps({command.name: command.id for command in registered}))
            await self._core.store.set_setting(key, now)
            log.info("discord.commands_synced count=%d", len(registered))
        known = json.loads(await self._core.store.setting(ids) or "{}")
        self.mentions = {name: f"</{name}:{number}>" for name, number in known.items()}

    async def _call(self, interaction: Interaction) -> None:
        try:
            await super()._call(interaction)
        except app_commands.AppCommandError:
            raise
        except Exception as error:  # noqa: BLE001 - asyncio would log it, with the options that discord.py could not parse
            raise app_commands.AppCommandError(type(error).__name__) from None

    async def on_error(self, interaction: Interaction, error: app_commands.AppCommandError, /) -> None:
        """Answers a command that Discord knows in another form than this version of the bot."""
        kind = type(getattr(error, "original", error)).__name__  # the error may contain what was typed
        log.warning("discord.command_not_understood error=%s", kind)
        if interaction.type is discord.InteractionType.autocomplete:
            return
        if isinstance(error, app_commands.CommandNotFound):
            ask = parse(error.name, "")
        else:
            name = interaction.data["name"]  # type: ignore[index,typeddict-item] # a command has one
            ask = Invalid(name, Refused("outdated-form", command=name))
        await self._handle(interaction, ask)

    def _writing(self, spec: Spec, voice: Voice) -> Command:
        async def write(
            interaction: discord.Interaction,
            temperature: Number | None = None,  # so Discord refuses 3 or "warm" while the user types, and completes 0,7
            prompt: Prompt = "",  # comes as a number if it was one in an earlier version
            length: Length | None = None,
        ) -> None:
            number = None if temperature is None else Temperature(temperature)
            characters = None if length is None else int(length)  # comes as text if it was one in an earlier version
            if characters is not None and not 1 <= characters <= MAX_LENGTH:
                raise ValueError("no length of a text")
            await self._handle(interaction, Write(number, str(prompt), characters, voice=voice.name))

        command = _command(spec, write)
        command.autocomplete("temperature")(self._completion(float))
        return command

    def _ladder(self, spec: Spec) -> Command:
        async def ladder(interaction: discord.Interaction, prompt: Prompt = "") -> None:
            await self._handle(interaction, Ladder(str(prompt)))

        return _command(spec, ladder)

    def _typed(self, spec: Spec) -> Command:
        """Returns a command whose option is read as typed text is."""

        async def run(interaction: discord.Interaction, value: str = "") -> None:
            await self._handle(interaction, parse(spec.name, value))

        if spec.name == "language":
            app_commands.choices(value=_languages())(run)
        command = _command(spec, run)
        if spec.name == "temperature":  # "default" is a value too
            command.autocomplete("value")(self._completion("{:g}".format))
        return command

    def _plain(self, spec: Spec) -> Command:
        async def run(interaction: discord.Interaction) -> None:
            await self._handle(interaction, parse(spec.name, ""))

        return _command(spec, run)

    def _completion(self, value_of: Callable[[float], float | str]) -> Callable[..., Any]:
        """Returns what completes a temperature: first the one that is typed, however it is written."""

        async def complete(interaction: discord.Interaction, typed: Any) -> list[app_commands.Choice[Any]]:
            where, offered = await self._suggest(interaction)
            with contextlib.suppress(TemperatureError):  # discord.py makes a NaN of an unfinished number
                value = parse_temperature(str(typed).strip())
                offered = {value: offered.get(value) or where.say("suggestion-typed", temperature=value)} | offered
            return [app_commands.Choice(name=label, value=value_of(value)) for value, label in offered.items()]

        return complete

    async def _suggest(self, interaction: Interaction) -> tuple[Where, dict[float, str]]:
        user, now = interaction.user.id, time.monotonic()
        if now >= self._suggestions_expire:
            self.suggestions.clear()
            self._suggestions_expire = now + SUGGESTION_SECONDS
        if user not in self.suggestions:
            where = await self._core.localized(where_of(interaction))
            self.suggestions[user] = where, await self._core.suggest(where)
        return self.suggestions[user]


def where_of(interaction: Interaction) -> Where:
    """Returns where an interaction comes from. The chat is the channel or, where discord.py knows none, the user."""
    user = str(interaction.user.id)
    return Where(
        PLATFORM,
        str(interaction.channel_id or user),
        user,
        str(interaction.locale),
        has_fields=True,
        within=within_of(interaction.channel, interaction.guild_id),
        group=str(interaction.guild_id or ""),
        administers=partial(manages, interaction.permissions),
    )


async def manages(permissions: discord.Permissions) -> bool:
    """Returns whether they allow to change the settings of a server."""
    return permissions.manage_guild


def within_of(channel: object, guild: int | None) -> tuple[str, ...]:
    """Returns the identifiers of a thread's channel, and of a server."""
    parent = channel.parent_id if isinstance(channel, discord.Thread) else None
    return tuple(str(number) for number in (parent, guild) if number)


class _Translator(app_commands.Translator):
    """The other languages. The names of commands are the same as in English, since the replies name commands."""

    async def translate(self, string: locale_str, locale: discord.Locale, _context: Any) -> str | None:
        found, text = language.find(str(locale)), string.extras.get("text")
        return None if text is None or found is None or found.tag == language.ENGLISH else text(found.say)


def _languages() -> list[app_commands.Choice[str]]:
    automatic = app_commands.Choice(name=_translated(lambda say: say("button-automatic")), value="auto")
    return [*(app_commands.Choice(name=each.name, value=tag) for tag, each in language.languages().items()), automatic]


def _command(spec: Spec, run: Callable[..., Any]) -> Command:
    app_commands.rename(**{option: _translated(partial(spec.option_name, option)) for option in spec.options})(run)
    app_commands.describe(**{option: _translated(partial(spec.option_purpose, option)) for option in spec.options})(run)
    return Command(name=spec.name, description=_translated(spec.purpose), callback=run)


def _translated(text: Callable[[Say], str]) -> locale_str:
    """Returns a text in English that `_Translator` can translate."""
    return locale_str(text(language.of("").say), text=text)

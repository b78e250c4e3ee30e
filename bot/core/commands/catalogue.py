"""The commands there are, in the order of menus, and what typed text asks them for."""

from __future__ import annotations

from typing import Final

from bot.core.ask import Ask, Invalid, Plain, Where
from bot.core.commands.account import forgetme, temperature
from bot.core.commands.command import Command, Context
from bot.core.commands.info import about, reload, start, stats, surprise
from bot.core.commands.writing import again, continue_, ladder, nietzsche
from bot.core.parsing import TakesNoArgument
from bot.core.reply import Reply


@Command("help", "this list", "esta lista", private=True)
async def help_(context: Context, _: Ask, where: Where) -> Reply:
    """Lists the commands that the user has."""
    commands = user_commands() | (operator_commands() if context.is_operator(where) else {})
    return Reply.answer("\n".join(f"{command.usage} — {command.purpose}" for command in commands.values()))


COMMANDS: Final = {
    command.name: command
    for command in (
        *(nietzsche, continue_, again, temperature, ladder, surprise, about, forgetme, help_, start),
        *(reload, stats),
    )
}


def user_commands() -> dict[str, Command]:
    """Returns the commands that everybody has, by name."""
    return {name: command for name, command in COMMANDS.items() if not command.for_operators}


def operator_commands() -> dict[str, Command]:
    """Returns the commands that operators have besides, by name."""
    return {name: command for name, command in COMMANDS.items() if command.for_operators}


def parse(name: str, arguments: str) -> Ask:
    """Returns what a typed command asks for; `arguments` is what follows its name."""
    command = COMMANDS.get(name)
    if command is None:
        return Plain(name)
    if command.bare and arguments:
        return Invalid(name, TakesNoArgument(name))
    if command.parse is None:
        return Plain(name) if command.ask is Plain else command.ask()
    try:
        return command.parse(arguments)
    except ValueError as error:
        return Invalid(name, error)


def name_of(ask: Ask) -> str:
    """Returns the name of the command that an `Ask` belongs to."""
    if isinstance(ask, Plain | Invalid):
        return ask.command
    return next(name for name, command in COMMANDS.items() if isinstance(ask, command.ask))


def is_private(ask: Ask) -> bool:
    """Returns whether only the user sees the reply, whatever it says."""
    command = COMMANDS.get(name_of(ask))
    return command is None or command.private or isinstance(ask, Invalid)

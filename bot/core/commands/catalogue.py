"""The commands there are, in the order of menus."""

from __future__ import annotations

from typing import Final

from bot.core.ask import Ask, Help, Invalid, Unknown, Where
from bot.core.commands.account import FORGETME, TEMPERATURE
from bot.core.commands.info import ABOUT, START
from bot.core.commands.operator import RELOAD, STATS
from bot.core.commands.spec import CommandSpec, Context
from bot.core.commands.surprise import SURPRISE
from bot.core.commands.writing import AGAIN, CONTINUE, LADDER, NIETZSCHE
from bot.core.parsing import TakesNoArgument
from bot.core.reply import Reply


async def _help(context: Context, _: Help, where: Where) -> Reply:
    specs = user_commands() | (operator_commands() if context.is_operator(where) else {})
    return Reply.answer("\n".join(f"{spec.usage} — {spec.purpose}" for spec in specs.values()))


HELP: Final = CommandSpec(
    name="help",
    purpose="this list",
    portuguese="esta lista",
    asks=(Help,),
    run=_help,
    private=True,
)
COMMANDS: Final = {
    spec.name: spec
    for spec in (
        *(NIETZSCHE, CONTINUE, AGAIN, TEMPERATURE, LADDER, SURPRISE, ABOUT, FORGETME, HELP, START),
        *(RELOAD, STATS),
    )
}


def user_commands() -> dict[str, CommandSpec]:
    """Returns the commands that everybody has, by name."""
    return {name: spec for name, spec in COMMANDS.items() if not spec.for_operators}


def operator_commands() -> dict[str, CommandSpec]:
    """Returns the commands that operators have besides, by name."""
    return {name: spec for name, spec in COMMANDS.items() if spec.for_operators}


def is_private(ask: Ask) -> bool:
    """Returns whether only the user sees the reply, whatever it says."""
    return isinstance(ask, Unknown | Invalid) or COMMANDS[name_of(ask)].private


def parse(name: str, arguments: str) -> Ask:
    """Returns what a typed command asks for; `arguments` is what follows its name."""
    spec = COMMANDS.get(name)
    if spec is None:
        return Unknown(name)
    if spec.bare and arguments:
        return Invalid(name, TakesNoArgument(name))
    try:
        return spec.asks[0]() if spec.parse is None else spec.parse(arguments)
    except ValueError as error:
        return Invalid(name, error)


def name_of(ask: Ask) -> str:
    """Returns the name of the command that an `Ask` belongs to."""
    if isinstance(ask, Unknown):
        return ask.name
    if isinstance(ask, Invalid):
        return ask.command
    return next(name for name, spec in COMMANDS.items() if type(ask) in spec.asks)

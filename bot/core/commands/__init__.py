"""What each command means: one module per family, each command declared with its note and its handler.

`registry` holds the declarations, `dispatcher` runs them. A new family is imported here.
"""

# ruff: noqa: A004, F401, I001 - importing a family declares its commands, in the order of menus
from bot.core.commands import writing, temperature, surprise, about, account, help, operator
from bot.core.commands.dispatcher import Commands
from bot.core.commands.registry import (
    COMMANDS,
    CommandSpec,
    OptionNote,
    is_private,
    name_of,
    operator_commands,
    parse,
    user_commands,
)

__all__ = [
    "COMMANDS",
    "CommandSpec",
    "Commands",
    "OptionNote",
    "is_private",
    "name_of",
    "operator_commands",
    "parse",
    "user_commands",
]

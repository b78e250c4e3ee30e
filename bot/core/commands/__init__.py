"""What each command means: one module per family, each command declared once with its help and its handler.

`dispatcher` lists and runs the commands. Rules about texts, users and temperatures enter here.
"""

from bot.core.commands.command import Observer
from bot.core.commands.dispatcher import (
    COMMANDS,
    Commands,
    is_private,
    name_of,
    operator_commands,
    parse,
    user_commands,
)

__all__ = ["COMMANDS", "Commands", "Observer", "is_private", "name_of", "operator_commands", "parse", "user_commands"]

"""What each command means: one module per family, each command declared once with its help and its handler.

`catalogue` lists the commands, `dispatcher` runs them. Rules about texts, users and temperatures enter here.
"""

from bot.core.commands.catalogue import COMMANDS, is_private, name_of, operator_commands, parse, user_commands
from bot.core.commands.dispatcher import Commands

__all__ = ["COMMANDS", "Commands", "is_private", "name_of", "operator_commands", "parse", "user_commands"]

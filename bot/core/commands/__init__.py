"""What each command means: one module per family, each command declared once with its help and its handler.

`dispatcher` lists and runs the commands. Rules about texts, users and temperatures enter here.
"""

from bot.core.commands.command import Observer
from bot.core.commands.dispatcher import (
    COMMANDS,
    OPERATOR_COMMANDS,
    USER_COMMANDS,
    Commands,
    continuing,
    is_private,
    parse,
    parse_message,
)

"""/help and /start."""

from __future__ import annotations

from bot.core import messages
from bot.core.ask import Help, Start, Where
from bot.core.commands.registry import Context, command, operator_commands, user_commands
from bot.core.reply import Reply


@command(
    name="help",
    usage="/help",
    purpose="this list",
    portuguese="esta lista",
    parse=lambda _: Help(),
    asks=(Help,),
    private=True,
)
async def show_help(context: Context, _: Help, where: Where) -> Reply:
    """Lists the commands that the user has."""
    specs = user_commands() | (operator_commands() if context.is_operator(where) else {})
    return Reply.answer("\n".join(f"{spec.usage} — {spec.purpose}" for spec in specs.values()), private=True)


@command(
    name="start",
    usage="/start",
    purpose="a greeting",
    portuguese="uma saudação",
    parse=lambda _: Start(),
    asks=(Start,),
)
async def start(context: Context, _ask: Start, _where: Where) -> Reply:
    """Greets."""
    return Reply.answer(messages.greeting(context.generator.weights.manifest))

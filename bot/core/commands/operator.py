"""/reload and /stats, for the operators in the configuration. For others they do not exist."""

from __future__ import annotations

from bot.core import messages
from bot.core.ask import Reload, Stats, Where
from bot.core.commands.registry import Context, command
from bot.core.reply import Reply


@command(
    name="reload",
    usage="/reload",
    purpose="loads the weights that CURRENT names",
    portuguese="carrega os pesos que CURRENT nomeia",
    parse=lambda _: Reload(),
    asks=(Reload,),
    private=True,
    for_operators=True,
)
async def reload(context: Context, _ask: Reload, _where: Where) -> Reply:
    """Loads the weights that CURRENT names."""
    return Reply.answer(str(await context.reload()), private=True)


@command(
    name="stats",
    usage="/stats",
    purpose="what the generator is doing",
    portuguese="o que o gerador está fazendo",
    parse=lambda _: Stats(),
    asks=(Stats,),
    private=True,
    for_operators=True,
)
async def stats(context: Context, _ask: Stats, _where: Where) -> Reply:
    """Shows the generator's counters."""
    version = context.generator.weights.manifest.version
    return Reply.answer(messages.statistics(context.generator.statistics(), version), private=True)

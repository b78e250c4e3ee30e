"""/reload and /stats, for the operators in the configuration. For others they do not exist."""

from __future__ import annotations

from typing import Final

from bot.core import messages
from bot.core.ask import Reload, Stats, Where
from bot.core.commands.spec import CommandSpec, Context
from bot.core.reply import Reply


async def _reload(context: Context, _ask: Reload, _where: Where) -> Reply:
    return Reply.answer(str(await context.reload()))


async def _stats(context: Context, _ask: Stats, _where: Where) -> Reply:
    text = messages.statistics(
        context.generator.statistics(),
        context.generator.weights.manifest.version,
        waiting=context.admission.waiting,
        refused=context.admission.refused,
    )
    return Reply.answer(text)


RELOAD: Final = CommandSpec(
    name="reload",
    purpose="loads the weights that CURRENT names",
    portuguese="carrega os pesos que CURRENT nomeia",
    asks=(Reload,),
    run=_reload,
    private=True,
    for_operators=True,
)
STATS: Final = CommandSpec(
    name="stats",
    purpose="what the generator is doing",
    portuguese="o que o gerador está fazendo",
    asks=(Stats,),
    run=_stats,
    private=True,
    for_operators=True,
)

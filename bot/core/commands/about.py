"""/about: what the bot is made of."""

from __future__ import annotations

from bot.core import messages, pictures
from bot.core.ask import About, Where
from bot.core.commands.registry import Context, command
from bot.core.reply import Reply


@command(
    name="about",
    usage="/about",
    purpose="what I am made of, and how good I am",
    portuguese="de que sou feito e quão bom eu sou",
    parse=lambda _: About(),
    asks=(About,),
)
async def about(context: Context, _ask: About, _where: Where) -> Reply:
    """Describes the weights, with their training curve."""
    weights = context.generator.weights
    return Reply.answer(messages.about(weights.manifest), picture=await pictures.curve(weights))

"""/about and /start: what the bot is."""

from __future__ import annotations

from typing import Final

from bot.core import messages, pictures
from bot.core.ask import About, Start, Where
from bot.core.commands.spec import CommandSpec, Context
from bot.core.reply import Reply


async def _about(context: Context, _ask: About, _where: Where) -> Reply:
    weights = context.generator.weights
    return Reply.answer(messages.about(weights.manifest), picture=await pictures.curve(weights))


async def _start(context: Context, _ask: Start, _where: Where) -> Reply:
    return Reply.answer(messages.greeting(context.generator.weights.manifest))


ABOUT: Final = CommandSpec(
    name="about",
    purpose="what I am made of, and how good I am",
    portuguese="de que sou feito e quão bom eu sou",
    asks=(About,),
    run=_about,
)
START: Final = CommandSpec(
    name="start",
    purpose="a greeting",
    portuguese="uma saudação",
    asks=(Start,),
    run=_start,
)

"""/surprise: the last text as a picture, shaded by surprisal."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bot.core import messages, pictures
from bot.core.ask import Surprise, Where
from bot.core.commands.spec import CommandSpec, Context
from bot.core.reply import Reply
from generator.scoring.palette import cells


async def _surprise(context: Context, _: Surprise, where: Where) -> Reply:
    """Shades the last text by the probabilities that the current weights give its characters."""
    last = await context.store.conversation(where.platform, where.chat, where.user)
    if last is None or last.written is None:
        return Reply.refusal(messages.NOTHING_TO_SHADE)
    # It is work like a text and waits like one. It has a cooldown of its own, so that it may follow a text at once.
    async with context.admission.slot(
        where.queue_key,
        f"{where.platform}:{where.user} /surprise",
        characters=last.written.characters,
        trusted=context.is_operator(where),
        asked_at=where.asked_at,
    ):
        hard_wrapped = context.generator.weights.manifest.hard_wrapped
        surprisal = await context.generator.score(last.written)
        if last.written.seed is not None:
            surprisal = replace(surprisal, given=last.prompt)
        picture = await pictures.heatmap(surprisal, hard_wrapped=hard_wrapped)
    text = messages.surprised(surprisal, last.version)
    return Reply.answer(text, picture=picture, shaded=tuple(cells(surprisal, hard_wrapped=hard_wrapped)))


SURPRISE: Final = CommandSpec(
    name="surprise",
    purpose="your last text here, shaded by how little I expected each character",
    portuguese="o seu último texto, sombreado pelo quanto cada caractere me surpreendeu",
    bare=True,
    asks=(Surprise,),
    run=_surprise,
    exclusive=True,
)

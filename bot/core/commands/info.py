"""The commands that write no text: what is stored about a user, what the bot is, and what operators may do."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from bot.core import buttons, messages
from bot.core.ask import Ask, ForgetMe, Surprise, Where
from bot.core.commands.command import Command, Context
from bot.core.commands.writing import find_text
from bot.core.reply import Picture, Refused, Reply
from bot.core.voice import versions_of
from generator import Surprisal, WeightsError
from generator.scoring.palette import cells

log = logging.getLogger(__name__)


@Command("forgetme", ask=ForgetMe, exclusive=True, private=True)
async def forgetme(context: Context, ask: ForgetMe, where: Where) -> Reply:
    """Deletes everything about the user, or asks whether they mean it."""
    if not ask.confirmed:
        return Reply(where.say("forget-confirm"), actions=(buttons.forgetting(where),))
    if where.user == where.group and not await where.administers():
        raise Refused("administrators-only")
    rows = await context.store.forget(where.platform, where.user)
    return Reply(where.say("forget-done", rows=rows) if rows else where.say("forget-nothing"))


@Command("cancel", private=True)
async def cancel(context: Context, _: Ask, where: Where) -> Reply:
    """Stops what is being written for the user in the chat, also what waits."""
    texts = context.stop(where)
    return Reply(where.say("cancel-done", texts=texts) if texts else where.say("cancel-nothing"))


@Command("privacy", private=True)
async def privacy(context: Context, _: Ask, where: Where) -> Reply:
    """Says what is kept, for how long, how to delete it, and who operates the bot."""
    contact = context.settings.contact
    operator = where.say("privacy-operator", contact=contact) if contact else where.say("privacy-no-operator")
    kept = where.say("privacy-kept"), where.say("privacy-days", days=context.store.keep_days)
    return Reply("\n".join((*kept, where.say("privacy-log"), operator)))


@Command("surprise", ask=Surprise, bare=True, exclusive=True, writes=True)
async def surprise(context: Context, ask: Surprise, where: Where) -> Reply:
    """Shades a text by the probabilities that the current weights give its characters."""
    _, last = await find_text(context, where, ask.slot)
    if last.written is None:
        raise Refused("no-text")
    # It is work like a text and waits like one. It has a cooldown of its own, so that it may follow a text at once.
    async with context.admission.slot(
        where.queue_key,
        f"{where.user_key} /surprise",
        characters=last.written.characters,
        trusted=context.is_operator(where),
        asked_at=where.asked_at,
    ):
        hard_wrapped = context.generator.weights.manifest.hard_wrapped
        surprisal = await context.generator.score(last.written)
        if last.written.seed is not None:
            surprisal = replace(surprisal, given=last.prompt)
        content = await asyncio.to_thread(_heatmap, surprisal, hard_wrapped=hard_wrapped)
    return Reply(
        messages.surprised(surprisal, last.version, where.say),
        picture=Picture(
            content,
            "surprise.png",
            where.say("surprise-picture", characters=len(surprisal.text), bits=surprisal.mean),
        ),
        shaded=tuple(cells(surprisal, hard_wrapped=hard_wrapped)),
    )


def _heatmap(surprisal: Surprisal, *, hard_wrapped: bool) -> bytes:
    from generator.scoring import heatmap  # noqa: PLC0415 - Pillow, for this alone: 4 MB that most processes never need

    return heatmap.png(heatmap.draw([("", surprisal)], hard_wrapped=hard_wrapped))


@Command("about")
async def about(context: Context, _: Ask, where: Where) -> Reply:
    """Describes the weights, with their training curve if it can be read."""
    weights, name, picture = context.generator.weights, "curve.png", None
    try:
        if (content := await asyncio.to_thread(weights.beside, name)) is not None:
            manifest = weights.manifest
            bits = float(manifest.metrics["valid_bits_per_character"])
            described = where.say("curve", version=manifest.version, bits=bits)
            picture = Picture(content, name, described, weights.folder / name)
    except WeightsError as error:
        log.warning("curve.unreadable reason=%s", error)
    return Reply(messages.about(weights.manifest, where.say), picture=picture)


@Command("start")
async def start(context: Context, _: Ask, where: Where) -> Reply:
    """Says what to do."""
    book = messages.book(context.generator.weights.manifest, where.say)
    return Reply(where.say("greeting", book=book, **messages.RANGE))


@Command("reload", private=True)
async def reload(context: Context, _: Ask, where: Where) -> Reply:
    """Loads the weights that CURRENT names."""
    before = versions_of(context.voices)
    try:
        await (context.reload or context.generator.reload)()
    except WeightsError as error:
        if context.reload is None:
            log.error("reload.refused serving=%s reason=%s", context.voice.manifest.version, error)
        raise Refused("weights-refused", reason=str(error)) from error
    return Reply(messages.reloaded(before, versions_of(context.voices), where.say))


@Command("stats", private=True)
async def stats(context: Context, _: Ask, where: Where) -> Reply:
    """Says what the generator and the queue are doing."""
    version, admission = context.generator.weights.manifest.version, context.admission
    figures = context.generator.status()
    return Reply(messages.statistics(figures, version, admission.waiting, admission.refused, where.say))

"""The commands that write no text: what is stored about a user, what the bot is, and what operators may do."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from bot.core import buttons, messages
from bot.core.ask import About, Ask, ForgetMe, Surprise, Where
from bot.core.commands.command import Command, Context
from bot.core.commands.writing import find_text
from bot.core.reply import Picture, Refused, Reply
from bot.core.voice import Voice, versions_of
from generator import GenerationRequest, GeneratorError, ScoringRequest, Surprisal, WeightsError
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
    counted = [where.say("privacy-quota")] if context.access.has_quotas else []
    return Reply("\n".join((*kept, where.say("privacy-log"), *counted, operator)))


@Command("surprise", ask=Surprise, bare=True, writes=True)
async def surprise(context: Context, ask: Surprise, where: Where) -> Reply:
    """Shades a text by the probabilities that the current weights give its characters."""
    _, last = await find_text(context, where, ask.slot)
    if last.written is None:
        raise Refused("no-text")
    voice = context.voice_of(last.voice, where)
    # It is work like a text and waits like one. It has a cooldown of its own, so that it may follow a text at once.
    async with context.slot(where, voice, last.written.characters, cooldown=" /surprise"):
        hard_wrapped = voice.manifest.hard_wrapped
        surprisal = await voice.generator.score(last.written)
        if last.written.seed is not None:
            surprisal = replace(surprisal, given=last.prompt)
        content = await asyncio.to_thread(_heatmap, surprisal, hard_wrapped=hard_wrapped)
    described = where.say("surprise-picture", characters=len(surprisal.text), bits=surprisal.mean)
    picture, shaded = Picture(content, "surprise.png", described), tuple(cells(surprisal, hard_wrapped=hard_wrapped))
    return Reply(messages.surprised(surprisal, last.version, where.say), picture=picture, shaded=shaded)


def _heatmap(surprisal: Surprisal, title: str = "", *, hard_wrapped: bool) -> bytes:
    from generator.scoring import heatmap  # noqa: PLC0415 - Pillow, for this alone: 4 MB that most processes never need

    return heatmap.png(heatmap.draw([(title, surprisal)], hard_wrapped=hard_wrapped))


def _parse_about(arguments: str) -> Ask:
    *words, last = arguments.lower().split() or [""]
    return About(last == "curve", words[0] if words else last if last != "curve" else "")


@Command("about", options=("value",), ask=About, parse=_parse_about)
async def about(context: Context, ask: About, where: Where) -> Reply:
    """Describes the weights, with a sentence of theirs as a picture; their training curve for those who ask."""
    named = next((each for each in context.voices.values() if ask.voice in (each.name, each.command)), None)
    voice = named or context.voice_of(None, where)
    manifest, curve, others = voice.manifest, await _curve(voice, where), context.others(voice)
    if ask.curve:
        if curve is None:
            raise Refused("no-curve")
        return Reply(curve.description, picture=curve)
    said = "\n\n".join(
        (f"/{each.command}: " if others else "")
        + messages.about(each.manifest, where.say, messages.title(each, where.say))
        for each in (voice, *([] if named else others))
    )
    actions = tuple(buttons.describing(where, each) for each in others[: buttons.MAX_VOICES])
    if curve is not None:
        said += "\n" + where.say("about-curve", arguments=f"{named.command} curve" if named else "curve")
        actions = buttons.curve(where, voice), *actions
    try:
        surprisal, content = await _card(context, voice, messages.title(voice, where.say))
    except GeneratorError as error:  # there is no room just now, say; the words are what matters
        log.info("about.no_card reason=%s", error)
        return Reply(said, actions=actions)
    picture = Picture(content, "about.png", where.say("about-card", text=" ".join(surprisal.text.split())))
    shaded = tuple(cells(surprisal, hard_wrapped=manifest.hard_wrapped))
    return Reply(said, picture=picture, shaded=shaded, actions=actions)


async def _curve(voice: Voice, where: Where) -> Picture | None:
    weights, name = voice.generator.weights, "curve.png"
    try:
        content = await asyncio.to_thread(weights.beside, name)
    except WeightsError as error:
        log.warning("curve.unreadable reason=%s", error)
        return None
    bits = float(weights.manifest.metrics["valid_bits_per_character"])
    described = where.say("curve", version=weights.manifest.version, bits=bits)
    return None if content is None else Picture(content, name, described, weights.folder / name)


async def _card(context: Context, voice: Voice, title: str) -> tuple[Surprisal, bytes]:
    """Returns a sentence of a voice, the same each time, and its picture. Raises `GeneratorError`."""
    manifest, kept = voice.manifest, context.cards.get(voice.name)
    if kept is None or kept[0] != (manifest.version, title):
        text = await voice.generator.generate(GenerationRequest(80, 0, context.settings.sampling))
        surprisal = await voice.generator.score(ScoringRequest("", text.text, 0))
        content = await asyncio.to_thread(_heatmap, surprisal, title, hard_wrapped=manifest.hard_wrapped)
        kept = context.cards[voice.name] = (manifest.version, title), surprisal, content
    return kept[1:]


@Command("voices")
async def voices(context: Context, _: Ask, where: Where) -> Reply:
    """Lists the voices, each with its command."""
    lines = []
    for voice in context.voices.values():
        line = where.say("help-line", usage=f"/{voice.command}", purpose=messages.title(voice, where.say))
        lines.append(f"{line} ({where.say('voice-restarts')})" if voice.generator.status().unavailable else line)
    return Reply("\n".join(lines))


@Command("start")
async def start(context: Context, _: Ask, where: Where) -> Reply:
    """Says what to do."""
    voice = context.voice_of(None, where)
    greeting = where.say("greeting", book=messages.title(voice, where.say), **messages.RANGE)
    return Reply(f"{greeting} {where.say('greeting-voices')}" if context.others(voice) else greeting)


@Command("reload", private=True)
async def reload(context: Context, _: Ask, where: Where) -> Reply:
    """Loads the weights that CURRENT names."""
    before = versions_of(context.voices)
    await (context.reload or context.voice.generator.reload)()
    return Reply(messages.reloaded(before, versions_of(context.voices), where.say))


@Command("stats", private=True)
async def stats(context: Context, _: Ask, where: Where) -> Reply:
    """Says what the generator and the queue are doing."""
    admission = context.admission
    # What did not reach a generator is counted with the default voice.
    lost = {context.voice.name: (admission.waiting, admission.refused)}
    texts = [
        messages.statistics(voice.generator.status(), voice.manifest.version, *lost.get(voice.name, (0, 0)), where.say)
        for voice in context.voices.values()
    ]
    return Reply("\n\n".join(texts))

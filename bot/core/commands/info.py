"""The commands that write no text: what is stored about a user, what the bot is, and what operators may do."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from bot.core import buttons, messages
from bot.core.ask import Ask, ForgetMe, Plain, SetTemperature, Where
from bot.core.commands.command import Command, Context, OptionNote
from bot.core.parsing import parse_temperature
from bot.core.reply import Picture, Refused, Reply
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE, Surprisal, WeightsError
from generator.scoring.palette import cells

log = logging.getLogger(__name__)


def _parse_temperature(arguments: str) -> Ask:
    if not arguments:
        return Plain("temperature")
    return SetTemperature(None if arguments.lower() == "default" else parse_temperature(arguments))


@Command(
    "temperature",
    "shows, sets or clears your own temperature",
    "mostra, define ou apaga a sua temperatura",
    arguments="[value|default]",
    options={
        "value": OptionNote(
            f"{MIN_TEMPERATURE} to {MAX_TEMPERATURE}, or default; leave it out to see yours",
            "valor",
            f"de {MIN_TEMPERATURE} a {MAX_TEMPERATURE}, ou default; sem valor, mostra a sua",
        )
    },
    ask=SetTemperature,
    parse=_parse_temperature,
    exclusive=True,
    private=True,
)
async def temperature(context: Context, ask: Plain | SetTemperature, where: Where) -> Reply:
    """Shows the user's own temperature, after setting or clearing it if that was asked."""
    if isinstance(ask, SetTemperature):
        await context.store.set_preference(where.platform, where.user, "temperature", ask.value)
        own: float | None = ask.value
    else:
        own = (await context.store.preferences(where.platform, where.user)).temperature
    return Reply(messages.your_temperature(own, context.settings.sampling.temperature))


@Command(
    "forgetme",
    "deletes everything I keep about you",
    "apaga tudo o que guardo sobre você",
    ask=ForgetMe,
    exclusive=True,
    private=True,
)
async def forgetme(context: Context, ask: ForgetMe, where: Where) -> Reply:
    """Deletes everything about the user, or asks whether they mean it."""
    if not ask.confirmed:
        return Reply(messages.CONFIRM_FORGET, actions=(buttons.forgetting(where.user),))
    return Reply(messages.forgotten(await context.store.forget(where.platform, where.user)))


@Command(
    "surprise",
    "your last text here, shaded by how little I expected each character",
    "o seu último texto, sombreado pelo quanto cada caractere me surpreendeu",
    bare=True,
    exclusive=True,
)
async def surprise(context: Context, _: Ask, where: Where) -> Reply:
    """Shades the last text by the probabilities that the current weights give its characters."""
    last = await context.store.conversation(where.platform, where.chat, where.user)
    if last is None or last.written is None:
        raise Refused(messages.NO_TEXT)
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
        messages.surprised(surprisal, last.version),
        picture=Picture(content, "surprise.png", messages.shading(surprisal)),
        shaded=tuple(cells(surprisal, hard_wrapped=hard_wrapped)),
    )


def _heatmap(surprisal: Surprisal, *, hard_wrapped: bool) -> bytes:
    from generator.scoring import heatmap  # noqa: PLC0415 - Pillow, for this alone: 4 MB that most processes never need

    return heatmap.png(heatmap.draw([("", surprisal)], hard_wrapped=hard_wrapped))


@Command("about", "what I am made of, and how good I am", "de que sou feito e quão bom eu sou")
async def about(context: Context, _ask: Ask, _where: Where) -> Reply:
    """Describes the weights, with their training curve if it can be read."""
    weights, name, picture = context.generator.weights, "curve.png", None
    try:
        if (content := await asyncio.to_thread(weights.beside, name)) is not None:
            picture = Picture(content, name, messages.curve(weights.manifest), weights.folder / name)
    except WeightsError as error:
        log.warning("curve.unreadable reason=%s", error)
    return Reply(messages.about(weights.manifest), picture=picture)


@Command("start", "a greeting", "uma saudação")
async def start(context: Context, _ask: Ask, _where: Where) -> Reply:
    """Says what to do."""
    return Reply(messages.greeting(context.generator.weights.manifest))


@Command("reload", "loads the weights that CURRENT names", "carrega os pesos que CURRENT nomeia", private=True)
async def reload(context: Context, _ask: Ask, _where: Where) -> Reply:
    """Loads the weights that CURRENT names."""
    if context.reload is not None:
        return Reply(str(await context.reload()))
    before = context.generator.weights.manifest.version
    return Reply(messages.reloaded(before, (await context.generator.reload()).manifest.version))


@Command("stats", "what the generator is doing", "o que o gerador está fazendo", private=True)
async def stats(context: Context, _ask: Ask, _where: Where) -> Reply:
    """Says what the generator and the queue are doing."""
    version, admission = context.generator.weights.manifest.version, context.admission
    return Reply(messages.statistics(context.generator.status(), version, admission.waiting, admission.refused))

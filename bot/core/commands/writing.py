"""/nietzsche, /continue, /again and /ladder: texts from the network."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from bot.core import buttons, messages
from bot.core.ask import Again, Ask, Continue, Ladder, Where, Write
from bot.core.commands.command import Command, Context, OptionNote
from bot.core.commands.generation import generate, save
from bot.core.parsing import Prompt, TemperatureError, fit_prompt, split_temperature
from bot.core.reply import Passage, Refused, Reply
from bot.store.store import Conversation
from generator import (
    MAX_SEED,
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    Continuation,
    GenerationRequest,
    SamplingParams,
    ScoringRequest,
    Temperature,
)
from generator.prose import presentable

LADDER_TEMPERATURES: Final = tuple(map(Temperature, (0.5, 0.6, 0.7, 0.8, 0.9)))
_PROMPT_NOTE: Final = OptionNote("how the text begins", "abertura", "como o texto começa")


def _parse_ladder(arguments: str) -> Ask:
    try:
        temperature, prompt = split_temperature(arguments)
    except TemperatureError:  # a number that is no temperature, so it belongs to the prompt
        return Ladder(arguments)
    return Ladder(prompt, temperature)


@Command(
    "nietzsche",
    "a text; /nietzsche 0.7 The philosopher",
    "um texto; /nietzsche 0.7 The philosopher",
    arguments="[temperature] [prompt]",
    options={
        "temperature": OptionNote(
            f"how daring: {MIN_TEMPERATURE} is careful, {MAX_TEMPERATURE} is wild",
            "temperatura",
            f"a ousadia: {MIN_TEMPERATURE} é prudente, {MAX_TEMPERATURE} é selvagem",
        ),
        "prompt": _PROMPT_NOTE,
        "length": OptionNote(
            "about how many characters; it ends with a sentence, below 60 with the first one",
            "tamanho",
            "cerca de quantos caracteres; termina com uma frase, abaixo de 60 com a primeira",
        ),
    },
    ask=Write,
    parse=lambda arguments: Write(*split_temperature(arguments)),
    exclusive=True,
)
async def nietzsche(context: Context, ask: Write, where: Where) -> Reply:
    """Writes a text at the temperature that was asked for, else the user's own, else the default."""
    temperature = ask.temperature
    if temperature is None:
        own = await context.store.temperature(where.platform, where.user)
        temperature = Temperature(context.settings.sampling.temperature if own is None else own)
    return await _write(context, where, None, ask.prompt, [temperature], length=ask.length)


@Command(
    "continue",
    "continues your last text here",
    "continua o seu último texto aqui",
    ask=Continue,
    bare=True,
    exclusive=True,
)
async def continue_(context: Context, ask: Continue, where: Where) -> Reply:
    """Continues the last text from its saved state."""
    user_id, last = await _last(context, where)
    if ask.slot not in ("", buttons.fingerprint(last.state)):
        raise Refused(messages.OLD_TEXT)
    request = GenerationRequest(
        length=context.settings.length,
        seed=secrets.randbelow(MAX_SEED + 1),
        sampling=_sampling(context, last.temperature),
        continuation=Continuation(last.state, last.tail),
    )
    _, [generation] = await generate(context, where, user_id, lambda: [request])
    written = ScoringRequest(last.tail, generation.text)
    notice = await save(context, where, user_id, last.prompt, last.temperature, generation=generation, written=written)
    actions = buttons.under(where.user, last.prompt, last.temperature, generation.state)
    return Reply.of_passages(_passage(context, "", generation.text), notice=notice, actions=actions)


@Command(
    "again",
    "the same prompt and temperature, another draw",
    "a mesma abertura e temperatura, outro sorteio",
    ask=Again,
    bare=True,
    exclusive=True,
)
async def again(context: Context, ask: Again, where: Where) -> Reply:
    """Writes another text from the prompt of the last one."""
    user_id, last = await _last(context, where)
    if ask.slot not in ("", buttons.fingerprint(last.prompt)):
        raise Refused(messages.OLD_TEXT)
    temperature = Temperature(last.temperature) if ask.temperature is None else ask.temperature
    return await _write(context, where, user_id, last.prompt, [temperature])


@Command(
    "ladder",
    "the same prompt at five temperatures",
    "a mesma abertura em cinco temperaturas",
    arguments="[prompt]",
    options={"prompt": _PROMPT_NOTE},
    ask=Ladder,
    parse=_parse_ladder,
    exclusive=True,
)
async def ladder(context: Context, ask: Ladder, where: Where) -> Reply:
    """Writes the same prompt at each temperature of the ladder."""
    reply = await _write(context, where, None, ask.prompt, LADDER_TEMPERATURES)
    ignored = "" if ask.ignored is None else messages.LADDER_IGNORES.format(ask.ignored)
    return replace(reply, notice=_joined(ignored, reply.notice, messages.LADDER_END))


async def _last(context: Context, where: Where) -> tuple[int, Conversation]:
    """The user's number and their last text in the chat.

    The number is read first: of a text that is forgotten between the two, nothing comes back.
    """
    user_id = await context.store.user_id(where.platform, where.user)
    last = await context.store.conversation(where.platform, where.chat, where.user)
    if user_id is None or last is None:
        raise Refused(messages.NO_TEXT)
    return user_id, last


async def _write(
    context: Context,
    where: Where,
    user_id: int | None,
    typed: str,
    temperatures: Sequence[Temperature],
    *,
    length: int | None = None,
) -> Reply:
    """Writes one text for each temperature, in one batch; the last is stored as the user's last text.

    They share a seed, so that they differ by the temperature alone. `user_id`: if it is known already.
    """
    seed = secrets.randbelow(MAX_SEED + 1)
    prompt = Prompt()

    def requests() -> list[GenerationRequest]:
        nonlocal prompt
        prompt = fit_prompt(typed, context.generator.weights.manifest)
        return [
            GenerationRequest(length or context.settings.length, seed, _sampling(context, temperature), prompt.text)
            for temperature in temperatures
        ]

    user_id, generations = await generate(context, where, user_id, requests)
    last = generations[-1]
    written = ScoringRequest(prompt.text, last.text, seed)
    notice = await save(context, where, user_id, prompt.text, temperatures[-1], generation=last, written=written)
    passages = [_passage(context, prompt.text, generation.text) for generation in generations]
    actions = buttons.under(where.user, prompt.text, temperatures[-1], last.state)
    if len(passages) > 1:
        actions = (buttons.continuing(where.user, last.state),)
        labels = map(messages.RUNG.format, temperatures)
        passages = [replace(passage, label=label) for passage, label in zip(passages, labels, strict=True)]
    return Reply.of_passages(*passages, notice=_joined(messages.fitted(prompt), notice), actions=actions)


def _sampling(context: Context, temperature: float) -> SamplingParams:
    return msgspec.structs.replace(context.settings.sampling, temperature=float(temperature))


def _passage(context: Context, prompt: str, written: str) -> Passage:
    """Prompt and text, made readable together; the prompt is marked unless it was reflowed with the text."""
    hard_wrapped = context.generator.weights.manifest.hard_wrapped
    text = presentable(prompt + written, hard_wrapped=hard_wrapped)
    shown = presentable(prompt, hard_wrapped=hard_wrapped)
    return Passage(text, shown if text.startswith(shown) else "")


def _joined(*notices: str) -> str:
    return " ".join(notice for notice in notices if notice)

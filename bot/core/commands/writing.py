"""/nietzsche, /continue, /again and /ladder: texts from the network."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from bot.core import buttons, messages
from bot.core.ask import Again, Ask, Continue, Ladder, Where, Write
from bot.core.commands.generation import conversation, generate, save
from bot.core.commands.spec import CommandSpec, Context, OptionNote
from bot.core.parsing import Prompt, TemperatureError, fit_prompt, split_temperature
from bot.core.reply import Passage, Reply
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


def _parse_write(arguments: str) -> Ask:
    temperature, prompt = split_temperature(arguments)
    return Write(temperature, prompt)


def _parse_ladder(arguments: str) -> Ask:
    try:
        temperature, prompt = split_temperature(arguments)
    except TemperatureError:  # a number that is no temperature, so it belongs to the prompt
        return Ladder(arguments)
    return Ladder(prompt, temperature)


async def _nietzsche(context: Context, ask: Write, where: Where) -> Reply:
    """Writes a text at the temperature that was asked for, else the user's own, else the default."""
    temperature, user_id = ask.temperature, None
    if temperature is None:
        user_id = await context.store.user_id(where.platform, where.user)  # first, as in `_last`
        own = await context.store.temperature(where.platform, where.user)
        temperature = Temperature(context.settings.sampling.temperature if own is None else own)
    return await _write(context, where, user_id, ask.prompt, [temperature], length=ask.length)


async def _continue(context: Context, ask: Continue, where: Where) -> Reply:
    """Continues the last text from its saved state."""
    found = await _last(context, where)
    if found is None:
        return Reply.refusal(messages.NOTHING_TO_CONTINUE)
    user_id, last = found
    if ask.slot and ask.slot != buttons.fingerprint(last.state):
        return Reply.refusal(messages.OLD_TEXT)
    request = GenerationRequest(
        length=context.settings.length,
        seed=_new_seed(),
        sampling=_sampling(context, last.temperature),
        continuation=Continuation(last.state, last.tail),
    )
    _, [generation] = await generate(context, where, user_id, lambda: [request])
    written = ScoringRequest(last.tail, generation.text)
    notice = await save(context, where, user_id, conversation(last.prompt, last.temperature, generation, written))
    actions = buttons.under(where.user, last.prompt, last.temperature, generation.state)
    return Reply.of_passages(_passage(context, "", generation.text), notice=notice, actions=actions)


async def _again(context: Context, ask: Again, where: Where) -> Reply:
    """Writes another text from the prompt of the last one."""
    found = await _last(context, where)
    if found is None:
        return Reply.refusal(messages.NOTHING_TO_REPEAT)
    user_id, last = found
    if ask.slot and ask.slot != buttons.fingerprint(last.prompt):
        return Reply.refusal(messages.OLD_TEXT)
    temperature = Temperature(last.temperature) if ask.temperature is None else ask.temperature
    return await _write(context, where, user_id, last.prompt, [temperature])


async def _ladder(context: Context, ask: Ladder, where: Where) -> Reply:
    """Writes the same prompt at each temperature of the ladder."""
    reply = await _write(context, where, None, ask.prompt, LADDER_TEMPERATURES)
    ignored = "" if ask.ignored is None else messages.ladder_ignores(ask.ignored)
    return replace(reply, notice=_joined(ignored, reply.notice, messages.LADDER_END))


async def _last(context: Context, where: Where) -> tuple[int, Conversation] | None:
    """The user's number and their last text in the chat, or `None` when there is none.

    The number is read first: of a text that is forgotten between the two, nothing comes back.
    """
    user_id = await context.store.user_id(where.platform, where.user)
    last = await context.store.conversation(where.platform, where.chat, where.user)
    return None if user_id is None or last is None else (user_id, last)


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
    seed = _new_seed()
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
    notice = await save(context, where, user_id, conversation(prompt.text, temperatures[-1], last, written))
    passages = [_passage(context, prompt.text, generation.text) for generation in generations]
    actions = buttons.under(where.user, prompt.text, temperatures[-1], last.state)
    if len(passages) > 1:
        actions = (buttons.continuing(where.user, last.state),)
        labels = map(messages.rung, temperatures)
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


def _new_seed() -> int:
    return secrets.randbelow(MAX_SEED + 1)


def _joined(*notices: str) -> str:
    return " ".join(notice for notice in notices if notice)


_PROMPT_NOTE: Final = OptionNote("how the text begins", "abertura", "como o texto começa")
NIETZSCHE: Final = CommandSpec(
    name="nietzsche",
    arguments="[temperature] [prompt]",
    purpose="a text; /nietzsche 0.7 The philosopher",
    portuguese="um texto; /nietzsche 0.7 The philosopher",
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
    parse=_parse_write,
    asks=(Write,),
    run=_nietzsche,
    exclusive=True,
)
CONTINUE: Final = CommandSpec(
    name="continue",
    purpose="continues your last text here",
    portuguese="continua o seu último texto aqui",
    bare=True,
    asks=(Continue,),
    run=_continue,
    exclusive=True,
)
AGAIN: Final = CommandSpec(
    name="again",
    purpose="the same prompt and temperature, another draw",
    portuguese="a mesma abertura e temperatura, outro sorteio",
    bare=True,
    asks=(Again,),
    run=_again,
    exclusive=True,
)
LADDER: Final = CommandSpec(
    name="ladder",
    arguments="[prompt]",
    purpose="the same prompt at five temperatures",
    portuguese="a mesma abertura em cinco temperaturas",
    options={"prompt": _PROMPT_NOTE},
    parse=_parse_ladder,
    asks=(Ladder,),
    run=_ladder,
    exclusive=True,
)

"""/nietzsche, /continue, /again and /ladder: texts from the network."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from bot.core import buttons, messages
from bot.core.ask import Again, Ask, Continue, Ladder, Where, Write
from bot.core.commands.spec import CommandSpec, Context, OptionNote
from bot.core.events import TextWritten
from bot.core.parsing import Prompt, TemperatureError, fit_prompt, no_argument, split_temperature
from bot.core.reply import Passage, Reply
from bot.store.errors import StoreError
from bot.store.store import Conversation
from generator import (
    MAX_PROMPT,
    MAX_SEED,
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    Continuation,
    Generation,
    GenerationRequest,
    InvalidRequest,
    SamplingParams,
    ScoringRequest,
    Temperature,
)
from generator.prose import presentable

LADDER_TEMPERATURES: Final = tuple(map(Temperature, (0.5, 0.6, 0.7, 0.8, 0.9)))
TAIL: Final = MAX_PROMPT
"""Characters of a text that are stored: new weights read them when the saved state belongs to old ones."""
OVERSHOOT: Final = 1.15
"""Characters computed for each that is asked for: a text ends with its sentence (341 for 300, measured)."""
USER_ID_TIMEOUT_SECONDS: Final = 2.0
"""How long a text that holds a slot waits for the database to make a new user known. After that it is written and not
stored: a slow database must not fill the slots with texts that nobody writes."""
log = logging.getLogger(__name__)


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
    _, [generation] = await _generate(context, where, user_id, lambda: [request])
    conversation = _conversation(last.prompt, last.temperature, generation, ScoringRequest(last.tail, generation.text))
    notice = await _save(context, where, user_id, conversation)
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

    user_id, generations = await _generate(context, where, user_id, requests)
    last = generations[-1]
    written = ScoringRequest(prompt.text, last.text, seed)
    notice = await _save(context, where, user_id, _conversation(prompt.text, temperatures[-1], last, written))
    passages = [_passage(context, prompt.text, generation.text) for generation in generations]
    actions = buttons.under(where.user, prompt.text, temperatures[-1], last.state)
    if len(passages) > 1:
        actions = (buttons.continuing(where.user, last.state),)
        labels = map(messages.rung, temperatures)
        passages = [replace(passage, label=label) for passage, label in zip(passages, labels, strict=True)]
    return Reply.of_passages(*passages, notice=_joined(messages.fitted(prompt), notice), actions=actions)


async def _generate(
    context: Context, where: Where, user_id: int | None, make_requests: Callable[[], Sequence[GenerationRequest]]
) -> tuple[int | None, list[Generation]]:
    """Waits for a slot and computes all texts together. Returns the user's number too.

    A user who has none yet is given one once the texts are admitted, so that a refusal costs the store nothing. When
    other weights were loaded meanwhile, the requests are made anew for their vocabulary.
    """
    requests = make_requests()
    began = time.perf_counter()
    async with context.admission.slot(
        where.queue_key,
        f"{where.platform}:{where.user}",
        characters=OVERSHOOT * sum(request.characters for request in requests),
        rows=len(requests),
        trusted=context.is_operator(where),
        asked_at=where.asked_at,
    ):
        waited = time.perf_counter() - began
        if user_id is None:
            user_id = await _make_known(context, where)
        while True:
            weights = context.generator.weights
            try:
                generations = await _together(context, make_requests())
                break
            except InvalidRequest:
                if context.generator.weights is weights:
                    raise
    for generation in generations:
        context.on_event(TextWritten(generation, waited))
    return user_id, generations


async def _together(context: Context, requests: Sequence[GenerationRequest]) -> list[Generation]:
    """Generates all at once. The first that fails cancels the others, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(context.generator.generate(request)) for request in requests]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]


async def _make_known(context: Context, where: Where) -> int | None:
    """The user's number from now on; `None` when the store fails: the text is written without it."""
    try:
        async with asyncio.timeout(USER_ID_TIMEOUT_SECONDS):
            return await context.store.ensure_user(where.platform, where.user)
    except StoreError as error:
        log.error("user.not_stored reason=%s", error)
    except TimeoutError:
        log.error("user.not_stored reason=the database takes longer than %g s", USER_ID_TIMEOUT_SECONDS)
    return None


async def _save(context: Context, where: Where, user_id: int | None, conversation: Conversation) -> str:
    """Stores the text and its state. Returns what the user should know when that fails; they get the text anyway."""
    if user_id is None:
        return messages.NOT_SAVED
    try:
        kept = await context.store.save_conversation(where.platform, where.chat, where.user, user_id, conversation)
    except StoreError as error:
        log.error("text.not_stored reason=%s", error)
        return messages.NOT_SAVED
    return "" if kept else messages.FORGOTTEN_MEANWHILE


def _sampling(context: Context, temperature: float) -> SamplingParams:
    return msgspec.structs.replace(context.settings.sampling, temperature=float(temperature))


def _conversation(prompt: str, temperature: float, generation: Generation, written: ScoringRequest) -> Conversation:
    tail = (written.before + written.text)[-TAIL:]
    return Conversation(prompt, temperature, generation.version, generation.state, tail, written)


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
    usage="/nietzsche [temperature] [prompt]",
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
            "about how many characters; it ends with a sentence near that",
            "tamanho",
            "cerca de quantos caracteres; termina com uma frase por perto",
        ),
    },
    parse=_parse_write,
    asks=(Write,),
    run=_nietzsche,
    exclusive=True,
)
CONTINUE: Final = CommandSpec(
    name="continue",
    usage="/continue",
    purpose="continues your last text here",
    portuguese="continua o seu último texto aqui",
    parse=no_argument("continue", Continue()),
    asks=(Continue,),
    run=_continue,
    exclusive=True,
)
AGAIN: Final = CommandSpec(
    name="again",
    usage="/again",
    purpose="the same prompt and temperature, another draw",
    portuguese="a mesma abertura e temperatura, outro sorteio",
    parse=no_argument("again", Again()),
    asks=(Again,),
    run=_again,
    exclusive=True,
)
LADDER: Final = CommandSpec(
    name="ladder",
    usage="/ladder [prompt]",
    purpose="the same prompt at five temperatures",
    portuguese="a mesma abertura em cinco temperaturas",
    options={"prompt": _PROMPT_NOTE},
    parse=_parse_ladder,
    asks=(Ladder,),
    run=_ladder,
    exclusive=True,
)
